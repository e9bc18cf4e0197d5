//! A change of `ops.toml` that a program can make, and its inverse: which numbers, in a file with which digest.
//!
//! A patch is bound to the bytes that it was made for. It changes numbers in place, so comments and order stay, and what it
//! wrote is read again before it counts.

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::ids::sha256;

/// One number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Its path in the file.
    pub key: String,
    /// Its value before; none where the file does not have it.
    pub from: Option<u64>,
    /// Its value after; none where the file is not to have it.
    pub to: Option<u64>,
}

/// A change of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Version of this artifact.
    pub format: u32,
    /// The first 12 digits of the SHA-256 of the rest: what an approval names.
    pub id: String,
    /// SHA-256 of the file before.
    pub before_sha256: String,
    /// SHA-256 of the file after.
    pub after_sha256: String,
    /// Digest of the evidence that it rests on.
    pub evidence_digest: String,
    /// Whether it rests on what is no evidence: such a patch is for looking at.
    pub is_trial: bool,
    /// The numbers.
    pub edits: Vec<Edit>,
}

/// A patch cannot be made or applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The file is no TOML.
    #[error("the settings are not TOML")]
    Form,
    /// The file is written in a way that cannot be edited in place.
    #[error("`{0}` cannot be changed in place: write the coefficients in the form of the shipped ops.toml")]
    Place(String),
    /// A number is not what it was.
    #[error("`{0}` is not what the patch expects")]
    Value(String),
}

/// Where coefficients stand.
const ROOT: &str = "estimator.coefficients.";

impl Patch {
    /// The patch of a text by changes of coefficients: path below `estimator.coefficients`, old and new value.
    pub fn new(
        text: &str,
        changes: &[(String, u64, u64)],
        evidence_digest: &str,
        is_trial: bool,
    ) -> Result<Self, PatchError> {
        let tree = DeTable::parse(text).map_err(|_| PatchError::Form)?;
        let edits: Vec<Edit> = changes
            .iter()
            .map(|(path, from, to)| {
                let key = format!("{ROOT}{path}");
                let from = find(tree.get_ref(), &key).map(|_| *from);
                Edit { key, from, to: Some(*to) }
            })
            .collect();
        let after = edited(text, &edits)?;
        let patch = Self::sealed(text, &after, evidence_digest, is_trial, edits);
        // A number in another spelling than ours would not come back to the byte.
        let back = patch.inverse(text)?.apply(&after);
        back.map_err(|_| PatchError::Place(changes.first().map(|c| c.0.clone()).unwrap_or_default()))?;
        Ok(patch)
    }

    fn sealed(before: &str, after: &str, evidence_digest: &str, is_trial: bool, edits: Vec<Edit>) -> Self {
        let mut patch = Self {
            format: 1,
            id: String::new(),
            before_sha256: sha256(before.as_bytes()),
            after_sha256: sha256(after.as_bytes()),
            evidence_digest: evidence_digest.to_owned(),
            is_trial,
            edits,
        };
        patch.id = patch.computed_id();
        patch
    }

    /// SHA-256 of everything but the id.
    pub fn digest(&self) -> String {
        let unnamed = Self { id: String::new(), ..self.clone() };
        sha256(&serde_json::to_vec(&unnamed).expect("numbers and words are JSON"))
    }

    /// What the id must be.
    pub fn computed_id(&self) -> String {
        let mut id = self.digest();
        id.truncate(12);
        id
    }

    /// The patch that takes this one back, of the text before it.
    pub fn inverse(&self, before: &str) -> Result<Self, PatchError> {
        let after = self.apply(before)?;
        let edits: Vec<Edit> =
            self.edits.iter().rev().map(|e| Edit { key: e.key.clone(), from: e.to, to: e.from }).collect();
        Ok(Self::sealed(&after, before, &self.evidence_digest, self.is_trial, edits))
    }

