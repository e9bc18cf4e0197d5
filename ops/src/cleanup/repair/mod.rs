//! Repairs characters: what a wrong encoding, a terminal, a browser or a keyboard left in text.
//!
//! Each rule is named and has a version, can be switched off for a column, says why its change is no guess, and leaves
//! what it cannot prove as a finding. Repairing twice equals repairing once, and no row's result depends on the order
//! of the rows. Rules must not delete a letter, join words, or fill in what is lost.
//!
//! Cells are heard first, by a [`Vote`] on the encodings that damaged them; a [`Repairer`] with its [`Decisions`] then
//! repairs cell by cell.

mod codec;
mod entities;
mod marks;
mod mojibake;
mod nature;
mod scan;
mod space;
mod terminal;
mod vote;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use self::entities::Escaped;
use self::mojibake::Reading;
use self::scan::{Needs, codecs, needs};
use self::vote::Suspect;
use super::{Column, Dataset, Edit, Finding, Kind, Note, Rule};
use crate::swar;

pub use self::codec::Codec;
pub use self::vote::{Decisions, Tally, Verdict, Vote};

/// HTML entities in text that is no HTML.
pub const ENTITIES: Rule = Rule { id: "entities", version: 1 };
/// UTF-8 that was read as another encoding.
pub const MOJIBAKE: Rule = Rule { id: "mojibake", version: 1 };
/// Such text that lost bytes; never changed.
pub const MOJIBAKE_LOSSY: Rule = Rule { id: "mojibake_lossy", version: 1 };
/// Escape sequences of terminals.
pub const TERMINAL: Rule = Rule { id: "terminal", version: 1 };
/// Control characters.
pub const CONTROL: Rule = Rule { id: "control", version: 1 };
/// Unicode normalisation form C.
pub const NFC: Rule = Rule { id: "nfc", version: 1 };
/// Characters without width that mean nothing.
pub const INVISIBLE: Rule = Rule { id: "invisible", version: 1 };
/// Characters that turn the direction of text.
pub const BIDI: Rule = Rule { id: "bidi", version: 1 };
/// Blanks at the ends, runs of blanks, blanks of other widths.
pub const WHITE_SPACE: Rule = Rule { id: "white_space", version: 1 };

/// All rules; those that change text in the order in which they are applied.
pub const RULES: [Rule; 9] =
    [ENTITIES, MOJIBAKE, MOJIBAKE_LOSSY, TERMINAL, CONTROL, NFC, INVISIBLE, BIDI, WHITE_SPACE];

/// `without` with this leaves a column exactly as it is.
const ALL: &str = "all";
/// A text whose rules do not come to rest after so many rounds is left as it is.
const ROUNDS_MAX: usize = 16;

/// Repairs the cells of a dataset.
#[derive(Debug, Clone)]
pub struct Repairer {
    columns: Vec<Plan>,
}

/// What is done to one column.
#[derive(Debug, Clone)]
struct Plan {
    /// Bits in the order of [`RULES`].
    rules: u16,
    /// Nothing is changed, only noted.
    only_flags: bool,
    is_list: bool,
    suspects: Vec<Suspect>,
}

impl Plan {
    fn of(column: &Column, decisions: &Decisions) -> Self {
        let is_on = |rule: &Rule| column.without.iter().all(|id| id != rule.id && id != ALL);
        let is_text = matches!(column.kind, Kind::Text | Kind::List | Kind::Id);
        let rules = RULES.iter().enumerate().filter(|(_, rule)| is_text && is_on(rule));
        Self {
            rules: rules.map(|(at, _)| 1 << at).sum(),
            only_flags: column.kind == Kind::Id,
            is_list: column.kind == Kind::List,
            suspects: decisions.suspects(&column.name),
        }
    }

    fn has(&self, rule: Rule) -> bool {
        RULES.iter().position(|known| *known == rule).is_some_and(|at| self.rules & 1 << at != 0)
    }
}

/// What a rule made of a text, and why.
struct Change {
    rule: Rule,
    text: String,
    evidence: Cow<'static, str>,
}

impl Repairer {
    /// Repairs as `decisions` say; rules that a column is `without` are off for it.
    pub fn new(dataset: &Dataset, decisions: &Decisions) -> Self {
        Self { columns: dataset.columns.iter().map(|column| Plan::of(column, decisions)).collect() }
    }

    /// The text of a cell as it should be, or `None` when it stays as it is; `column` is its place in the row. Adds an
    /// edit for each change, in the order in which they were made, and a finding for what was only noticed. A column of
    /// ids keeps its text: what would be repaired is a finding.
    pub fn repair(&self, column: usize, text: &str, notes: &mut Vec<Note>) -> Option<String> {
        let plan = self.columns.get(column).filter(|plan| plan.rules != 0)?;
        let needs = needs(text);
        if needs.is_empty() {
            return None;
        }
        let first = notes.len();
        let (repaired, needs) = rounds(plan, column, text, needs, notes);
        flag(plan, column, repaired.as_deref().unwrap_or(text), needs, notes);
        if plan.only_flags {
            flags_instead(&mut notes[first..]);
            return None;
        }
        repaired
    }
}

