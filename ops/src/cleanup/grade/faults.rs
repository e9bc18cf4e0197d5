//! Faults as they happen to tables, planted into a copy of a row.

use std::borrow::Cow;

use super::super::row::{Cell, Row};
use super::super::rules::{Rules, content};

/// Which detector is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Title,
    Text,
    Encoding,
    Debris,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) family: Family,
    damage: fn(&str, &mut Random) -> Option<String>,
}

pub(super) const FAULTS: &[Fault] = &[
    Fault { name: "title_cut_at_byte", family: Family::Title, damage: byte },
    Fault { name: "title_cut_at_word", family: Family::Title, damage: word },
    Fault { name: "title_cut_at_sentence", family: Family::Title, damage: sentence },
    Fault { name: "text_cut_at_byte", family: Family::Text, damage: byte },
    Fault { name: "text_cut_at_word", family: Family::Text, damage: word },
    Fault { name: "text_cut_at_sentence", family: Family::Text, damage: sentence },
    Fault { name: "mojibake_cp1252", family: Family::Encoding, damage: cp1252 },
    Fault { name: "mojibake_mac_roman", family: Family::Encoding, damage: mac_roman },
    Fault { name: "markup", family: Family::Debris, damage: markup },
];

impl Fault {
    /// The column that it is planted into.
    pub(super) fn column(self, rules: &Rules) -> Option<usize> {
        match self.family {
            Family::Title => rules.titles.first().map(|title| title.column),
            Family::Text | Family::Encoding | Family::Debris => rules.texts.first().copied(),
        }
    }

    /// A copy of a row with this fault; none where it cannot have it.
    pub(super) fn plant<'a>(self, row: &Row<'a>, column: usize, random: &mut Random) -> Option<Row<'a>> {
        let damaged = (self.damage)(content(&row.cells[column])?.trim(), random)?;
        let mut row = row.clone();
        row.cells[column] = Cell::Text(Cow::Owned(damaged));
        Some(row)
    }
}

/// Characters that a cut leaves at least: with fewer it is found by its length.
const KEPT: usize = 4;

/// The text up to `at`, where letters or digits are lost.
fn cut(text: &str, at: usize) -> Option<String> {
    let kept = text[..at].trim_end();
    let is_loss = text[at..].chars().any(char::is_alphanumeric);
    (is_loss && kept.chars().count() >= KEPT).then(|| kept.to_owned())
}

fn byte(text: &str, random: &mut Random) -> Option<String> {
    let first = text.char_indices().nth(KEPT)?.0;
    let at = first + random.below(text.len() - first);
    cut(text, text.floor_char_boundary(at))
}

fn word(text: &str, random: &mut Random) -> Option<String> {
    let ends: Vec<usize> =
        text.match_indices(char::is_whitespace).map(|(at, _)| at).filter(|at| *at > KEPT).collect();
    cut(text, *random.pick(&ends)?)
}

fn sentence(text: &str, random: &mut Random) -> Option<String> {
    let ends: Vec<usize> =
        [". ", "! ", "? "].iter().flat_map(|end| text.match_indices(end)).map(|(at, _)| at + 1).collect();
    cut(text, *random.pick(&ends)?)
}

/// An accented letter in place of a plain one, its two bytes read as two characters.
fn misread(text: &str, letters: [(char, &str); 3]) -> Option<String> {
    let (letter, seen) = letters.into_iter().find(|(letter, _)| text.contains(*letter))?;
    Some(text.replacen(letter, seen, 2))
}

fn cp1252(text: &str, _: &mut Random) -> Option<String> {
    misread(text, [('e', "\u{c3}\u{a9}"), ('o', "\u{c3}\u{b6}"), ('a', "\u{c3}\u{a4}")])
}

fn mac_roman(text: &str, _: &mut Random) -> Option<String> {
    misread(text, [('e', "\u{221a}\u{a9}"), ('o', "\u{221a}\u{2202}"), ('a', "\u{221a}\u{a7}")])
}

fn markup(text: &str, random: &mut Random) -> Option<String> {
    const DEBRIS: [&str; 6] =
        [" ``` ", " <b>see</b> ", " *** ", "\n## Part\n", " https://example.org/a ", " JSON export "];
    let ends: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let at = *random.pick(&ends)?;
    let debris = random.pick(&DEBRIS)?;
    Some(format!("{}{debris}{}", &text[..at], &text[at + 1..]))
}

/// Numbers that depend on a seed and a name only.
#[derive(Debug)]
pub(super) struct Random(crate::random::Random);

impl Random {
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(crate::random::Random::seeded(seed ^ digest(name)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "below `n`, which is a usize")]
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0.below(n.max(1) as u64) as usize
    }

    pub(super) fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(self.below(from.len()))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }
}

/// A number for a name. Planted faults must stay the same from version to version, so it has a hash of its own.
fn digest(name: &str) -> u64 {
    let step =
        |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    let state = name.bytes().fold(0x51_7c_c1_b7_27_22_0a_95, step);
    let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}