    /// The text after, of the text before. The caller has compared the digest of the text before.
    pub fn apply(&self, text: &str) -> Result<String, PatchError> {
        let after = edited(text, &self.edits)?;
        // An inserted line is taken back to the byte only by its own digest.
        let differs = || PatchError::Value("the file after the change".to_owned());
        if sha256(after.as_bytes()) == self.after_sha256 { Ok(after) } else { Err(differs()) }
    }
}

/// The text with all edits made, one after the other.
fn edited(text: &str, edits: &[Edit]) -> Result<String, PatchError> {
    edits.iter().try_fold(text.to_owned(), |text, edit| {
        let after = edited_once(&text, edit)?;
        let tree = DeTable::parse(&after).map_err(|_| PatchError::Place(edit.key.clone()))?;
        let holds = find(tree.get_ref(), &edit.key).map(|(_, value)| value) == edit.to.map(Some);
        if holds { Ok(after) } else { Err(PatchError::Place(edit.key.clone())) }
    })
}

fn edited_once(text: &str, edit: &Edit) -> Result<String, PatchError> {
    let tree = DeTable::parse(text).map_err(|_| PatchError::Form)?;
    let found = find(tree.get_ref(), &edit.key);
    let place = || PatchError::Place(edit.key.clone());
    match (found, edit.from, edit.to) {
        (Some((span, value)), Some(from), to) => {
            if value != Some(from) {
                return Err(PatchError::Value(edit.key.clone()));
            }
            let mut after = text.to_owned();
            match to {
                Some(to) => after.replace_range(span, &to.to_string()),
                None => after.replace_range(inserted(text, edit, from).ok_or_else(place)?, ""),
            }
            Ok(after)
        }
        (None, None, Some(to)) => {
            let (at, line) = insertion(tree.get_ref(), text, &edit.key, to).ok_or_else(place)?;
            let mut after = text.to_owned();
            after.insert_str(at, &line);
            Ok(after)
        }
        _ => Err(PatchError::Value(edit.key.clone())),
    }
}

