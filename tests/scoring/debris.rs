//! Flags for debris, with known results, and templates that only the table shows.

use ops::cleanup::artifacts::{Tally, check};
use ops::cleanup::titles::{Learned, Survey};
use ops::cleanup::{Note, Row, Rules, Scratch};
use ops::config::Config;

use super::kit::{fixture, read, row, rules};

fn flags(rules: &Rules, learned: &Learned, row: &Row<'_>) -> Vec<&'static str> {
    notes(rules, learned, row)
        .iter()
        .filter_map(|note| match note {
            Note::Finding(_, finding) => Some(finding.rule.id),
            Note::Edit(..) => None,
        })
        .collect()
}

fn notes(rules: &Rules, learned: &Learned, row: &Row<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    check(rules, learned, row, &mut notes, &mut Scratch::default());
    notes
}

#[test]
fn each_rule_holds_where_it_should_and_not_beside_it() {
    let rules = rules("glyphs");
    let lines = |n: usize| "a line\n".repeat(n);
    for (column, text, expected) in [
        ("name", "Report [3]".to_owned(), ["symbols", "bracket_in_title", "numbered_title"].as_slice()),
        ("name", "Report (12)".to_owned(), &["numbered_title"]),
        ("name", "Report (draft)".to_owned(), &[]),
        ("name", "a\tb".to_owned(), &["tab_in_title"]),
        ("description", "a\tb [3]".to_owned(), &["symbols"]),
        ("name", "x".repeat(60), &[]),
        ("name", "x".repeat(61), &["long_title"]),
        ("description", "x".repeat(1000), &[]),
        ("description", "x".repeat(1001), &["long_text"]),
        ("description", lines(6), &[]),
        ("description", lines(7), &["many_lines"]),
        ("description", "look: ``` and then words enough".to_owned(), &["code_fence"]),
        ("description", "words enough for this ***".to_owned(), &["emphasis_run"]),
        ("description", "the exported joy of archivists, jsonified".to_owned(), &[]),
        ("description", "Markdown Export, twice: markdown".to_owned(), &["export_marker", "export_marker"]),
        ("description", "this one is DEPRECATED now".to_owned(), &["deprecated"]),
        ("description", "undeprecated is no word".to_owned(), &[]),
        ("description", "see https://example.org for the rest".to_owned(), &["url"]),
        ("description", "see www.example.org for the rest".to_owned(), &["url"]),
        ("description", "the profile: a file: of it".to_owned(), &["file_reference"]),
        ("description", "the subtitle: none".to_owned(), &[]),
        ("description", "Title: something".to_owned(), &["title_label"]),
        ("description", "Module \u{2014} one".to_owned(), &["module_heading"]),
        ("description", "module one - two".to_owned(), &[]),
        ("description", "some <b>bold</b> words among many others".to_owned(), &["html"]),
        ("description", "a <html of old".to_owned(), &["html"]),
        ("description", "a < b and i > c in these words".to_owned(), &[]),
        ("description", "first\n## Second part".to_owned(), &["heading"]),
        ("description", "we are #1 and # 2".to_owned(), &[]),
        ("description", "the \u{1f4dc} of many words".to_owned(), &["archive_emoji"]),
        ("description", "caf\u{e9} \u{3b1}\u{3b2}\u{3b3} \u{2014} \u{201c}quoted\u{201d}".to_owned(), &[]),
        ("description", "@@## !!".to_owned(), &["symbols"]),
        ("description", String::new(), &[]),
        ("triggers", "you; your; what; harbor".to_owned(), &["generic_words"]),
        ("triggers", "you; your; harbor".to_owned(), &[]),
    ] {
        let found = flags(&rules, &Learned::default(), &row(&rules, &[(column, &text)]));
        assert_eq!(found, expected, "{column} {text:?}");
    }
}

#[test]
fn a_rule_can_be_switched_off() {
    let mut dataset = Config::shipped().unwrap().datasets.remove("glyphs").unwrap();
    dataset.artifacts.without = vec!["url".to_owned()];
    let rules = Rules::new(dataset.clone()).unwrap();
    let text = "see https://example.org and ```";
    assert_eq!(flags(&rules, &Learned::default(), &row(&rules, &[("description", text)])), ["code_fence"]);
    dataset.artifacts.without = vec!["urls".to_owned()];
    assert!(Rules::new(dataset).unwrap_err().to_string().contains("no rule is called `urls`"));
}

#[test]
fn a_template_is_found_in_its_table_and_in_no_order() {
    let rules = rules("glyphs");
    let rows = read(&rules, &fixture("cleanup/glyphs/glyphs_rows.ndjson"));
    let learn = |rows: &[Row<'_>]| {
        let mut survey = Survey::new(&rules);
        for row in rows {
            survey.add(&rules, row);
        }
        survey
    };
    let learned = learn(&rows).learned();
    let (mut right, mut wrong) = (0, 0);
    for row in &rows {
        let text = row.cells[rules.dataset().column("description").unwrap()].text().unwrap();
        let is_template = text.contains("Where");
        let is_found = flags(&rules, &learned, row).contains(&"template");
        right += usize::from(is_template == is_found);
        wrong += usize::from(is_template != is_found);
    }
    assert!(wrong == 0, "{right} right, {wrong} wrong");

    let mut reversed: Vec<Row<'_>> = rows.clone();
    reversed.reverse();
    let mut halves = learn(&reversed[..300]);
    halves.merge(&learn(&reversed[300..]));
    let other = halves.learned();
    for row in &rows {
        assert_eq!(notes(&rules, &learned, row), notes(&rules, &other, row));
    }
    assert_eq!(
        flags(&rules, &Learned::default(), &rows[0]).iter().filter(|id| **id == "template").count(),
        0
    );
}

#[test]
fn a_table_that_is_debris_throughout_is_said_to_be() {
    let rules = rules("glyphs");
    let mut tally = Tally::default();
    assert_eq!(tally.warning(rules.dataset()), None);
    for _ in 0..3 {
        tally.add(&notes(&rules, &Learned::default(), &row(&rules, &[("name", "Report [3]")])));
    }
    assert_eq!(tally.clean(), 0);
    assert!(
        tally.warning(rules.dataset()).unwrap().starts_with("all 3 rows of glyphs are flagged as debris")
    );
    tally.add(&[]);
    assert_eq!((tally.clean(), tally.warning(rules.dataset())), (1, None));
}
