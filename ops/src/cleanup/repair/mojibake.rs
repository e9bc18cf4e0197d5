//! UTF-8 that was read as a single-byte encoding: finds the characters it was, and puts back what is certain.
//!
//! A sequence of characters counts only if its bytes are one character of UTF-8, strictly; what it became again reads
//! as what was seen. Whether it *was* damage is a question of evidence: neighbours that no language has, a character
//! that is to be expected, a whole cell that decodes without a rest, and other cells of the column with the same
//! damage. What lost a byte is never filled in: it is returned as a candidate.

use super::codec::Codec;
use super::nature::{ODD, alone, expected, is_frame, odd, unspeakable};

/// One character of UTF-8 that became several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sequence {
    start: usize,
    end: usize,
    is: char,
    /// How odd what was seen is.
    oddity: u32,
    /// How much `is` is to be expected.
    expected: u32,
}

/// What one encoding makes of a text.
#[derive(Debug, Default)]
pub(super) struct Reading {
    sequences: Vec<Sequence>,
    /// Characters outside of ASCII that belong to no sequence.
    rest: usize,
    /// Points from which a sequence is certain.
    enough: u32,
}

impl Reading {
    /// Reads `text` as UTF-8 that was taken for `codec`; `known` when other cells say that this happened.
    pub(super) fn of(text: &str, codec: Codec, known: bool) -> Self {
        let mut reading = Self { enough: if known { ODD + 1 } else { ODD + 2 }, ..Self::default() };
        let mut at = 0;
        while let Some(c) = next_beyond_ascii(text, &mut at) {
            if let Some((is, length)) = sequence(&text[at..], codec) {
                let end = at + length;
                let oddity = oddity(text, at, end) + if is.len_utf8() == 4 { ODD } else { 0 };
                reading.sequences.push(Sequence { start: at, end, is, oddity, expected: expected(is) });
                at = end;
            } else {
                reading.rest += 1;
                at += c.len_utf8();
            }
        }
        reading.weigh_runs(text);
        reading
    }

    /// Sequences that touch each other are less likely by chance; what is quoted as an example is no damage.
    fn weigh_runs(&mut self, text: &str) {
        for run in self.sequences.chunk_by_mut(|a, b| a.end == b.start) {
            let (first, last) = (run[0].start, run[run.len() - 1].end);
            let bonus = u32::try_from(run.len().min(3)).unwrap_or(3) - 1;
            let is_example = is_quoted(text, first, last) || text[first..last].chars().all(is_frame);
            for sequence in run {
                sequence.oddity = if is_example { 0 } else { sequence.oddity + bonus };
            }
        }
    }

    fn is_certain(&self, sequence: &Sequence) -> bool {
        sequence.oddity >= ODD && sequence.expected > 0 && sequence.oddity + sequence.expected >= self.enough
    }

    /// How many sequences are certain.
    pub(super) fn certain(&self) -> usize {
        self.sequences.iter().filter(|sequence| self.is_certain(sequence)).count()
    }

    /// Whether all that is not ASCII decodes.
    pub(super) fn is_whole(&self) -> bool {
        self.rest == 0
    }

    /// The sequences to put back: all of a text that decodes without a rest, otherwise the runs with a certain one.
    fn chosen(&self) -> impl Iterator<Item = &Sequence> {
        let all = self.is_whole() && self.certain() > 0;
        self.sequences
            .chunk_by(|a, b| a.end == b.start)
            .filter(move |run| all || run.iter().any(|sequence| self.is_certain(sequence)))
            .flatten()
    }

    /// How many bytes of the text it explains.
    pub(super) fn explained(&self) -> usize {
        self.chosen().map(|sequence| sequence.end - sequence.start).sum()
    }

    /// The text with the chosen sequences put back, and their number; `None` when there is none.
    pub(super) fn mend(&self, text: &str) -> Option<(String, usize)> {
        let mut mended = String::new();
        let (mut from, mut count) = (0, 0);
        for sequence in self.chosen() {
            mended.push_str(&text[from..sequence.start]);
            mended.push(sequence.is);
            from = sequence.end;
            count += 1;
        }
        (count > 0).then(|| {
            mended.push_str(&text[from..]);
            (mended, count)
        })
    }
}

/// The next character from `at` on that is not ASCII; moves `at` to it.
fn next_beyond_ascii(text: &str, at: &mut usize) -> Option<char> {
    let skip = text.as_bytes()[*at..].iter().position(|byte| !byte.is_ascii())?;
    *at += skip;
    text[*at..].chars().next()
}

/// How many bytes the character has that starts with `lead`.
fn width(lead: u8) -> usize {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 0,
    }
}

/// The character that the start of `text` was, and how many bytes of `text` it takes.
fn sequence(text: &str, codec: Codec) -> Option<(char, usize)> {
    let mut bytes = [0; 4];
    let mut wanted = 0;
    for (i, (at, c)) in text.char_indices().enumerate() {
        bytes[i] = codec.encode(c)?;
        if i == 0 {
            wanted = width(bytes[0]);
        }
        if wanted == 0 {
            return None;
        }
        if i + 1 == wanted {
            let is = std::str::from_utf8(&bytes[..wanted]).ok()?.chars().next()?;
            return Some((is, at + c.len_utf8()));
        }
    }
    None
}

