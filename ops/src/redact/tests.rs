//! The corpus, and what holds of any text.

use std::time::Instant;

use proptest::prelude::*;

use super::corpus::{HARMLESS, HIDDEN};
use super::*;

#[test]
fn what_must_not_leave_is_hidden() {
    let wrong: Vec<String> = HIDDEN
        .iter()
        .filter(|(text, masked)| redact(text) != *masked)
        .map(|(text, masked)| format!("{text}\n  is     {}\n  not    {masked}", redact(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(HIDDEN.len() >= 80);
}

#[test]
fn what_is_harmless_survives() {
    let wrong: Vec<String> = HARMLESS
        .iter()
        .filter(|text| redact(text) != **text)
        .map(|text| format!("{text}\n  became {}", redact(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(HARMLESS.len() >= 120);
    assert!(HARMLESS.iter().all(|text| matches!(redact(text), Cow::Borrowed(_))));
}

#[test]
fn what_is_found_alone_is_found_in_a_sentence() {
    for (text, masked) in HIDDEN {
        // What ends with the line, or begins with its own end, is not a sentence.
        if text.contains('\n') || text.contains("ookie") || text.ends_with(['.', ',', '!', ';']) {
            continue;
        }
        for (before, after) in [("Note: ", " ok"), ("(", ")"), ("a\n", "\nb"), ("«", "»"), ("\t", "\r\n")] {
            let found = redact(&format!("{before}{text}{after}")).into_owned();
            assert_eq!(found, format!("{before}{masked}{after}"), "{text}");
        }
    }
}

#[test]
fn the_cut_is_behind_a_whole_grapheme() {
    let long = "a".repeat(161);
    assert_eq!(snippet(&long, 160), "a".repeat(160));
    // A family is seven code points and one picture.
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    assert_eq!(snippet(&format!("{}{family}", "a".repeat(155)), 160), "a".repeat(155));
    assert_eq!(snippet(&format!("{}{family}", "a".repeat(153)), 160), format!("{}{family}", "a".repeat(153)));
    assert_eq!(snippet("e\u{301}e\u{301}", 3), "e\u{301}");
    assert_eq!(snippet("🇩🇪🇫🇷", 3), "🇩🇪");
    assert_eq!(snippet("short", 160), "short");
    assert_eq!(snippet("", 0), "");
}

#[test]
fn a_cut_neither_halves_a_mask_nor_uncovers_what_is_behind_it() {
    let text = "write to bob@example.org soon";
    assert_eq!(snippet(text, 12), "write to ");
    assert_eq!(snippet(text, 25), "write to [redacted-email]");
    // Cut first, the phone number would be an id of seven digits.
    assert_eq!(snippet("+1 555 123 4567", 9), "");
}

#[test]
fn long_lines_take_linear_time() {
    let seconds = |unit: &str, size: usize| {
        let text = unit.repeat(size / unit.len());
        let began = Instant::now();
        assert!(!redact(&text).is_empty());
        began.elapsed().as_secs_f64()
    };
    let units = [
        "a",
        "a@",
        "1",
        "1 ",
        "1-",
        "a-",
        "://",
        "eyJ",
        "eyJ-",
        "(",
        "+1",
        "@",
        "%40",
        "a%40",
        "token=\"$ ",
        "password=",
        "\"",
        "key ",
        "-----BEGIN PRIVATE KEY-----",
        "cookie: a",
        "authorization: a ",
        "bob@example.org ",
        "DE89 ",
        "https://a:",
        "call me at ",
        "a.",
        "@a.",
        "é",
    ];
    for unit in units {
        let (small, large) = (seconds(unit, 10_000), seconds(unit, 200_000));
        // Twenty times the text: linear time is twenty times as long, quadratic four hundred times.
        assert!(large < 120.0 * small + 1.0, "{unit}: {small} s, {large} s");
    }
    assert!(seconds("words, 2026-01-02 and bob@example.org; ", 10_000_000) < 120.0);
}

/// Pieces that meet in every order.
fn pieces() -> impl Strategy<Value = String> {
    let hidden = (0..HIDDEN.len()).prop_map(|i| HIDDEN[i].0.to_owned());
    let harmless = (0..HARMLESS.len()).prop_map(|i| HARMLESS[i].to_owned());
    let glue = "[ -@+:=.,;\"'()/\\\\\n_a-cA-C0-9]{0,3}";
    let words = prop_oneof![
        Just("token"),
        Just("password"),
        Just(" is "),
        Just("phone "),
        Just("Bearer "),
        Just("--"),
        Just("://")
    ];
    let piece = prop_oneof![3 => hidden, 1 => harmless, 3 => glue, 2 => words.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn twice_is_once(text in pieces()) {
        let once = redact(&text).into_owned();
        prop_assert_eq!(redact(&once), &*once);
    }

    #[test]
    fn any_text_has_an_end(text in any::<String>(), limit in 0_usize..200) {
        let shown = snippet(&text, limit);
        prop_assert!(shown.chars().count() <= limit);
        prop_assert!(redact(&text).starts_with(&shown));
    }
}