/// Where the value of a path stands, and the value when it is a whole number.
fn find(tree: &DeTable<'_>, path: &str) -> Option<(std::ops::Range<usize>, Option<u64>)> {
    let mut names = path.split('.');
    let mut value = tree.get(names.next()?)?;
    for name in names {
        value = match value.get_ref() {
            DeValue::Table(table) => table.get(name)?,
            DeValue::Array(list) => list.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    let number = match value.get_ref() {
        DeValue::Integer(n) => n.as_str().replace('_', "").parse().ok(),
        _ => None,
    };
    Some((value.span(), number))
}

/// Where a number that the file does not have is to stand, and what to write: in the row of its category, or a row of its own
/// before the first category.
fn insertion(tree: &DeTable<'_>, text: &str, key: &str, to: u64) -> Option<(usize, String)> {
    let (row, name) = key.rsplit_once('.')?;
    if let Some((span, _)) = find(tree, row) {
        let inside = text.get(span.clone())?.strip_prefix('{')?;
        return (inside.trim_start() != "}").then(|| (span.start + 1, format!(" {name} = {to},")));
    }
    let (table, category) = row.rsplit_once('.')?;
    let table = table_of(tree, table)?;
    let first = table.keys().map(|key| key.span().start).min()?;
    let begins_line = first == 0 || text.as_bytes().get(first - 1) == Some(&b'\n');
    begins_line.then(|| (first, format!("{} = {{ {name} = {to} }}\n", quoted(category))))
}

/// What [`insertion`] wrote, to be taken out again.
fn inserted(text: &str, edit: &Edit, from: u64) -> Option<std::ops::Range<usize>> {
    let (row, name) = edit.key.rsplit_once('.')?;
    let category = quoted(row.rsplit_once('.')?.1);
    let own = format!("{category} = {{ {name} = {from} }}\n");
    if let Some(at) = text.find(&own) {
        return Some(at..at + own.len());
    }
    let tree = DeTable::parse(text).ok()?;
    let (span, _) = find(tree.get_ref(), row)?;
    let part = format!(" {name} = {from},");
    let at = span.start + 1;
    text.get(at..)?.starts_with(&part).then(|| at..at + part.len())
}

fn table_of<'t, 'd>(tree: &'t DeTable<'d>, path: &str) -> Option<&'t DeTable<'d>> {
    let mut table = tree;
    for name in path.split('.') {
        let DeValue::Table(inner) = table.get(name)?.get_ref() else { return None };
        table = inner;
    }
    Some(table)
}

/// A key as TOML spells it.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { serde_json::Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# kept\n[estimator]\nversion = 1 # kept\n\n[estimator.coefficients.overhead]\n# kept\n\
        docs = { low = 1500, medium = 2500 } # kept\n\n[estimator.coefficients.marginals]\nsql = { new = 3, modify = 4 }\n";

    fn patch(changes: &[(&str, u64, u64)]) -> Result<Patch, PatchError> {
        let changes: Vec<(String, u64, u64)> =
            changes.iter().map(|(p, a, b)| ((*p).to_owned(), *a, *b)).collect();
        Patch::new(TEXT, &changes, "e", false)
    }

    #[test]
    fn numbers_change_in_place_and_back_to_the_byte() {
        let patch = patch(&[("overhead.docs.low", 1500, 1200), ("marginals.sql.new", 3, 5)]).unwrap();
        let after = patch.apply(TEXT).unwrap();
        assert_eq!(after, TEXT.replace("1500", "1200").replace("new = 3", "new = 5"));
        assert_eq!(patch.id, patch.computed_id());
        assert_eq!(patch.inverse(TEXT).unwrap().apply(&after).unwrap(), TEXT);
        // A number that is written with separators would come back without.
        let spelled = TEXT.replace("1500", "1_500");
        let found = Patch::new(&spelled, &[("overhead.docs.low".to_owned(), 1500, 1200)], "e", false);
        assert!(matches!(found, Err(PatchError::Place(_))), "{found:?}");
    }

    #[test]
    fn a_number_of_a_list_is_changed_by_its_place() {
        let text = "[estimator.coefficients.documents]\nupdate_context = [3000, 2200, 1500] # kept\n";
        let change = |at: usize, from| [(format!("documents.update_context.{at}"), from, 1650)];
        let patch = Patch::new(text, &change(1, 2200), "e", false).unwrap();
        let after = patch.apply(text).unwrap();
        assert_eq!(after, text.replace("2200", "1650"));
        assert_eq!(patch.inverse(text).unwrap().apply(&after).unwrap(), text);
        assert!(Patch::new(text, &change(0, 2200), "e", false).is_err());
        assert!(Patch::new(text, &change(3, 2200), "e", false).is_err());
    }

    #[test]
    fn what_the_file_does_not_have_is_written_and_taken_out() {
        let patch =
            patch(&[("overhead.docs.high", 2000, 1900), ("overhead.new kind.low", 2000, 2100)]).unwrap();
        let after = patch.apply(TEXT).unwrap();
        assert!(
            after.contains("\"new kind\" = { low = 2100 }\ndocs = { high = 1900, low = 1500,"),
            "{after}"
        );
        assert_eq!(patch.inverse(TEXT).unwrap().apply(&after).unwrap(), TEXT);
    }

    #[test]
    fn a_number_that_is_not_what_it_was_is_refused() {
        assert_eq!(
            patch(&[("overhead.docs.low", 1501, 1200)]),
            Err(PatchError::Value("estimator.coefficients.overhead.docs.low".into()))
        );
        let good = patch(&[("overhead.docs.low", 1500, 1200)]).unwrap();
        assert!(good.apply(&TEXT.replace("# kept", "# other")).is_err());
        let tampered = Patch { edits: vec![Edit { to: Some(1), ..good.edits[0].clone() }], ..good.clone() };
        assert_ne!(tampered.computed_id(), tampered.id);
        let odd = "[estimator.coefficients.overhead.docs]\nlow = 1\n";
        let change = [("overhead.docs.high".to_owned(), 2000, 2)];
        assert!(matches!(Patch::new(odd, &change, "e", false), Err(PatchError::Place(_))));
    }
}
