//! Rows with known results.

use ops::cleanup::score::advise;
use ops::cleanup::{Note, Scratch, fields};

use super::kit::{cleaned, row, rules, score};

const LONG: &str = "Mist over the harbor at dawn, thick and slow to lift from the cold grey water today.";
const LANTERN: &str = "A lantern in the window shows the way home for the sailor whose grief and joy arrive on the \
                       same tide.";

type Cells = &'static [(&'static str, &'static str)];

const SCORES: &[(&str, Cells, f64, &str)] = &[
    (
        "S01",
        &[("name", "calm"), ("description", "River stones under slow water.")],
        0.41,
        "stones river under water calm slow",
    ),
    (
        "S03",
        &[
            ("name", "calm"),
            ("description", "River stones under slow water."),
            ("symbolic_pairing", " "),
            ("emotional_tone", "import-job"),
        ],
        0.41,
        "stones river under water calm slow",
    ),
    ("S04", &[("name", "fog"), ("description", LONG)], 0.515, "harbor dawn mist over thick today"),
    (
        "S05",
        &[
            ("name", "Harbor of lig..."),
            ("description", LONG),
            ("symbolic_pairing", "a-b"),
            ("emotional_tone", "Gate 3"),
        ],
        0.655,
        "harbor dawn mist over thick today",
    ),
    (
        "S06",
        &[
            ("name", "Harbor of light."),
            ("description", LONG),
            ("symbolic_pairing", "a-b"),
            ("emotional_tone", "Gate 3"),
        ],
        0.67,
        "harbor light thick today water cold",
    ),
    (
        "S08",
        &[("name", "Harbor of light"), ("symbolic_pairing", "a-b"), ("emotional_tone", "Gate 3")],
        0.2625,
        "harbor light",
    ),
    (
        "S11",
        &[
            ("name", "Shield of the north"),
            ("description", "A quiet boundary; protect the ache, invite repair."),
        ],
        0.6725,
        "boundary protect invite repair shield north",
    ),
    (
        "S14",
        &[
            ("name", "A lantern in the window shows the way home"),
            ("description", LANTERN),
            ("symbolic_pairing", "a-b"),
            ("emotional_tone", "12 bright"),
        ],
        0.9,
        "lantern window shows home arrive sailor",
    ),
];

#[test]
#[expect(clippy::float_cmp, reason = "rounded to four places on both sides")]
fn scores_and_keywords() {
    let rules = rules("glyphs");
    for (id, cells, expected, triggers) in SCORES {
        let found = score(&rules, cells);
        assert_eq!(found.rounded(), *expected, "{id}: {:?}", found.parts());
        assert_eq!(found.is_fragment(&rules.dataset().score), *expected < 0.5, "{id}");
        let row = cleaned(&rules, cells);
        let triggers: Vec<&str> = triggers.split(' ').collect();
        assert_eq!(row.cell(&rules, "triggers"), serde_json::to_string(&triggers).unwrap(), "{id}");
    }
}

#[test]
fn a_score_is_the_sum_of_its_parts_in_their_order() {
    let rules = rules("glyphs");
    let found = score(&rules, &[("name", "Harbor"), ("description", LONG), ("symbolic_pairing", "a-b")]);
    let sum = 0.3 * (6.0 / 40.0) + 0.3 * 1.0 + 0.2 * 1.0 + 0.2 * (1.0 / 4.0);
    assert_eq!(found.total().to_bits(), f64::to_bits(sum));
    assert_eq!(found.parts(), [6.0 / 40.0, 1.0, 1.0, 0.25]);
}

#[test]
fn exactly_the_threshold_is_no_fragment() {
    let rules = rules("glyphs");
    let at = score(&rules, &[("description", LONG)]);
    assert!((at.total() - 0.5).abs() < 1e-12);
    assert!(!at.is_fragment(&rules.dataset().score));
    assert!(at.is_below(0.5001));
}

