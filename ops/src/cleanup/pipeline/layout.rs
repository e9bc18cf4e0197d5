//! Which columns the rows of one input have, and where: the dataset's first, then those that only the input has.
//!
//! Columns that nobody declared are carried along and never dropped. Nothing here knows what columns mean.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cleanup::Dataset;
use crate::guard::Refusal;
use crate::records::Names;

/// The share of evidence of a row, in cleaned files.
pub(crate) const SCORE: &str = "integrity_score";
/// Whether a row is a fragment, in cleaned files.
pub(crate) const FLAG: &str = "fragment_flag";

/// Most columns that an input may have besides those of the dataset: every row of the sheet has a cell for each.
const EXTRAS_MAX: usize = 10_000;

/// Place of a field that is not there.
pub(super) type Places = Arc<[u32]>;

/// The columns of all rows.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Names: declared ones, then those that only the input has, in the order in which they came first.
    pub(super) columns: Vec<String>,
    /// How many are declared.
    pub(super) declared: usize,
    /// Places of the columns that name a row.
    pub(super) key: Vec<usize>,
    /// Places of the columns of the sheet, in its order.
    pub(super) sheet: Vec<usize>,
    places: HashMap<String, u32>,
    by_names: HashMap<u64, Places>,
}

impl Layout {
    pub(super) fn new(dataset: &Dataset) -> Self {
        let columns: Vec<String> = dataset.columns.iter().map(|column| column.name.clone()).collect();
        let places: HashMap<String, u32> = columns.iter().cloned().zip(0..).collect();
        let at = |name: &String| places.get(name).map(|place| *place as usize);
        let key = dataset.key.iter().filter_map(at).collect();
        let is_last = |place: &usize| dataset.sheet_last.contains(&columns[*place]);
        let (last, mut sheet): (Vec<usize>, Vec<usize>) = (0..columns.len()).partition(is_last);
        sheet.extend(last);
        Self { declared: columns.len(), key, sheet, columns, places, by_names: HashMap::new() }
    }

    /// The place of a column.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).map(|place| *place as usize)
    }

    /// Whether the cleaned files have a column of this name that is made, and not carried along.
    pub(super) fn is_made(name: &str) -> bool {
        name == SCORE || name == FLAG
    }

    /// Places of the undeclared columns that are carried along.
    pub(super) fn carried(&self) -> impl Iterator<Item = usize> + '_ {
        (self.declared..self.columns.len()).filter(|place| !Self::is_made(&self.columns[*place]))
    }

    /// The places of the fields of a record with these names; new names get places behind all others.
    pub(super) fn places(&mut self, names: &Names) -> Result<Places, Refusal> {
        if let Some(places) = self.by_names.get(&names.id()) {
            return Ok(Arc::clone(places));
        }
        // Sets of names that come once each must not pile up.
        if self.by_names.len() >= 4096 {
            self.by_names.clear();
        }
        let mut places = Vec::with_capacity(names.len());
        for name in names.iter() {
            places.push(self.place_or_new(name)?);
        }
        let places: Places = places.into();
        self.by_names.insert(names.id(), Arc::clone(&places));
        Ok(places)
    }

    fn place_or_new(&mut self, name: &str) -> Result<u32, Refusal> {
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        if self.columns.len() - self.declared >= EXTRAS_MAX {
            return Err(Refusal::new(
                "the records have too many different columns for one table",
                format!("at most {EXTRAS_MAX} columns besides those of the dataset"),
                "more",
            )
            .next("take what is not a column (values as names of fields, for instance) out of the records first"));
        }
        let place = u32::try_from(self.columns.len()).expect("far fewer columns");
        self.columns.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        Ok(place)
    }

    /// Forgets sets of names, which mean nothing to another reader.
    pub(super) fn forget_names(&mut self) {
        self.by_names.clear();
    }
}
