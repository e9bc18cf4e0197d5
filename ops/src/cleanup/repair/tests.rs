//! Whole cells through all rules.

use proptest::prelude::*;

use super::corpus::{CORRECT, DAMAGED, PROOF};
use super::*;

pub(super) fn dataset() -> Dataset {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
        without: Vec::new(),
        title: None,
        placeholders: Vec::new(),
        fill: None,
    };
    Dataset {
        name: "test".to_owned(),
        table: "test".to_owned(),
        sheet_last: Vec::new(),
        key: Vec::new(),
        columns: vec![column("text", Kind::Text), column("id", Kind::Id), column("list", Kind::List)],
        slug: None,
        duplicates: crate::cleanup::Duplicates::default(),
        score: crate::cleanup::Scoring::default(),
        artifacts: super::super::Artifacts::default(),
    }
}

/// Repairs the cells of one column, which have heard each other.
fn repaired(cells: &[&str]) -> Vec<String> {
    repaired_with_notes(cells).0
}

fn repaired_with_notes(cells: &[&str]) -> (Vec<String>, Vec<Note>) {
    let mut vote = Vote::new();
    for cell in cells {
        vote.observe(0, cell);
    }
    let dataset = dataset();
    let repairer = Repairer::new(&dataset, &vote.decide(&dataset));
    let mut notes = Vec::new();
    let repair = |cell: &&str| repairer.repair(0, cell, &mut notes).unwrap_or_else(|| (*cell).to_owned());
    (cells.iter().map(repair).collect(), notes)
}

#[test]
fn one_cell_alone() {
    for (seen, correct) in [
        ("itâ€™s ok", "it’s ok"),
        ("it\u{E2}\u{80}\u{99}s ok", "it’s ok"),
        ("â€”dashâ€”", "—dash—"),
        ("cafÃ©, naÃ¯ve", "café, naïve"),
        ("â€¢ dot", "• dot"),
        ("ðŸ’¡", "\u{1F4A1}"),
        ("caf√©", "café"),
        ("S\u{307}", "\u{1E60}"),
    ] {
        assert_eq!(repaired(&[seen]), [correct], "{seen}");
    }
}

/// The lines of the corpus of correct text.
fn correct() -> Vec<&'static str> {
    CORRECT.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn correct_text_stays() {
    let cells = correct();
    assert!(cells.len() >= 300, "{}", cells.len());
    // Alone, all in one column, and in a column where every encoding is proved to have done damage.
    let wrong: Vec<_> = cells.iter().filter(|cell| repaired(&[cell]) != [**cell]).collect();
    assert_eq!(wrong, Vec::<&&str>::new(), "alone");
    let (after, notes) = repaired_with_notes(&cells);
    assert_eq!(after, cells);
    assert_eq!(notes, [], "nothing to see either");
    let proved: Vec<&str> =
        PROOF.iter().flat_map(|proof| [*proof; 20]).chain(cells.iter().copied()).collect();
    let after = repaired(&proved);
    assert!(
        after.iter().zip(&proved).take(PROOF.len() * 20).all(|(after, before)| after != before),
        "no proof"
    );
    let wrong: Vec<_> =
        after[PROOF.len() * 20..].iter().zip(&cells).filter(|(after, before)| after != *before).collect();
    assert_eq!(wrong, Vec::<(&String, &&str)>::new(), "in damaged company");
}

#[test]
fn damage_is_undone_alone_and_in_company() {
    let wrong: Vec<_> = DAMAGED
        .iter()
        .map(|(seen, correct)| (*seen, repaired(&[seen]).remove(0), *correct))
        .filter(|(_, after, correct)| after != correct)
        .collect();
    assert_eq!(wrong, Vec::<(&str, String, &str)>::new());
}

/// A document with the damage of two real ones: lines of one encoding, two of which lost a byte.
fn document(codec: Codec, signs: &[&str]) -> (Vec<String>, Vec<String>) {
    let correct: Vec<String> =
        signs.iter().enumerate().map(|(n, sign)| format!("- {sign} Step {n} of the guide")).collect();
    let seen = |byte: u8| if byte.is_ascii() { char::from(byte) } else { codec.decode(byte) };
    (correct.iter().map(|line| line.bytes().map(seen).collect()).collect(), correct)
}

