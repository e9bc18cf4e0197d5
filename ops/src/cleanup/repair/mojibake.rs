//! UTF-8 that was read as a single-byte encoding: finds the characters it was, and puts back what is certain.
//!
//! A sequence of characters counts only if its bytes are one character of UTF-8, strictly; what it became again reads
//! as what was seen. Whether it *was* damage is a question of evidence: neighbours that no language has, a character
//! that is to be expected, a whole cell that decodes without a rest, and other cells of the column with the same
//! damage. What lost a byte is never filled in: it is returned as a candidate.

use super::codec::Codec;
use super::nature::{ODD, alone, expected, is_frame, odd, unspeakable};
use crate::swar;

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
    /// It touches what is lost, or becomes a control character: left as it is.
    spared: bool,
    /// It touches no other.
    alone: bool,
}

/// A sequence that lacks a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Torn {
    start: usize,
    end: usize,
    /// What it may have been.
    is: Option<char>,
    /// How odd what was seen is.
    oddity: u32,
}

/// What one encoding makes of a text.
#[derive(Debug, Default)]
pub(super) struct Reading {
    sequences: Vec<Sequence>,
    torn: Vec<Torn>,
    /// Characters outside of ASCII that are not put back.
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
                let expected = expected(is);
                reading.sequences.push(Sequence {
                    start: at,
                    end,
                    is,
                    oddity,
                    expected,
                    spared: false,
                    alone: true,
                });
                at = end;
                continue;
            }
            reading.rest += 1;
            let is_behind = reading.sequences.last().is_some_and(|last| last.end == at);
            if let Some(torn) = torn(text, at, codec, is_behind) {
                reading.torn.push(torn);
                at = torn.end;
            } else {
                at += c.len_utf8();
            }
        }
        reading.weigh_runs(text);
        reading
    }

    /// Sequences that touch each other are less likely by chance; what is quoted as an example is no damage; and what
    /// touches a torn sequence is the evidence of what that was.
    fn weigh_runs(&mut self, text: &str) {
        let Self { sequences, torn, rest, .. } = self;
        for run in sequences.chunk_by_mut(|a, b| a.end == b.start) {
            let (first, last) = (run[0].start, run[run.len() - 1].end);
            let bonus = u32::try_from(run.len().min(3)).unwrap_or(3) - 1;
            let is_drawn =
                text[first..last].chars().all(is_frame) && !text[..first].ends_with(char::is_alphabetic);
            let is_example = is_drawn || is_quoted(text, first, last);
            // Both ends of torn sequences ascend.
            let touches = torn.binary_search_by_key(&first, |torn| torn.end).is_ok()
                || torn.binary_search_by_key(&last, |torn| torn.start).is_ok();
            let is_spared = touches || leaves_control(run);
            *rest += usize::from(is_spared);
            let is_alone = run.len() == 1;
            for sequence in run {
                sequence.oddity = if is_example { 0 } else { sequence.oddity + bonus };
                sequence.spared = is_spared;
                sequence.alone = is_alone;
            }
        }
    }

    /// Whether this sequence is damage, even if it has to be spared. A letter of another script that stands alone in
    /// text that does not decode is none.
    fn is_damage(&self, sequence: &Sequence) -> bool {
        let Sequence { oddity, expected, alone, .. } = *sequence;
        let is_stranger = alone && expected == 1 && !self.is_whole();
        !is_stranger && oddity >= ODD && expected > 0 && oddity + expected >= self.enough
    }

    fn is_certain(&self, sequence: &Sequence) -> bool {
        !sequence.spared && self.is_damage(sequence)
    }

    /// How many sequences are damage, whether they can be put back or not.
    pub(super) fn damage(&self) -> usize {
        self.sequences.iter().filter(|sequence| self.is_damage(sequence)).count()
    }

    /// How many of them can.
    pub(super) fn certain(&self) -> usize {
        self.sequences.iter().filter(|sequence| self.is_certain(sequence)).count()
    }

    /// Whether all that is not ASCII decodes.
    pub(super) fn is_whole(&self) -> bool {
        self.rest == 0
    }

    /// Whether a sequence certainly lacks a byte.
    pub(super) fn is_lossy(&self) -> bool {
        let points =
            |torn: &Torn| torn.is.filter(|is| *is > '\u{7FF}').map_or(0, |is| torn.oddity + expected(is));
        self.torn.iter().any(|torn| points(torn) >= ODD + 2)
    }

    /// The sequences to put back: all of a text that decodes without a rest, otherwise the runs with a certain one.
    fn chosen(&self) -> impl Iterator<Item = &Sequence> {
        let all = self.is_whole() && self.certain() > 0;
        self.sequences
            .chunk_by(|a, b| a.end == b.start)
            .filter(move |run| all || run.iter().any(|sequence| self.is_certain(sequence)))
            .flatten()
    }

    /// How many bytes of the text it explains, whether they can be put back or not.
    pub(super) fn explained(&self) -> usize {
        let all = self.is_whole() && self.certain() > 0;
        self.sequences
            .chunk_by(|a, b| a.end == b.start)
            .filter(|run| all || run.iter().any(|sequence| self.is_damage(sequence)))
            .map(|run| run[run.len() - 1].end - run[0].start)
            .sum()
    }

    /// The text with the chosen sequences put back, and their number; `None` when there is none.
    pub(super) fn mend(&self, text: &str) -> Option<(String, usize)> {
        let pieces = self.chosen().map(|sequence| (sequence.start, sequence.end, sequence.is));
        let (mended, count) = replaced(text, pieces);
        (count > 0).then_some((mended, count))
    }

    /// What the text may have been before bytes were lost, and how many sequences lack one; `None` when none does.
    pub(super) fn lost(&self, text: &str) -> Option<(Option<String>, usize)> {
        let known: Option<Vec<_>> =
            self.torn.iter().map(|torn| Some((torn.start, torn.end, torn.is?))).collect();
        let candidate = known.map(|mut pieces| {
            let spared = self.sequences.iter().filter(|sequence| sequence.spared);
            pieces.extend(spared.map(|sequence| (sequence.start, sequence.end, sequence.is)));
            pieces.sort_unstable();
            replaced(text, pieces.into_iter()).0
        });
        (!self.torn.is_empty()).then_some((candidate, self.torn.len()))
    }
}

