//! The detectors on the shipped datasets: how much they find, and how often they are wrong.

use ops::cleanup::grade::{Grade, grade};

use super::kit::{fixture, read, rules};
use crate::support::golden::assert_golden;

fn graded(dataset: &str, file: &str) -> Grade {
    let rules = rules(dataset);
    let dir = tempfile::tempdir().unwrap();
    grade(&rules, &read(&rules, &fixture(file)), 7, dir.path()).unwrap()
}

#[test]
fn cut_titles_of_glyphs_are_found() {
    let grade = graded("glyphs", "cleanup/glyphs/glyphs_rows.ndjson");
    assert_golden("cleanup/glyphs/expected/grade.md", &grade.document().markdown());
    let cuts = grade.title_cuts.as_ref().unwrap();
    assert!(cuts.recall.all >= 400);
    assert!(cuts.recall.share().unwrap() > 0.95, "{cuts:?}");
    assert!(cuts.false_positives.share().unwrap() < 0.01, "{cuts:?}");
    assert_eq!(grade.raised, 0);
    assert_eq!(graded("glyphs", "cleanup/glyphs/glyphs_rows.ndjson"), grade, "the seed decides");
}

#[test]
fn contacts_have_no_text_that_repeats_a_name() {
    let grade = graded("contacts", "cleanup/contacts/contacts.ndjson");
    assert_golden("cleanup/contacts/expected/grade.md", &grade.document().markdown());
    let cuts = grade.title_cuts.as_ref().unwrap();
    assert_eq!(cuts.repeated.all, 0);
    assert!(cuts.false_positives.share().unwrap() < 0.01, "{cuts:?}");
    assert_eq!(grade.raised, 0);
}

#[test]
fn nothing_is_graded_in_an_empty_table() {
    let rules = rules("glyphs");
    let dir = tempfile::tempdir().unwrap();
    let grade = grade(&rules, &[], 7, dir.path()).unwrap();
    assert_eq!((grade.rows, grade.good, grade.raised), (0, 0, 0));
    assert!(grade.faults.iter().all(|fault| fault.recall.share().is_none()));
    assert!(!grade.document().markdown().is_empty());
}