#[test]
fn what_would_save_a_fragment_comes_cheapest_first() {
    let rules = rules("glyphs");
    let cells = [("name", "calm"), ("description", "River stones under slow water.")];
    let found = score(&rules, &cells);
    let texts: Vec<String> =
        advise(&rules, &row(&rules, &cells), &found).into_iter().map(|advice| advice.text).collect();
    assert_eq!(
        texts,
        [
            "12 more characters of name (16 instead of 4)",
            "values in 2 of symbolic_pairing, response_layer, glyph_type, emotional_tone",
            "50 more characters of description (80 instead of 30)",
        ]
    );
    let saved = score(&rules, &[("name", "calm and a river"), cells[1]]);
    assert!(!saved.is_fragment(&rules.dataset().score));
    assert!(advise(&rules, &row(&rules, &cells), &saved).is_empty());
}

#[test]
fn titles_are_flagged_and_never_rewritten() {
    let rules = rules("glyphs");
    let suggestion = Some("Mist over the harbor at dawn");
    for (name, description, expected) in [
        ("Harbor of light.", LONG, None),
        ("Harbor of lig...", LONG, Some(("truncated_name", suggestion))),
        ("Harbor of lig\u{2026}", LONG, Some(("truncated_name", suggestion))),
        ("\"Harbor of lig...\"", LONG, Some(("truncated_name", suggestion))),
        ("fog", LONG, Some(("short_name", suggestion))),
        ("", "The", Some(("missing_name", Some("The")))),
        ("null. of light", LONG, None),
    ] {
        let row = cleaned(&rules, &[("name", name), ("description", description)]);
        assert_eq!(row.cell(&rules, "name"), name);
        assert_eq!(row.flags().first().copied(), expected, "{name}");
    }
    let row = cleaned(&rules, &[("name", "fog")]);
    assert_eq!(row.flags(), [("short_name", None)], "nothing to suggest from");
}

