//! `plan diff KEY`: one row of a plan, whole.

use super::elide::show;
use super::keys::{KeySet, key_json};
use super::layout::{Layout, Op};
use super::{PlanDir, PlanError};
use crate::guard::Refusal;
use crate::report::{Align, Document, Table};
use crate::target::Change;
use crate::text::one_line;
use crate::value::Value;

/// A value of more characters, or of more than one line, is shown below the table instead.
const VALUE_CHARS: usize = 60;

impl PlanDir {
    /// The changes whose key is typed like this (see [`KeySet`]), with their positions. More than one when keys of
    /// different types look alike.
    pub fn find(&self, key: &str) -> Result<Vec<(u64, Change)>, PlanError> {
        let mut wanted = KeySet::new([key]);
        let mut found = Vec::new();
        for (n, change) in (0..).zip(self.changes()?) {
            let change = change?;
            if wanted.takes(&self.layout().key_of(&change)) {
                found.push((n, change));
            }
        }
        Ok(found)
    }

    /// What `plan diff` prints for a key; refused when the plan has no change of it.
    pub fn diff(&self, key: &str) -> Result<Document, PlanError> {
        let found = self.find(key)?;
        if found.is_empty() {
            let what = format!("plan {} does not change this row", self.short());
            return Err(Refusal::new(what, "a key of the plan", format!("`{}`", one_line(key)))
                .next("type a key of several columns as a,b or as JSON: [\"a\",\"b\"]")
                .next(format!("the keys are in {}", self.path().join(super::names::CHANGES).display()))
                .into());
        }
        let mut document = Document::new();
        for (n, change) in &found {
            document.append(row(self.layout(), *n, change));
        }
        Ok(document)
    }
}

fn row(layout: &Layout, n: u64, change: &Change) -> Document {
    let mut document = Document::new();
    let key = one_line(&key_json(&layout.key_of(change)));
    document.heading(2, format!("{} {key}", Op::of(change).as_str())).facts([("position", n.to_string())]);
    let mut changed = Table::new([("column", Align::Code), ("before", Align::Code), ("after", Align::Code)]);
    let mut same = Table::new([("unchanged column", Align::Code), ("value", Align::Code)]);
    let mut long = Vec::new();
    for at in 0..layout.width() {
        let name = &layout.column(at).name;
        let (before, after) = sides(change, at);
        let is_same = matches!((before, after), (Some(a), Some(b)) if a.as_ref().same(b.as_ref()));
        let cell = |value: Option<&Value>| value.map_or_else(String::new, |value| show(value, VALUE_CHARS));
        if is_same {
            same.row([one_line(name), cell(before)]);
            continue;
        }
        changed.row([one_line(name), cell(before), cell(after)]);
        for (side, value) in [("before", before), ("after", after)] {
            long.extend(
                value.and_then(long_text).map(|text| (format!("{}, {side}", one_line(name)), visible(text))),
            );
        }
    }
    document.table(changed);
    for (title, text) in long {
        document.heading(3, title).code(text);
    }
    if !same.is_empty() {
        document.table(same);
    }
    document
}

fn sides(change: &Change, at: usize) -> (Option<&Value>, Option<&Value>) {
    match change {
        Change::Insert { after } => (None, after[at].as_ref()),
        Change::Update { before, after } => (Some(&before[at]), Some(&after[at])),
        Change::Delete { before } => (Some(&before[at]), None),
    }
}

fn long_text(value: &Value) -> Option<&str> {
    let (Value::Text(text) | Value::Json(text)) = value else { return None };
    (text.contains('\n') || text.chars().count() > VALUE_CHARS).then_some(text)
}

/// The text with its lines, and every other control character as its picture, so that no value can speak to a terminal.
fn visible(text: &str) -> String {
    let picture = |c: char| match c {
        '\n' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn no_value_speaks_to_a_terminal() {
        assert_eq!(visible("a\r\n\u{1b}[2J\0\u{7f}\u{9b}é"), "a␍\n␛[2J␀␡\u{fffd}é");
    }
}
