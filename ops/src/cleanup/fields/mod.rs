//! Values in the kinds that the dataset declares, and the fills for what is missing.
//!
//! A value that somebody wrote is kept: lists keep their words in front and in order, a placeholder is not replaced, a
//! title is never rewritten, only flagged with a suggestion. Each change is an [`Edit`]. Texts are not repaired here,
//! and nothing is scored.

mod keywords;
mod values;

pub(super) use keywords::{Ranked, says_something};

use std::borrow::Cow;

use super::dataset::Kind;
use super::note::{Edit, Note, Rule};
use super::row::{Cell, Row};
use super::rules::{FillKind, Role, Rules, Scratch, content, is_blank};
use super::slug::slug;
use super::titles::{self, Learned};
use super::words::{Meaning, Splits};
use crate::value::is_plain_json;

/// The rules of this step.
pub mod ids {
    use super::Rule;

    /// A whole number was read, clamped, or given its default.
    pub const INTEGER: Rule = Rule { id: "integer", version: 1 };
    /// A text or number became true or false.
    pub const BOOLEAN: Rule = Rule { id: "boolean", version: 1 };
    /// A list was split into words, or words of the row were put behind it.
    pub const LIST: Rule = Rule { id: "list", version: 1 };
    /// A missing list was made of words of the row.
    pub const KEYWORDS: Rule = Rule { id: "keywords", version: 1 };
    /// A missing value was given by a word of the row.
    pub const FIRST_OF: Rule = Rule { id: "first_of", version: 1 };
    /// A missing value is always this.
    pub const CONSTANT: Rule = Rule { id: "constant", version: 1 };
    /// An address was made of the title.
    pub const SLUG: Rule = Rule { id: "slug", version: 1 };
    /// A row with too little evidence was marked.
    pub const FRAGMENT: Rule = Rule { id: "fragment", version: 1 };
    /// A value is not of the kind of its column.
    pub const BAD_VALUE: Rule = Rule { id: "bad_value", version: 1 };
}

/// Brings a repaired row into the form of its dataset. Cells that the row lacks become absent ones.
pub fn apply(
    rules: &Rules,
    learned: &Learned,
    row: &mut Row<'_>,
    notes: &mut Vec<Note>,
    scratch: &mut Scratch,
) {
    let mut splits = std::mem::take(&mut scratch.splits);
    rules.split(row, &mut splits);
    apply_split(rules, learned, row, &splits, notes, scratch);
    scratch.splits = splits;
}

/// Brings a row whose texts are split already into the form of its dataset.
pub(super) fn apply_split(
    rules: &Rules,
    learned: &Learned,
    row: &mut Row<'_>,
    splits: &Splits,
    notes: &mut Vec<Note>,
    scratch: &mut Scratch,
) {
    let columns = rules.dataset.columns.len();
    if row.cells.len() < columns {
        row.cells.resize(columns, Cell::Absent);
    }
    let suggested = titles::check(rules, learned, row, splits, notes);
    fill(rules, row, (splits, suggested.as_ref()), notes, scratch);
    for (i, column) in rules.dataset.columns.iter().enumerate() {
        let cell = &mut row.cells[i];
        match column.kind {
            Kind::Text | Kind::Id => {}
            Kind::Integer { min, max, default } => values::integer(i, cell, (min, max, default), notes),
            Kind::Boolean => values::boolean(i, cell, notes),
            Kind::List => values::list(i, cell, notes, scratch),
            Kind::Timestamp => values::timestamp(i, cell, notes),
        }
    }
    address(rules, row, notes);
}

/// Puts the values of a fragment into its empty columns.
pub fn mark_fragment(rules: &Rules, row: &mut Row<'_>, notes: &mut Vec<Note>) {
    for (name, value) in &rules.dataset.score.fragment {
        let Some(column) = rules.dataset.column(name) else { continue };
        if is_empty(&row.cells[column]) {
            let value = Cell::Text(Cow::Owned(value.clone()));
            change(&mut row.cells[column], value, column, ids::FRAGMENT, "score below the threshold", notes);
        }
    }
}

/// Whether somebody may still fill a cell: a placeholder is a value.
pub(super) fn is_empty(cell: &Cell<'_>) -> bool {
    content(cell).is_none_or(is_blank)
}

/// Replaces a cell and says so.
fn change<'a>(
    cell: &mut Cell<'a>,
    after: Cell<'a>,
    column: usize,
    rule: Rule,
    evidence: impl Into<Cow<'static, str>>,
    notes: &mut Vec<Note>,
) {
    let edit = Edit { rule, before: as_json(cell), after: as_json(&after), evidence: evidence.into() };
    notes.push(Note::Edit(column, edit));
    *cell = after;
}