#[test]
fn a_document_is_repaired_as_a_whole() {
    // All of them have three or four characters each, which no line proves alone.
    let signs: Vec<&str> =
        "✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ⚠\u{FE0F} 🎯 📁 🚀 🔧 🛡\u{FE0F} 📊 🔍 📈 ✅".split(' ').collect();
    let (seen, correct) = document(Codec::MacRoman, &signs);
    assert_eq!(seen.len(), 20);
    assert_eq!(repaired(&seen.iter().map(String::as_str).collect::<Vec<_>>()), correct);

    let signs: Vec<&str> = "📘 📊 🔧 🔧 ≥20 ✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ✅ ⏳ ⏳ ≥20".split(' ').collect();
    let (mut seen, mut correct) = document(Codec::Cp1252, &signs);
    for line in &mut seen {
        *line = line.replace('\u{8F}', "");
    }
    let whole = correct.clone();
    for at in [16, 17] {
        correct[at].clone_from(&seen[at]);
    }
    let (after, notes) = repaired_with_notes(&seen.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(after, correct);
    let candidates: Vec<_> = notes
        .iter()
        .filter_map(|note| match note {
            Note::Finding(Some(0), finding) if finding.rule == MOJIBAKE_LOSSY => finding.candidate.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(candidates, whole[16..18]);
    let edit = notes.iter().find_map(|note| match note {
        Note::Edit(0, edit) => Some(&*edit.evidence),
        _ => None,
    });
    assert_eq!(edit, Some("cp1252: 17 of 19 damaged cells of this column decode; 1 of this cell"));
}

#[test]
fn rules_are_off_where_a_column_is_without_them() {
    let mut dataset = dataset();
    let seen = "  it’s\u{200B} &amp; it ";
    let mut of = |without: &[&str], kind| {
        dataset.columns[0].without = without.iter().map(|id| (*id).to_owned()).collect();
        dataset.columns[0].kind = kind;
        let mut notes = Vec::new();
        let text = Repairer::new(&dataset, &Decisions::default()).repair(0, seen, &mut notes);
        (text, notes.len())
    };
    assert_eq!(of(&[], Kind::Text), (Some("it’s & it".to_owned()), 3));
    assert_eq!(of(&["entities", "invisible"], Kind::Text), (Some("it’s\u{200B} &amp; it".to_owned()), 1));
    assert_eq!(of(&["all"], Kind::Text), (None, 0));
    assert_eq!(of(&[], Kind::Boolean), (None, 0));
    // An id is never repaired; what would be is noted.
    assert_eq!(of(&[], Kind::Id), (None, 3));
}

/// Once its neighbours are repaired, nothing says that a cell was damaged: it must not be repaired further then.
#[test]
fn a_cell_is_repaired_as_far_beside_damaged_ones_as_beside_repaired_ones() {
    let first = repaired(&["Â  a\0b\u{200B}c", "itâ€™s", "itâ€™s so", "thatâ€™s it"]);
    assert_eq!(first, ["Â a bc", "it’s", "it’s so", "that’s it"]);
    assert_eq!(repaired(&first.iter().map(String::as_str).collect::<Vec<_>>()), first);
    assert_eq!(repaired(&["Â  a\0b\u{200B}c"]), first[..1]);
}

#[test]
fn edits_can_be_undone() {
    let dataset = dataset();
    let mut notes = Vec::new();
    let seen = " a\u{0}b &lt;c&gt; S\u{307}\u{202E}";
    let after = Repairer::new(&dataset, &Decisions::default()).repair(0, seen, &mut notes);
    let mut text = serde_json::to_string(&after).unwrap();
    for note in notes.iter().rev() {
        let Note::Edit(0, edit) = note else { panic!("{note:?}") };
        assert_eq!(edit.after, text);
        text = edit.before.to_string();
    }
    assert_eq!(text, serde_json::to_string(seen).unwrap());
}

/// Characters that rules look at, and parts of what they undo.
#[rustfmt::skip]
const NASTY: &[&str] = &[
    " ", "  ", "\n", "\t", "\r", "a", "é", "Ã", "Â", "â", "€", "™", "\u{A0}", "\u{AD}", "\u{80}", "\u{99}",
    "\u{9B}", "ð", "Ÿ", "’", "¡", "©", "‚", "√", "Ä", "¬", "∞", "≈", "├", "⌐", "Γ", "Ç", "Р", "џ", "ё", "&",
    "amp;", "&amp;", "lt;", "&lt;", "&#8217;", "&shy;", "&nbsp;", "\u{1B}", "[31m", "]0;x\u{7}", "\u{0}",
    "\u{200B}", "\u{200C}", "\u{200D}", "\u{FE0F}", "\u{FEFF}", "\u{202E}", "\u{2067}", "\u{2069}",
    "\u{200F}", "א", "ه", "क", "\u{301}", "e", "\u{307}", "S", "\u{2126}", "\u{1F468}", "\u{FFFD}",
    "\u{2028}", "\u{3000}", "\u{202F}", "日", "1", "\"", "Ã©", "â€™", "Ã¢â‚¬â„¢", "‚Äô", "ƒ", "Ï", "Î", "±",
];

fn nasty() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(NASTY), 0..14).prop_map(|parts| parts.concat())
}

/// Text that was damaged, once or twice.
fn damaged() -> impl Strategy<Value = String> {
    let codec = || prop::sample::select(Codec::ALL.to_vec());
    let text = "[a-zA-Z ’“”—…éèüßñçàÉ€°™✅\u{1F4A1}а-яα-ω日本]{0,12}";
    (text, codec(), proptest::option::of(codec())).prop_map(|(text, first, second)| {
        let read = |text: &str, codec: Codec| -> String {
            text.bytes()
                .map(|byte| if byte.is_ascii() { char::from(byte) } else { codec.decode(byte) })
                .collect()
        };
        let once = read(&text, first);
        second.map_or(once.clone(), |second| read(&once, second))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn repairing_twice_is_repairing_once(cells in prop::collection::vec(prop_oneof![nasty(), damaged()], 1..8)) {
        let mut vote = Vote::new();
        for cell in &cells {
            vote.observe(0, cell);
        }
        let dataset = dataset();
        let repairer = Repairer::new(&dataset, &vote.decide(&dataset));
        for cell in &cells {
            let mut notes = Vec::new();
            let once = repairer.repair(0, cell, &mut notes).unwrap_or_else(|| cell.clone());
            prop_assert_eq!(once == *cell, !notes.iter().any(|note| matches!(note, Note::Edit(..))));
            let mut again = Vec::new();
            prop_assert_eq!(repairer.repair(0, &once, &mut again), None, "{:?} became {:?}", cell, once);
            prop_assert!(!again.iter().any(|note| matches!(note, Note::Edit(..))));
        }
    }

    #[test]
    fn votes_have_no_order(
        (cells, shuffled) in prop::collection::vec(prop_oneof![nasty(), damaged()], 0..12)
            .prop_flat_map(|cells| (Just(cells.clone()), Just(cells).prop_shuffle())),
        cut in 0..12_usize,
    ) {
        let mut straight = Vote::new();
        for cell in &cells {
            straight.observe(2, cell);
        }
        let (mut parted, mut other) = (Vote::new(), Vote::new());
        for (at, cell) in shuffled.iter().enumerate() {
            if at < cut { parted.observe(2, cell) } else { other.observe(2, cell) }
        }
        parted.absorb(&other);
        let dataset = dataset();
        let decisions = straight.decide(&dataset);
        prop_assert_eq!(&parted.decide(&dataset), &decisions);
        let json = serde_json::to_string(&decisions).unwrap();
        prop_assert_eq!(serde_json::from_str::<Decisions>(&json).unwrap(), decisions);
    }

    #[test]
    fn ascii_without_signs_costs_nothing(text in "[a-z0-9.,]{0,20}( [a-z0-9.,]{1,9}){0,5}") {
        prop_assert!(needs(text.trim()).is_empty());
    }

    /// What the quick look calls harmless, the rules leave alone.
    #[test]
    fn the_quick_look_misses_nothing(text in nasty()) {
        let plan = Plan::of(&dataset().columns[0], &Decisions::default());
        let need = needs(&text);
        for (kind, step) in STEPS {
            prop_assert!(need.has(kind) || step(&plan, &text).is_none());
        }
        for codec in Codec::ALL {
            let reading = Reading::of(&text, codec, true);
            prop_assert!(need.has(Needs::MOJIBAKE) || (reading.certain() == 0 && reading.lost(&text).is_none()));
        }
    }
}

proptest! {
    /// What is done piece by piece is what is done as a whole.
    #[test]
    fn composed_and_escaped_like_a_whole_text(text in "[a-e é\\u{301}\\u{323}\\u{2000}ﬁ가각\\u{1100}\\u{1161}\\u{11a8}\\u{340}\"\\\\\n\\u{8}\\u{1}]{0,24}") {
        let plan = Plan::of(&dataset().columns[0], &Decisions::default());
        let whole: String = text.nfc().collect();
        prop_assert_eq!(nfc(&plan, &text).map(|change| change.text), (whole != text).then_some(whole));
        prop_assert_eq!(json(&text), serde_json::to_string(&text).unwrap());
    }

    /// Encodings that are not possible find nothing.
    #[test]
    fn impossible_encodings_find_nothing(text in "[a ÂÃâ€™œ√©ðŸ’¡\\u{80}\\u{9d}\\u{ad}\\u{a0}ĂĹРÐГ┬é中’]{0,12}") {
        let possible = codecs(&text);
        for codec in Codec::ALL.into_iter().filter(|codec| !possible.has(*codec)) {
            let reading = Reading::of(&text, codec, true);
            prop_assert_eq!((reading.damage(), reading.is_lossy()), (0, false), "{} {}", codec.name(), text);
            prop_assert_eq!(reading.lost(&text), None, "{} {}", codec.name(), text);
            prop_assert_eq!(reading.mend(&text), None, "{} {}", codec.name(), text);
        }
    }
}
