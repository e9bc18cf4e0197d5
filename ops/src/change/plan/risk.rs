//! Which changes a reviewer should look at first, by rules that are simple enough to argue with.
//!
//! A rule finds what is often a mistake, not what is wrong; no rule ever stops a plan.

use serde_json::Value as Json;

use super::layout::{Layout, changed};
use super::manifest::RiskFacts;
use crate::target::Change;
use crate::value::ValueRef;

/// Texts shorter than this may shrink as they like.
const TEXT_CHARS_MIN: usize = 10;
/// Updates of fewer cells are never many.
const MANY_CELLS_MIN: usize = 3;

/// Why a change deserves a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// The row is deleted.
    RowDeleted,
    /// A column that identifies rows changes: of a unique key, or named like one.
    KeyLike,
    /// A JSON object loses keys.
    JsonKeysLost,
    /// A value becomes NULL.
    ValueToNull,
    /// Something becomes empty.
    Emptied,
    /// A text loses more than half of its characters.
    TextShrinks,
    /// A number becomes more than ten times larger or smaller.
    NumberJumps,
    /// More than half of the row changes.
    ManyCells,
}

impl Rule {
    /// The rule's id.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::RowDeleted => "row-deleted",
            Self::KeyLike => "key-like",
            Self::JsonKeysLost => "json-keys-lost",
            Self::ValueToNull => "value-to-null",
            Self::Emptied => "emptied",
            Self::TextShrinks => "text-shrinks",
            Self::NumberJumps => "number-jumps",
            Self::ManyCells => "many-cells",
        }
    }

    /// What it finds.
    pub(super) fn finds(id: &str) -> &'static str {
        match id {
            "row-deleted" => "rows that are deleted",
            "key-like" => "changes of a column that identifies rows",
            "json-keys-lost" => "JSON objects that lose keys",
            "value-to-null" => "values that become NULL",
            "emptied" => "values that become empty",
            "text-shrinks" => "texts that lose more than half of their characters",
            "number-jumps" => "numbers that become more than ten times larger or smaller",
            "many-cells" => "rows of which more than half changes",
            _ => "rows found by a rule of another version",
        }
    }

    fn weight(self) -> u32 {
        match self {
            Self::RowDeleted | Self::KeyLike => 100,
            Self::JsonKeysLost | Self::ValueToNull | Self::Emptied => 10,
            Self::TextShrinks | Self::NumberJumps => 5,
            Self::ManyCells => 2,
        }
    }
}

/// One thing that a rule found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Risk {
    /// Which rule.
    pub(super) rule: Rule,
    /// In which column, as a position in the row; `None` for the whole row.
    pub(super) at: Option<usize>,
}

/// How urgently these should be looked at.
pub(super) fn score(risks: &[Risk]) -> u32 {
    risks.iter().map(|risk| risk.rule.weight()).sum()
}

/// Counts a row under every rule that found it.
pub(super) fn count(risks: &[Risk], facts: &mut RiskFacts) {
    let mut rules: Vec<Rule> = risks.iter().map(|risk| risk.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    facts.rows += u64::from(!rules.is_empty());
    for rule in rules {
        *facts.by_rule.entry(rule.id().to_owned()).or_insert(0) += 1;
    }
}

/// The rules for one table.
#[derive(Debug)]
pub(super) struct Rules {
    is_key_like: Vec<bool>,
    others: usize,
}

impl Rules {
    pub(super) fn new(layout: &Layout) -> Self {
        let keys = layout.table.unique.iter().chain([&layout.table.primary_key]);
        let unique: Vec<usize> = keys.flatten().copied().collect();
        let is_named = |name: &str| {
            let name = name.to_lowercase();
            ["id", "uuid", "slug", "key"]
                .iter()
                .any(|word| name == *word || name.strip_suffix(word).is_some_and(|rest| rest.ends_with('_')))
        };
        let each =
            layout.columns.iter().map(|i| unique.contains(i) || is_named(&layout.table.columns[*i].name));
        Self { is_key_like: each.collect(), others: layout.width() - layout.key_at().len() }
    }

    /// What the rules find in a change, into `risks`.
    pub(super) fn find(&self, change: &Change, risks: &mut Vec<Risk>) {
        risks.clear();
        let (before, after) = match change {
            Change::Insert { .. } => return,
            Change::Delete { .. } => return risks.push(Risk { rule: Rule::RowDeleted, at: None }),
            Change::Update { before, after } => (before, after),
        };
        let mut cells = 0;
        for at in changed(before, after) {
            cells += 1;
            if self.is_key_like[at] {
                risks.push(Risk { rule: Rule::KeyLike, at: Some(at) });
            }
            if let Some(rule) = cell(before[at].as_ref(), after[at].as_ref()) {
                risks.push(Risk { rule, at: Some(at) });
            }
        }
        if cells >= MANY_CELLS_MIN && cells * 2 > self.others {
            risks.push(Risk { rule: Rule::ManyCells, at: None });
        }
    }
}

/// The one rule that says most about how a value changes.
fn cell(before: ValueRef<'_>, after: ValueRef<'_>) -> Option<Rule> {
    match (before, after) {
        (ValueRef::Null, _) => None,
        (_, ValueRef::Null) => Some(Rule::ValueToNull),
        (ValueRef::Bytes(a), ValueRef::Bytes(b)) => (!a.is_empty() && b.is_empty()).then_some(Rule::Emptied),
        _ => match (text(before), text(after)) {
            (Some(a), Some(b)) => texts(a, b),
            _ => jumps(before, after).then_some(Rule::NumberJumps),
        },
    }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) | ValueRef::Json(text) => Some(text),
        _ => None,
    }
}

