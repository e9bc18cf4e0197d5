//! What a journal gives back after every kind of end.

use super::*;
use crate::value::Value;

fn header() -> Header {
    Header {
        plan: "aa".into(),
        direction: "apply".into(),
        table: "public.t".into(),
        columns: vec!["id".into(), "name".into()],
        total: 10,
        changes: None,
        keys: None,
    }
}

fn at() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

fn some_of_each() -> Vec<Outcome> {
    let stored =
        |n, text: &str| Outcome::Applied { stored: Some(vec![Value::Int(n), Value::Text(text.to_owned())]) };
    vec![
        Outcome::Applied { stored: None },
        Outcome::Applied { stored: None },
        stored(1, "a\n\"ü\""),
        stored(2, "b"),
        Outcome::Already,
        Outcome::Drifted { found: None },
        Outcome::Drifted { found: Some(vec![Value::Int(3), Value::Null]) },
        Outcome::Failed { reason: "23505 t_slug_key".into() },
    ]
}

fn open(path: &Path) -> Result<(Journal, Option<Found>), RunError> {
    Journal::open(path, &header(), Durability::Strict)
}

fn outcomes(path: &Path) -> Vec<Outcome> {
    let mut outcomes = Outcomes::open(path).unwrap();
    std::iter::from_fn(|| outcomes.next_outcome().unwrap()).collect()
}

#[test]
fn what_is_written_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apply/journal.ndjson");
    let (mut journal, found) = open(&path).unwrap();
    assert_eq!(found, None);
    let canary = Canary { rows: 8, verified: 7, altered: 1 };
    journal.intent(0, 8, &[]).unwrap();
    journal.done(0, &some_of_each(), at(), Duration::ZERO).unwrap();
    journal.canary(canary, at()).unwrap();
    journal.approved(at()).unwrap();
    journal.intent(8, 2, &[3, 9]).unwrap();
    drop(journal);

    let (mut journal, found) = open(&path).unwrap();
    let expected = Found {
        next: 8,
        accepted: 7,
        tally: Tally { applied: 4, already: 1, drifted: 2, failed: 1 },
        in_doubt: Some(Doubt { rows: 2, already: vec![9] }),
        canary: Some(canary),
        is_approved: true,
        is_closed: false,
        torn: 0,
    };
    assert_eq!(found, Some(expected));
    journal.done(8, &[Outcome::Already], at(), Duration::ZERO).unwrap();
    let half = Doubt { rows: 1, already: vec![9] };
    assert_eq!(open(&path).unwrap().1.unwrap().in_doubt, Some(half), "half of the batch is decided");
    journal.done(9, &[Outcome::Already], at(), Duration::ZERO).unwrap();
    journal.closed(at()).unwrap();
    let found = open(&path).unwrap().1.unwrap();
    assert_eq!((found.next, found.in_doubt, found.is_closed), (10, None, true));
    assert_eq!(outcomes(&path)[..8], some_of_each());
    assert_eq!(outcomes(&path).len(), 10);
}

#[test]
fn a_line_is_spelled_as_books_are() {
    let mut out = Vec::new();
    line::write_done(400, &some_of_each(), at(), &mut out);
    let line = String::from_utf8(out).unwrap();
    let start = r#"{"done":{"first":400,"at":"2026-01-02T03:04:05Z","outcomes":[2,{"stored":[1,"a\n"#;
    assert!(line.starts_with(start) && line.ends_with("\"23505 t_slug_key\"}]}}\n"), "{line}");
}

#[test]
fn a_tail_torn_anywhere_is_cut_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.ndjson");
    let (mut journal, _) = open(&path).unwrap();
    journal.done(0, &some_of_each(), at(), Duration::ZERO).unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    journal.intent(8, 2, &[]).unwrap();
    let all = std::fs::read(&path).unwrap();
    for length in usize::try_from(whole).unwrap()..all.len() {
        std::fs::File::create(&path).unwrap().write_all(&all[..length]).unwrap();
        let found = open(&path).unwrap().1.unwrap();
        assert_eq!((found.next, found.in_doubt), (8, None), "cut at {length}");
        assert_eq!(found.torn, length as u64 - whole);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole, "the torn line is gone");
    }
    // A line of zeros, as some file systems leave after a power cut.
    let mut zeros = all.clone();
    zeros[usize::try_from(whole).unwrap()..all.len() - 1].fill(0);
    std::fs::File::create(&path).unwrap().write_all(&zeros).unwrap();
    assert_eq!(open(&path).unwrap().1.unwrap().torn, all.len() as u64 - whole);
}

#[test]
fn a_torn_first_line_is_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.ndjson");
    std::fs::File::create(&path).unwrap().write_all(b"{\"run\":{\"for").unwrap();
    assert_eq!(open(&path).unwrap().1, None);
    assert_eq!(open(&path).unwrap().1, Some(Found::default()));
}

#[test]
fn a_journal_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.ndjson");
    drop(open(&path).unwrap());
    for other in [
        Header { plan: "bb".into(), ..header() },
        Header { direction: "rollback".into(), ..header() },
        Header { total: 11, ..header() },
        Header { changes: Some("cc".into()), ..header() },
    ] {
        let error = Journal::open(&path, &other, Durability::Strict).unwrap_err();
        assert!(error.to_string().starts_with("the journal is of another run"), "{error}");
    }
}

#[test]
fn damage_in_the_middle_and_gaps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.ndjson");
    let with = |lines: &[&str]| {
        let _ = std::fs::remove_file(&path);
        drop(open(&path).unwrap());
        let mut file = File::options().append(true).open(&path).unwrap();
        for line in lines {
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        open(&path).map(|(_, found)| found.unwrap().next)
    };
    let done = |first: u64| {
        format!(r#"{{"done":{{"first":{first},"at":"2026-01-02T03:04:05Z","outcomes":[{{"already":5}}]}}}}"#)
    };
    assert_eq!(with(&[&done(0), &done(5)]).unwrap(), 10);
    let strange = done(0).replace("already", "strange");
    for lines in [
        vec![done(0), done(6)],
        vec![done(0), "{".to_owned(), done(5)],
        vec![strange, done(5)],
        vec![r#"{"intent":{"first":3,"rows":1}}"#.to_owned()],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let error = with(&lines).unwrap_err();
        assert!(error.to_string().starts_with("the journal is damaged"), "{error}");
    }
}

#[test]
fn only_a_journal_that_is_alone_says_what_it_is_about_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.ndjson");
    let (mut journal, _) = Journal::open(&path, &header(), Durability::Relaxed).unwrap();
    journal.intent(0, 5, &[]).unwrap();
    assert_eq!(peek(&path, &header()).unwrap().unwrap().in_doubt, None);
    assert_eq!(peek(&dir.path().join("none"), &header()).unwrap(), None);
}