/// A cell as JSON.
fn as_json(cell: &Cell<'_>) -> Cow<'static, str> {
    match cell {
        Cell::Absent | Cell::Null => Cow::Borrowed("null"),
        Cell::Json(json) => Cow::Owned(json.clone().into_owned()),
        Cell::Text(text) => Cow::Owned(quoted(text)),
    }
}

fn quoted(text: &str) -> String {
    if !is_plain_json(text) {
        return serde_json::to_string(text).expect("text is always JSON");
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    quoted.push_str(text);
    quoted.push('"');
    quoted
}

fn address(rules: &Rules, row: &mut Row<'_>, notes: &mut Vec<Note>) {
    let (Some((from, to)), Some(settings)) = (rules.slug, &rules.dataset.slug) else { return };
    if !is_empty(&row.cells[to]) {
        return;
    }
    let made = content(&row.cells[from]).and_then(|text| slug(text, settings.max_chars));
    if let Some(made) = made {
        change(
            &mut row.cells[to],
            Cell::Text(Cow::Owned(made)),
            to,
            ids::SLUG,
            ["made of `", &settings.from, "`"].concat(),
            notes,
        );
    }
}

/// Fills what is missing, in one pass over the words.
fn fill(
    rules: &Rules,
    row: &mut Row<'_>,
    (splits, suggested): (&Splits, Option<&(usize, String)>),
    notes: &mut Vec<Note>,
    scratch: &mut Scratch,
) {
    let mut wanted = 0_u32;
    for (i, fill) in rules.fills.iter().enumerate() {
        let cell = &row.cells[fill.column];
        let is_wanted = match &fill.kind {
            FillKind::FirstOf { .. } | FillKind::Constant(_) => is_empty(cell),
            FillKind::Keywords(_) => true,
        };
        wanted |= u32::from(is_wanted) << i;
    }
    let found = groups(rules, row, splits, wanted, scratch);
    for (i, fill) in rules.fills.iter().enumerate().filter(|(i, _)| wanted & (1 << i) != 0) {
        match &fill.kind {
            FillKind::Constant(value) => {
                let value = Cell::Text(Cow::Owned(value.clone()));
                let evidence = "the column is always this";
                change(&mut row.cells[fill.column], value, fill.column, ids::CONSTANT, evidence, notes);
            }
            FillKind::FirstOf { values } => {
                let Some(Hit { group, evidence }) =
                    found.iter().find(|(fill, _)| *fill == i).map(|(_, hit)| hit)
                else {
                    continue;
                };
                let value = Cell::Text(Cow::Owned(values[*group as usize].clone()));
                change(
                    &mut row.cells[fill.column],
                    value,
                    fill.column,
                    ids::FIRST_OF,
                    evidence.clone(),
                    notes,
                );
            }
            FillKind::Keywords(keywords) => {
                keywords::fill(rules, (i, fill.column, keywords), row, (splits, suggested), notes, scratch);
            }
        }
    }
}

/// The first group of a fill, and the word that stands for it.
struct Hit {
    group: u32,
    evidence: String,
}

fn groups(
    rules: &Rules,
    row: &Row<'_>,
    splits: &Splits,
    wanted: u32,
    scratch: &mut Scratch,
) -> Vec<(usize, Hit)> {
    let groups = &mut scratch.groups;
    groups.clear();
    groups.resize(rules.fills.len(), None);
    let mut at: [(usize, usize); 32] = [(0, 0); 32];
    for scan in rules.scans.iter().filter(|scan| scan.fills & wanted != 0) {
        let Some(text) = content(&row.cells[scan.column]) else { continue };
        for (number, word) in splits.known(scan.column, text, Meaning::Value) {
            splits.phrases(scan.column, number, rules.lexicon.phrase, |hash| {
                for (fill, role) in rules.lexicon.uses(hash) {
                    let Role::Group(group) = *role else { continue };
                    let best = &mut groups[*fill as usize];
                    if scan.fills & wanted & (1 << fill) != 0 && best.is_none_or(|best| group < best) {
                        *best = Some(group);
                        at[*fill as usize] = (scan.column, word.start);
                    }
                }
            });
        }
    }
    let hit = |(fill, group): (usize, &Option<u32>)| {
        let (column, start) = at[fill];
        let rest = &content(&row.cells[column])?[start..];
        let found = &rest[..rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())];
        let evidence = format!("`{}` in `{}`", found.to_lowercase(), rules.dataset.columns[column].name);
        Some((fill, Hit { group: (*group)?, evidence }))
    };
    scratch.groups.iter().enumerate().filter(|(_, group)| group.is_some()).filter_map(hit).collect()
}