fn texts(before: &str, after: &str) -> Option<Rule> {
    let is_empty = |text: &str| matches!(text.trim(), "" | "{}" | "[]" | "null");
    if !is_empty(before) && is_empty(after) {
        return Some(Rule::Emptied);
    }
    if before.starts_with('{')
        && let Ok(before @ Json::Object(_)) = serde_json::from_str(before)
    {
        let after = serde_json::from_str(after).unwrap_or(Json::Null);
        return loses_keys(&before, &after).then_some(Rule::JsonKeysLost);
    }
    let length = before.chars().count();
    (length >= TEXT_CHARS_MIN && after.chars().count() * 2 < length).then_some(Rule::TextShrinks)
}

fn loses_keys(before: &Json, after: &Json) -> bool {
    let Json::Object(before) = before else { return false };
    let Json::Object(after) = after else { return true };
    before.iter().any(|(key, value)| after.get(key).is_none_or(|now| loses_keys(value, now)))
}

fn jumps(before: ValueRef<'_>, after: ValueRef<'_>) -> bool {
    let (Some(a), Some(b)) = (number(before), number(after)) else { return false };
    let (a, b) = (a.abs(), b.abs());
    a != 0.0 && b != 0.0 && (a > b * 10.0 || b > a * 10.0)
}

fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Int(n) => Some(n as f64),
        ValueRef::Real(x) => Some(x),
        ValueRef::Number(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn found(before: &Value, after: &Value) -> Option<&'static str> {
        cell(before.as_ref(), after.as_ref()).map(Rule::id)
    }

    #[test]
    fn cells() {
        let text = |t: &str| Value::Text(t.into());
        let json = |t: &str| Value::Json(t.into());
        for (before, after, expected) in [
            (Value::Null, text("a"), None),
            (text("a"), Value::Null, Some("value-to-null")),
            (text("a"), text(" "), Some("emptied")),
            (text(" "), text(""), None),
            (json("[1]"), json("[]"), Some("emptied")),
            (Value::Bytes(vec![1]), Value::Bytes(vec![]), Some("emptied")),
            (text("0123456789"), text("01234"), None),
            (text("0123456789"), text("0123"), Some("text-shrinks")),
            (text("ééééééééééé"), text("ééééé"), Some("text-shrinks")),
            (text("short"), text("s"), None),
            (json(r#"{"a":1,"b":{"c":1}}"#), json(r#"{"a":2,"b":{"c":null,"d":1}}"#), None),
            (json(r#"{"a":1,"b":{"c":1}}"#), json(r#"{"a":1,"b":{}}"#), Some("json-keys-lost")),
            (text(r#"{"a":1}"#), text("{\"a\":"), Some("json-keys-lost")),
            (text("{not json} at all"), text("{}x"), Some("text-shrinks")),
            (Value::Int(1), Value::Int(10), None),
            (Value::Int(1), Value::Int(11), Some("number-jumps")),
            (Value::Number("100".into()), Value::Number("-9.9".into()), Some("number-jumps")),
            (Value::Real(0.0), Value::Real(1e9), None),
            (Value::Int(1), text("1"), None),
            (Value::Bool(true), Value::Bool(false), None),
        ] {
            assert_eq!(found(&before, &after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn rows() {
        let subject = super::super::tests::subject();
        let mut table = subject.table;
        table.unique = vec![vec![3]];
        table.columns[5].name = "Parent_ID".into();
        let layout = Layout::new(table, subject.columns, subject.key).unwrap();
        let rules = Rules::new(&layout);
        let before: Vec<Value> = (1..=8).map(Value::Int).collect();
        let find = |change: &Change| {
            let mut risks = Vec::new();
            rules.find(change, &mut risks);
            risks.iter().map(|risk| (risk.rule.id(), risk.at)).collect::<Vec<_>>()
        };
        let update = |places: &[usize]| {
            let mut after = before.clone();
            for at in places {
                after[*at] = Value::Int(9);
            }
            find(&Change::Update { before: before.clone(), after })
        };
        assert_eq!(update(&[2]), []);
        assert_eq!(update(&[3, 5]), [("key-like", Some(3)), ("key-like", Some(5))]);
        assert_eq!(update(&[2, 4, 6]), [], "half of six is not more than half");
        assert_eq!(update(&[2, 4, 6, 7]), [("many-cells", None)]);
        assert_eq!(find(&Change::Delete { before: before.clone() }), [("row-deleted", None)]);
        assert_eq!(find(&Change::Insert { after: vec![None; 8] }), []);
    }

    #[test]
    fn a_row_counts_once_and_once_under_every_rule() {
        let mut facts = RiskFacts::default();
        let risk = |rule, at| Risk { rule, at };
        count(
            &[risk(Rule::Emptied, Some(1)), risk(Rule::Emptied, Some(2)), risk(Rule::ManyCells, None)],
            &mut facts,
        );
        count(&[], &mut facts);
        assert_eq!(facts.rows, 1);
        assert_eq!(facts.by_rule, [("emptied".to_owned(), 1), ("many-cells".to_owned(), 1)].into());
    }
}