/// How odd the characters from `start` to `end` are, beside each other and beside what is around them.
fn oddity(text: &str, start: usize, end: usize) -> u32 {
    let mut around = text[..start].chars().rev();
    let before = around.next().unwrap_or(' ');
    let mut pair = [around.next().unwrap_or(' '), before];
    let mut points = 0;
    let after = text[end..].chars().next().unwrap_or(' ');
    let mut seen = text[start..end].chars().chain([after]);
    let lead = seen.clone().next().unwrap_or(' ');
    points += alone(before, lead, seen.clone().nth(1).unwrap_or(' '));
    if !after.is_alphabetic() {
        points += unspeakable(before, &text[start..end]);
    }
    for c in &mut seen {
        points += odd(pair, c);
        pair = [pair[1], c];
    }
    points
}

/// Whether the text from `start` to `end` stands between two equal quotes of code.
fn is_quoted(text: &str, start: usize, end: usize) -> bool {
    let (before, after) = (text[..start].bytes().next_back(), text[end..].bytes().next());
    before == after && matches!(before, Some(b'"' | b'\'' | b'`'))
}

/// What `text` may have been before bytes were lost from its sequences, and their number; `None` when nothing looks
/// like that.
pub(super) fn lossy(text: &str, codec: Codec) -> Option<(Option<String>, usize)> {
    let mut candidate = Some(String::new());
    let (mut at, mut from, mut count) = (0, 0, 0);
    while let Some(c) = next_beyond_ascii(text, &mut at) {
        if let Some((_, length)) = sequence(&text[at..], codec) {
            at += length;
            continue;
        }
        let Some(torn) = torn(text, at, codec) else {
            at += c.len_utf8();
            continue;
        };
        count += 1;
        match (&mut candidate, torn.is) {
            (Some(candidate), Some(is)) => {
                candidate.push_str(&text[from..at]);
                candidate.push(is);
            }
            _ => candidate = None,
        }
        at = torn.end;
        from = at;
    }
    (count > 0).then(|| {
        (
            candidate.map(|mut candidate| {
                candidate.push_str(&text[from..]);
                candidate
            }),
            count,
        )
    })
}

/// A sequence that lacks a byte.
struct Torn {
    end: usize,
    is: Option<char>,
}

fn torn(text: &str, at: usize, codec: Codec) -> Option<Torn> {
    let mut chars = text[at..].char_indices();
    let lead = codec.encode(chars.next()?.1)?;
    let wanted = width(lead);
    let mut bytes = vec![lead];
    let mut end = at;
    for (offset, c) in text[at..].char_indices().take(wanted.max(1)) {
        if offset > 0 {
            match codec.encode(c) {
                Some(byte @ 0x80..=0xBF) => bytes.push(byte),
                _ => break,
            }
        }
        end = at + offset + c.len_utf8();
    }
    if wanted < 2 || bytes.len() + 1 != wanted || oddity(text, at, end) < ODD {
        return None;
    }
    if wanted == 2 {
        // The second byte was a no-break space, and somebody made a blank of it.
        return blank_for_no_break(text, end, lead);
    }
    Some(Torn { end, is: fill(&bytes, codec) })
}

fn blank_for_no_break(text: &str, end: usize, lead: u8) -> Option<Torn> {
    let is_blank = text[end..].starts_with(' ') && matches!(lead, 0xC2 | 0xC3);
    let is_second = text[end..].starts_with("  ") || lead == 0xC2;
    is_blank.then(|| Torn {
        end: end + usize::from(is_second),
        is: if lead == 0xC2 { Some('\u{A0}') } else { Some('à') },
    })
}

/// The most expected character that these bytes and one that the encoding cannot show make.
fn fill(bytes: &[u8], codec: Codec) -> Option<char> {
    let mut best: Option<char> = None;
    for place in 1..=bytes.len() {
        for hole in codec.holes() {
            let mut whole = bytes.to_vec();
            whole.insert(place, hole);
            let Some(c) = std::str::from_utf8(&whole).ok().and_then(|text| text.chars().next()) else {
                continue;
            };
            if expected(c) > best.map_or(0, expected) {
                best = Some(c);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of correct text that is read as `codec`.
    fn damage(text: &str, codec: Codec) -> String {
        let seen = |byte: u8| if byte.is_ascii() { char::from(byte) } else { codec.decode(byte) };
        text.bytes().map(seen).collect()
    }

    #[test]
    fn damage_in_every_encoding_is_found_and_undone() {
        for codec in Codec::ALL {
            for text in [
                "it’s ok",
                "café, naïve",
                "\u{1F4A1} idea",
                "✅ Completed",
                "«Привет, мир»",
                "“quoted” — text",
                "10 °C, naïve",
            ] {
                let seen = damage(text, codec);
                let reading = Reading::of(&seen, codec, false);
                assert!(reading.is_whole(), "{codec:?} {seen}");
                assert_eq!(
                    reading.mend(&seen).map(|(text, _)| text),
                    Some(text.to_owned()),
                    "{codec:?} {seen}"
                );
            }
        }
    }

    #[test]
    fn a_lost_byte_is_a_candidate() {
        assert_eq!(lossy("- â³ waits", Codec::Cp1252), Some((Some("- ⏳ waits".to_owned()), 1)));
        assert_eq!(lossy("â€œquotedâ€ text", Codec::Cp1252), Some((Some("â€œquoted” text".to_owned()), 1)));
        assert_eq!(lossy("voilÃ  la", Codec::Cp1252), Some((Some("voilà la".to_owned()), 1)));
        assert_eq!(lossy("âge et âme", Codec::Cp1252), None);
        assert_eq!(lossy("IRMÃ E IRMÃO", Codec::Cp1252), None);
    }
}
