//! The normaliser against the cases that older versions got wrong, and against itself. The labelled corpus is in `tests/`.

use proptest::prelude::*;

use super::*;

fn template(text: &str) -> String {
    normalise(text, &[]).template
}

#[test]
fn what_identifies_is_kept_and_what_varies_is_not() {
    for (text, expected) in [
        ("", ""),
        ("  a\tb\n c\r\n ", "a b c"),
        ("Error at 2025-12-28 16:22:03", "error at <time>"),
        ("File not found: c:\\dev\\proj\\test.py", "file not found: test.py"),
        ("Error at line 123 in file:456", "error at line <num> in file:<num>"),
        ("ImportError: Cannot import module", "importerror: cannot import module"),
        (
            "ImportError at line 123: cannot import module foo from /path/to/file.py:456",
            "importerror at line <num>: cannot import module foo from file.py:<num>",
        ),
        ("object at 0x7f8a1b2c3d4e", "object at <hex>"),
        ("session-20251228-162203 failed", "session-<time> failed"),
        ("and/or tests", "and/or tests"),
        ("collection/import error", "collection/import error"),
        ("v2 phase p10 of 3", "v2 phase p10 of <num>"),
        ("commit 3b7ac903 failed", "commit <hash> failed"),
        ("in tests/a/b.py", "in b.py"),
        ("GET http://h:80/x?y=1.", "get <url>."),
        ("take 30 minutes, 1h 5m, 2m30s or 250ms", "take <duration>, <duration>, <duration> or <duration>"),
        ("HTTP/1.1 404 Not Found", "http/<num> 404 not found"),
        ("status_code=503, exit code -9", "status_code=503, exit code -9"),
        ("\u{1b}[31mfailed\u{1b}[0m", "failed"),
        ("can't find the user's file", "can't find the user's file"),
        ("No module named 'foo'; got 'bar baz'", "no module named foo; got <str>"),
        ("at 7f3d0b5e-93a1-4c52-8f6b-2f6c1e0a9d11", "at <uuid>"),
        ("no account for ann@example.org.", "no account for <email>."),
    ] {
        assert_eq!(template(text), expected, "{text:?}");
    }
}

#[test]
fn a_replacement_says_what_was_there_and_why() {
    let found = normalise("Cannot read '/srv/Data/A.csv' at line 12", &[]);
    let parts: Vec<_> = found.parameters.iter().map(|p| (p.rule, p.raw.as_str(), p.token.as_str())).collect();
    assert_eq!(parts, [(Rule::Path, "'/srv/Data/A.csv'", "a.csv"), (Rule::Line, "12", "<num>")]);
    let known = normalise("GET /runs/alpha for alpha: alphabet", &["alpha"]);
    assert_eq!(known.template, "get <path>/alpha for <id>: alphabet");
}

#[test]
fn a_timeout_is_keyed_by_its_stage_alone() {
    let of = |stage, raw, timed_out| {
        Fingerprint::of(&Evidence {
            state: "FAILED",
            stage: Some(stage),
            raw,
            timed_out,
            ..Evidence::default()
        })
    };
    let one = of("model_call", "no end after 900 s", true);
    assert_eq!(one.key, "FAILED|timeout|model_call");
    assert!(!one.is_systemic);
    assert_eq!(one.id, of("model_call", "something else", true).id);
    assert_ne!(one.id, of("preflight", "no end after 900 s", true).id);
}

#[test]
fn a_key_holds_state_exit_status_and_text() {
    let of = |state, exit, raw| Fingerprint::of(&Evidence { state, exit, raw, ..Evidence::default() });
    assert_eq!(of("FAILED", Some(0), "X").key, "FAILED|rc0|x");
    assert_eq!(of("QUEUED", Some(1), "TOKEN_ESCALATION").key, "QUEUED|rc1|token_escalation");
    let bare = of("FAILED", None, "");
    assert_eq!((bare.key.as_str(), bare.is_systemic), ("FAILED", false));
    assert_ne!(of("FAILED", Some(1), "X").id, of("FAILED", Some(0), "X").id);
}

/// Pieces that rules begin with, end with or are undone by.
const PIECES: &[&str] = &[
    "a",
    "B",
    "é",
    "İ",
    "0",
    "7",
    "42",
    "2025",
    "-",
    "_",
    ".",
    "/",
    "\\",
    ":",
    " ",
    "  ",
    "\n",
    "'",
    "\"",
    "`",
    "(",
    ")",
    "<",
    ">",
    "<num>",
    "<str>",
    "<path>",
    "file.py",
    "C:\\",
    "/x/",
    "~/",
    "./",
    "tests/",
    "http",
    "http://",
    "@",
    "line ",
    "s",
    "ms",
    "deadbeef1",
    "0x",
    "v1.2",
    "-12-28",
    "T16:22:03",
    "Z",
    "error(",
    "message: ",
    "key ",
    "%",
    "=",
    ",",
    "1e5",
    "\u{1b}[1m",
    "日",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_template_is_its_own_template(picks in prop::collection::vec(0..PIECES.len(), 0..14)) {
        let text: String = picks.into_iter().map(|pick| PIECES[pick]).collect();
        let once = template(&text);
        prop_assert_eq!(template(&once), once.clone(), "{:?}", text);
        prop_assert_eq!(template(&text.to_lowercase()), once, "{:?}", text);
    }

    #[test]
    fn any_text_has_a_template(text in ".{0,200}") {
        let found = normalise(&text, &[]);
        for parameter in &found.parameters {
            prop_assert!(!parameter.raw.is_empty());
        }
        prop_assert_eq!(template(&found.template), found.template);
    }
}
