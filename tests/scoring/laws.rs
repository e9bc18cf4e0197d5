//! The laws of the score, on rows that are made to break them.

use std::borrow::Cow;

use ops::cleanup::score::assess;
use ops::cleanup::{Cell, Rules, Scratch};
use ops::records::{Batch, Entry, Field, Format, ReadOptions, Records};
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

/// The scores of the rows that a file has.
fn scores(rules: &Rules, format: Format, bytes: &[u8], folder: &std::path::Path) -> Vec<f64> {
    let file = folder.join("rows");
    ops::files::write_atomic(&file, bytes).unwrap();
    let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
    let Ok(mut records) = Records::open_with(&file, folder, &options) else { return Vec::new() };
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    while records.fill(&mut batch).unwrap_or(false) {
        for entry in batch.entries() {
            let Entry::Record { record, .. } = entry else { continue };
            let mut row = row(rules, &[]);
            for (name, field) in record.fields() {
                let Some(place) = rules.dataset().column(name) else { continue };
                row.open = record.is_open().then_some(place);
                row.cells[place] = match field {
                    Field::Cell("") | Field::Json("null") => Cell::Null,
                    Field::Json(json) => {
                        serde_json::from_str(json).map_or(Cell::Json(Cow::Borrowed(json)), Cell::Text)
                    }
                    Field::Cell(text) | Field::Quoted(text) => Cell::Text(Cow::Borrowed(text)),
                };
            }
            found.push(assess(rules, &row, &mut Scratch::default()).total());
        }
    }
    found
}

/// The last column decides most: what is cut of it must not look like a value that words of the row may give.
#[test]
fn cutting_a_file_never_raises_a_score() {
    let rules = rules("glyphs");
    let folder = tempfile::tempdir().unwrap();
    let name = "Shield of the north";
    let text = "A quiet boundary; protect the ache, invite repair.";
    for (last, value) in [
        ("emotional_tone", "Gate 3"),
        ("glyph_type", "import"),
        ("triggers", "[\"boundary\"]"),
        ("description", "Quiet words for the north wind"),
    ] {
        let files = [
            (
                Format::Csv,
                format!("name,description,{last}\n{name},\"{text}\",\n{name},\"{text}\",{value}")
                    .replace("[\"boundary\"]", "boundary;tide"),
            ),
            (
                Format::Tsv,
                format!("name\tdescription\t{last}\r\n{name}\t{text}\t\r\n{name}\t{text}\t{value}")
                    .replace("[\"boundary\"]", "boundary;tide"),
            ),
            (
                Format::Ndjson,
                format!("{0}\n{0}", serde_json::json!({"name": name, "description": text, last: value})),
            ),
            (
                Format::Json,
                format!("[{0},{0}]", serde_json::json!({"name": name, "description": text, last: value})),
            ),
            (
                Format::Sql,
                format!(
                    "INSERT INTO g (name, description, {last}) VALUES ('{name}', '{text}', '{value}'), ('{name}', '{text}', NULL);"
                ),
            ),
        ];
        for (format, file) in files {
            // A column that is named twice is no file.
            let file =
                if last == "description" { file.replacen("description", "source_message", 1) } else { file };
            let whole = scores(&rules, format, file.as_bytes(), folder.path());
            assert_eq!(whole.len(), 2, "{format:?} {file}");
            for at in 0..file.len() {
                let part = scores(&rules, format, &file.as_bytes()[..at], folder.path());
                for (part, whole) in part.iter().zip(&whole) {
                    assert!(
                        part <= whole,
                        "{format:?}, cut at {at}: {part} instead of {whole}: {:?}",
                        &file[..at]
                    );
                }
            }
        }
    }
}