#[test]
fn lists_keep_what_somebody_chose() {
    let rules = rules("glyphs");
    for (triggers, description, expected) in [
        (r"Joy; Grief | LOVE, rest/peace\calm", LONG, r#"["joy","grief","love","rest","peace","calm"]"#),
        (r#"["harbor light","tide"]"#, LONG, r#"["harbor light","tide","harbor","dawn","mist","over"]"#),
        (r#"["tide", 3, "tide"]"#, "", r#"["tide","3"]"#),
        (r#"["a","b","c","d","e","f","g"]"#, LONG, r#"["a","b","c","d","e","f","g"]"#),
        (
            "",
            "It doesn\u{2019}t matter what you wish, wish, wish",
            "[\"wish\",\"doesn\u{2019}t\",\"matter\"]",
        ),
        ("", "", "null"),
    ] {
        let mut cells = vec![("description", description)];
        if !triggers.is_empty() {
            cells.push(("triggers", triggers));
        }
        assert_eq!(cleaned(&rules, &cells).cell(&rules, "triggers"), expected, "{triggers}");
    }
}

#[test]
fn missing_values_are_given_by_words() {
    let rules = rules("glyphs");
    for (column, cells, expected) in [
        (
            "response_layer",
            [("description", "A quiet boundary; protect the ache, invite repair.")].as_slice(),
            "grounding",
        ),
        ("response_layer", &[("description", "quiet ache")], "inner_reflection"),
        ("response_layer", &[("description", "QUIET")], "inner_reflection"),
        ("response_layer", &[("description", "boundaries")], "null"),
        (
            "response_layer",
            &[("description", "boundary"), ("response_layer", "inner reflection")],
            "inner reflection",
        ),
        ("glyph_type", &[("name", "to let go of it")], "surrender"),
        ("glyph_type", &[("name", "repair"), ("description", "a shield")], "shielding"),
        ("glyph_type", &[("name", "repair"), ("glyph_type", "mine")], "mine"),
        ("emotional_tone", &[("description", "grief and joy")], "grief"),
        ("emotional_tone", &[("description", "joy"), ("emotional_tone", "Gate 3")], "Gate 3"),
        ("emotional_tone", &[("triggers", "wonder")], "awe"),
        ("depth", &[], "3"),
        ("depth", &[("depth", "0")], "1"),
        ("depth", &[("depth", "9")], "5"),
        ("depth", &[("depth", "x")], "3"),
        ("depth", &[("depth", "4.0")], "4"),
        ("depth", &[("depth", "99999999999999999999")], "5"),
        ("created_from_chat", &[("created_from_chat", "TRUE")], "true"),
        ("created_from_chat", &[("created_from_chat", "false")], "false"),
        ("created_from_chat", &[], "false"),
    ] {
        assert_eq!(cleaned(&rules, cells).cell(&rules, column), expected, "{column} {cells:?}");
    }
}

#[test]
fn every_change_is_a_note_that_says_how_to_undo_it() {
    let rules = rules("glyphs");
    let cells = [
        ("name", "Harbor of light"),
        ("depth", "9"),
        ("description", "quiet ache"),
        ("created_from_chat", "false"),
    ];
    let row = cleaned(&rules, &cells);
    let before = super::kit::row(&rules, &cells);
    for (i, column) in rules.dataset().columns.iter().enumerate() {
        let edit = row.notes.iter().find_map(|note| match note {
            Note::Edit(at, edit) if *at == i => Some((&*edit.before, &*edit.after, &*edit.evidence)),
            _ => None,
        });
        let expected = match column.name.as_str() {
            "slug" => Some(("null", "\"harbor_of_light\"", "made of `name`")),
            "depth" => Some(("\"9\"", "5", "clamped to the range of the column")),
            "response_layer" => Some(("null", "\"inner_reflection\"", "`quiet` in `description`")),
            "emotional_tone" => Some(("null", "\"longing\"", "`ache` in `description`")),
            "triggers" => {
                Some(("null", r#"["harbor","light","quiet","ache"]"#, "0 chosen, 4 most frequent of the row"))
            }
            _ => None,
        };
        assert_eq!(edit, expected, "{}", column.name);
        if expected.is_none() && column.name != "created_from_chat" {
            assert_eq!(row.row.cells[i], before.cells[i], "{}", column.name);
        }
    }
}

#[test]
fn a_fragment_is_marked_where_it_is_empty() {
    let rules = rules("glyphs");
    let mut row = row(&rules, &[("name", "calm"), ("glyph_type", "mine"), ("emotional_tone", " ")]);
    let mut notes = Vec::new();
    fields::mark_fragment(&rules, &mut row, &mut notes);
    assert_eq!(notes.len(), 1);
    let cell = |name: &str| row.cells[rules.dataset().column(name).unwrap()].text().unwrap();
    assert_eq!((cell("emotional_tone"), cell("glyph_type")), ("discard_candidate", "mine"));
}

#[test]
#[expect(clippy::float_cmp, reason = "rounded to four places on both sides")]
fn contacts_are_no_glyphs() {
    let rules = rules("contacts");
    let cells = [
        ("contact_id", "17"),
        ("full_name", "Iris Berg"),
        ("email", "iris@example.org"),
        ("phone", "n/a"),
        ("tags", "Press; Berlin"),
        ("last_contact", "2026-02-30"),
    ];
    let found = score(&rules, &cells);
    assert_eq!(found.parts(), [9.0 / 12.0, 0.5, 0.5, 0.0]);
    assert_eq!(found.rounded(), 0.5);
    let row = cleaned(&rules, &cells);
    assert_eq!(row.cell(&rules, "segment"), "press");
    assert_eq!(row.cell(&rules, "tags"), r#"["press","berlin"]"#);
    assert_eq!(row.cell(&rules, "contact_id"), "17");
    assert_eq!(row.flags(), [("bad_value", None)]);
    let mut scratch = Scratch::default();
    let again = ops::cleanup::score::assess(&rules, &super::kit::row(&rules, &cells), &mut scratch);
    assert_eq!(again, found, "buffers leave nothing behind");
}
