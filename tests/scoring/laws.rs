//! The laws of the score, on rows that are made to break them.

use ops::cleanup::score::assess;
use ops::cleanup::{Rules, Scratch};
use proptest::prelude::*;

use super::kit::{row, rules};

const COLUMNS: [&str; 7] =
    ["name", "description", "triggers", "symbolic_pairing", "response_layer", "glyph_type", "emotional_tone"];

/// Pieces that cut into something else: beginnings of each other, marks, placeholders, generic words, escapes.
const PIECES: [&str; 44] = [
    "shield",
    "shields",
    "shielding",
    "ache",
    "aches",
    "let go",
    "let gone",
    "joy",
    "joyful",
    "harbor",
    "harbors",
    "harbor's",
    "harbor\u{2019}s",
    "doesn\u{2019}t",
    "being",
    "beings",
    "what",
    "whatever",
    "this",
    "thistle",
    "Gate 3",
    "frigate",
    "gate",
    "12 bright",
    "import-job",
    "import-jobs",
    "...",
    "..",
    ".",
    "\u{2026}",
    "e\u{301}",
    "\u{fffd}",
    "\u{200b}",
    "&amp;",
    ";",
    ",",
    "/",
    "[\"",
    "\"",
    "\",\"",
    "\\u00e9",
    "null",
    "  ",
    "\n",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES.to_vec());
    prop::collection::vec((piece, prop::sample::select(vec!["", " ", " ", ". "])), 0..12)
        .prop_map(|parts| parts.into_iter().map(|(piece, gap)| format!("{piece}{gap}")).collect())
}

fn cells() -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::weighted(0.6, text()), COLUMNS.len())
}

fn total(rules: &Rules, cells: &[Option<String>], scratch: &mut Scratch) -> f64 {
    let cells: Vec<(&str, &str)> =
        COLUMNS.iter().zip(cells).filter_map(|(name, cell)| Some((*name, cell.as_deref()?))).collect();
    assess(rules, &row(rules, &cells), scratch).total()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn cutting_a_cell_never_raises_the_score(cells in cells()) {
        let rules = rules("glyphs");
        let mut scratch = Scratch::default();
        let whole = total(&rules, &cells, &mut scratch);
        prop_assert!((0.0..=1.0).contains(&whole));
        for i in 0..cells.len() {
            let Some(text) = &cells[i] else { continue };
            for at in 0..text.len() {
                // A cut inside a character leaves a replacement character, or nothing of it.
                let cut = String::from_utf8_lossy(&text.as_bytes()[..at]).into_owned();
                let mut cells = cells.clone();
                cells[i] = Some(cut.clone());
                let part = total(&rules, &cells, &mut scratch);
                prop_assert!(part <= whole, "{}: {cut:?} is worth {part}, {text:?} {whole}", COLUMNS[i]);
            }
        }
    }

    #[test]
    fn adding_never_lowers_the_score(cells in cells(), more in text(), word in "[a-z]{1,9}") {
        let rules = rules("glyphs");
        let mut scratch = Scratch::default();
        let before = total(&rules, &cells, &mut scratch);
        for (i, name) in COLUMNS.iter().enumerate() {
            let mut longer = cells.clone();
            match (*name, &cells[i]) {
                ("description", Some(text)) => longer[i] = Some(format!("{text}{more}")),
                ("triggers", Some(text)) => longer[i] = Some(format!("{text};{word}")),
                ("triggers", None) => longer[i] = Some(word.clone()),
                ("name" | "description", _) | (_, Some(_)) => continue,
                // A word that begins no placeholder.
                (_, None) => longer[i] = Some(format!("x{word}")),
            }
            let after = total(&rules, &longer, &mut scratch);
            prop_assert!(after >= before, "{name}: {after} after {before}: {:?}", longer[i]);
        }
    }
}