/// The text with a character in place of each piece, and how many there were.
fn replaced(text: &str, pieces: impl Iterator<Item = (usize, usize, char)>) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let (mut from, mut count) = (0, 0);
    for (start, end, is) in pieces {
        out.push_str(&text[from..start]);
        out.push(is);
        from = end;
        count += 1;
    }
    out.push_str(&text[from..]);
    (out, count)
}

/// Whether a run becomes control characters that are not damage themselves.
fn leaves_control(run: &[Sequence]) -> bool {
    if !run.iter().any(|sequence| sequence.is.is_control()) {
        return false;
    }
    let inner: String = run.iter().map(|sequence| sequence.is).collect();
    let mut at = 0;
    while let Some(c) = next_beyond_ascii(&inner, &mut at) {
        match sequence(&inner[at..], Codec::Latin1) {
            Some((_, length)) => at += length,
            None if c.is_control() => return true,
            None => at += c.len_utf8(),
        }
    }
    false
}

/// The next character from `at` on that is not ASCII; moves `at` to it.
fn next_beyond_ascii(text: &str, at: &mut usize) -> Option<char> {
    let (found, c) = swar::beyond_ascii(text, *at).next()?;
    *at = found;
    Some(c)
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

/// The sequence at `at` that lacks one byte, if that is what stands there; `is_behind` when it follows a whole one.
fn torn(text: &str, at: usize, codec: Codec, is_behind: bool) -> Option<Torn> {
    let mut chars = text[at..].char_indices();
    let lead = codec.encode(chars.next()?.1)?;
    let wanted = width(lead);
    if wanted < 2 {
        return None;
    }
    let mut bytes = vec![lead];
    let continuation = |c| codec.encode(c).filter(|byte| matches!(byte, 0x80..=0xBF));
    bytes.extend(chars.map_while(|(_, c)| continuation(c)).take(wanted - 1));
    if bytes.len() + 1 != wanted {
        return None;
    }
    let end = at + text[at..].chars().take(bytes.len()).map(char::len_utf8).sum::<usize>();
    let oddity = oddity(text, at, end);
    if oddity < ODD {
        return None;
    }
    let touches = is_behind || sequence(&text[end..], codec).is_some();
    if wanted == 2 && !touches {
        // The second byte was a no-break space, and somebody made a blank of it.
        return blank_for_no_break(text, at, end).map(|torn| Torn { oddity, ..torn });
    }
    Some(Torn { start: at, end, is: fill(&bytes, codec), oddity })
}

fn blank_for_no_break(text: &str, start: usize, end: usize) -> Option<Torn> {
    let is = match &text[start..end] {
        "Â" => '\u{A0}',
        "Ã" => 'à',
        _ => return None,
    };
    let takes_blank = is == '\u{A0}' || text[end..].starts_with("  ");
    text[end..].starts_with(' ').then(|| Torn {
        start,
        end: end + usize::from(takes_blank),
        is: Some(is),
        oddity: 0,
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
        let lost = |text: &str| Reading::of(text, Codec::Cp1252, false).lost(text);
        for (text, candidate) in [
            ("- â³ waits", "- ⏳ waits"),
            ("â€œquotedâ€ text", "â€œquoted” text"),
            ("voilÃ  la", "voilà la"),
            ("5Â km", "5\u{A0}km"),
            ("ÎšÎ±Î»Î·Î¼Î\u{AD}ÏÎ±", "Καλημέρα"),
        ] {
            assert_eq!(lost(text), Some((Some(candidate.to_owned()), 1)), "{text}");
        }
        for text in ["âge et âme", "IRMÃ E IRMÃO", "Â", "x³", "ÎLE Â", "déjà"] {
            assert_eq!(lost(text), None, "{text}");
        }
    }
}