/// Applies the rules until none changes anything; with what the result may still need.
fn rounds(
    plan: &Plan,
    column: usize,
    text: &str,
    first_need: Needs,
    notes: &mut Vec<Note>,
) -> (Option<String>, Needs) {
    let first = notes.len();
    let mut current: Option<String> = None;
    let mut need = first_need;
    for _ in 0..ROUNDS_MAX {
        let before = notes.len();
        for (kind, step) in STEPS {
            // Damage on top of damage is one rule, again; what it leaves in between is for no other.
            for _ in 0..ROUNDS_MAX {
                let seen = current.as_deref().unwrap_or(text);
                let Some(change) = need.has(kind).then(|| step(plan, seen)).flatten() else { break };
                let (before, after) = (json(seen).into(), json(&change.text).into());
                let Change { rule, text, evidence } = change;
                notes.push(Note::Edit(column, Edit { rule, before, after, evidence }));
                need = needs(&text);
                current = Some(text);
            }
        }
        if notes.len() == before {
            return (current.filter(|current| current != text), need);
        }
    }
    notes.truncate(first);
    (None, first_need)
}

fn json(text: &str) -> String {
    // Few texts have anything to escape, and they mostly at their end.
    let plain = swar::find_json(text.as_bytes(), 0);
    let rest = if plain == text.len() { Cow::Borrowed("\"\"") } else { escaped(&text[plain..]).into() };
    let mut json = String::with_capacity(1 + plain + rest.len());
    json.push('"');
    json.push_str(&text[..plain]);
    json.push_str(&rest[1..]);
    json
}

fn escaped(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

/// The rules that change text. Damage by encodings comes before everything that would take its bytes away.
const STEPS: [(Needs, Step); 8] = [
    (Needs::ENTITIES, entities),
    (Needs::MOJIBAKE, mojibake),
    (Needs::TERMINAL, terminal),
    (Needs::CONTROL, control),
    (Needs::NFC, nfc),
    (Needs::INVISIBLE, invisible),
    (Needs::BIDI, bidi),
    (Needs::WHITE_SPACE, white_space),
];

type Step = fn(&Plan, &str) -> Option<Change>;

fn entities(plan: &Plan, text: &str) -> Option<Change> {
    let is_json = plan.is_list && text.starts_with('[');
    if !plan.has(ENTITIES) || is_json {
        return None;
    }
    match entities::decode(text) {
        Escaped::Yes(text) => Some(change(ENTITIES, text, "the whole text is escaped")),
        Escaped::No | Escaped::Perhaps(_) => None,
    }
}

fn mojibake(plan: &Plan, text: &str) -> Option<Change> {
    if !plan.has(MOJIBAKE) || plan.suspects.is_empty() || text.is_ascii() {
        return None;
    }
    let mut best: Option<(usize, &Suspect, Reading)> = None;
    let possible = codecs(text);
    let most = explainable(text);
    for suspect in plan.suspects.iter().filter(|suspect| possible.has(suspect.codec)) {
        let reading = Reading::of(text, suspect.codec, suspect.known);
        let explained = reading.explained();
        if explained > best.as_ref().map_or(0, |(most, ..)| *most) {
            best = Some((explained, suspect, reading));
        }
        if explained == most {
            break;
        }
    }
    let (_, suspect, reading) = best?;
    let (mended, count) = reading.mend(text)?;
    let evidence = format!("{}; {count} of this cell", suspect.evidence);
    Some(Change { rule: MOJIBAKE, text: mended, evidence: evidence.into() })
}

/// Bytes of characters beyond ASCII that touch another one: more than these no encoding can explain.
fn explainable(text: &str) -> usize {
    let runs = text.as_bytes().chunk_by(|a, b| a.is_ascii() == b.is_ascii());
    runs.filter(|run| run.iter().filter(|byte| **byte >= 0xC0).count() > 1).map(<[u8]>::len).sum()
}

/// What a rule that takes characters away makes of `text`. It spares those that may be evidence of what the text was, and
/// only those: when the cells beside it are repaired, nothing says any more that it was damaged.
fn without(plan: &Plan, text: &str, rule: fn(&str, bool) -> Option<String>) -> Option<String> {
    let clean = rule(text, false)?;
    if is_evidence(plan, text) { rule(text, true) } else { Some(clean) }
}

/// Whether `text` has sequences that lack a byte, or control characters behind what may have been the first byte of one.
fn is_evidence(plan: &Plan, text: &str) -> bool {
    lost(plan, text).is_some() || text.chars().zip(text.chars().skip(1)).any(is_remains)
}

fn is_remains((lead, next): (char, char)) -> bool {
    matches!(lead, 'Â'..='ô') && matches!(next, '\u{80}'..='\u{9F}')
}

/// The likeliest encoding for what is lost in `text`, a candidate, and how many sequences lack a byte.
fn lost<'p>(plan: &'p Plan, text: &str) -> Option<(&'p Suspect, Option<String>, usize)> {
    if text.is_ascii() {
        return None;
    }
    let possible = codecs(text);
    plan.suspects.iter().filter(|suspect| possible.has(suspect.codec)).find_map(|suspect| {
        let reading = Reading::of(text, suspect.codec, suspect.known);
        let (candidate, count) = reading.lost(text).filter(|_| suspect.seen || reading.is_lossy())?;
        Some((suspect, candidate, count))
    })
}

fn terminal(plan: &Plan, text: &str) -> Option<Change> {
    let text = plan.has(TERMINAL).then(|| terminal::without_escapes(text))??;
    Some(change(TERMINAL, text, "complete escape sequences"))
}

fn control(plan: &Plan, text: &str) -> Option<Change> {
    let clean = plan.has(CONTROL).then(|| without(plan, text, marks::without_control))??;
    Some(change(CONTROL, clean, "control characters other than TAB, LF and CR"))
}

fn nfc(plan: &Plan, text: &str) -> Option<Change> {
    if !plan.has(NFC) {
        return None;
    }
    let mut composed = String::with_capacity(text.len());
    let mut done = 0;
    while let Some((odd, _)) = swar::beyond_ascii(text, done).next() {
        // ASCII goes together with what stands behind it only.
        let start = odd - usize::from(odd > done);
        let end = text[odd..].find(|c: char| c.is_ascii()).map_or(text.len(), |at| odd + at);
        composed.push_str(&text[done..start]);
        composed.extend(text[start..end].nfc());
        done = end;
    }
    composed.push_str(&text[done..]);
    (composed != text).then(|| change(NFC, composed, "canonically equivalent"))
}

fn invisible(plan: &Plan, text: &str) -> Option<Change> {
    let clean = plan.has(INVISIBLE).then(|| without(plan, text, marks::without_invisible))??;
    Some(change(INVISIBLE, clean, "no width, and no effect on its neighbours"))
}

fn bidi(plan: &Plan, text: &str) -> Option<Change> {
    let text = plan.has(BIDI).then(|| marks::without_bidi(text))??;
    Some(change(BIDI, text, "no text from right to left, or not closed"))
}

fn white_space(plan: &Plan, text: &str) -> Option<Change> {
    let text = plan.has(WHITE_SPACE).then(|| space::tidy(text))??;
    Some(change(WHITE_SPACE, text, "blanks only"))
}

fn change(rule: Rule, text: String, evidence: &'static str) -> Change {
    Change { rule, text, evidence: Cow::Borrowed(evidence) }
}

/// Notes what is lost or uncertain in a text that is otherwise repaired.
fn flag(plan: &Plan, column: usize, text: &str, need: Needs, notes: &mut Vec<Note>) {
    let mut note = |rule, detail: String, candidate| {
        notes.push(Note::Finding(Some(column), Finding { rule, detail, candidate }));
    };
    if plan.has(MOJIBAKE_LOSSY) && need.has(Needs::MOJIBAKE) {
        if let Some((suspect, candidate, count)) = lost(plan, text) {
            let sequences = crate::text::plural(count as u64, "sequence");
            note(MOJIBAKE_LOSSY, format!("{sequences} lost a byte; {}", suspect.evidence), candidate);
        } else if text.chars().zip(text.chars().skip(1)).any(is_remains) {
            note(MOJIBAKE_LOSSY, "remains of a sequence that does not decode".to_owned(), None);
        }
    }
    if plan.has(MOJIBAKE_LOSSY) && need.has(Needs::REPLACED) {
        let replaced = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
        let characters = crate::text::plural(replaced as u64, "character");
        note(MOJIBAKE_LOSSY, format!("{characters} replaced by U+FFFD before it came here"), None);
    }
    if plan.has(ENTITIES)
        && need.has(Needs::ENTITIES)
        && let Escaped::Perhaps(candidate) = entities::decode(text)
    {
        note(ENTITIES, "entities beside bare signs".to_owned(), Some(candidate));
    }
}

/// Turns edits into findings.
fn flags_instead(notes: &mut [Note]) {
    for note in notes {
        if let Note::Edit(column, edit) = note {
            let candidate = serde_json::from_str(&edit.after).ok();
            let finding =
                Finding { rule: edit.rule, detail: format!("not repaired: {}", edit.evidence), candidate };
            *note = Note::Finding(Some(*column), finding);
        }
    }
}
