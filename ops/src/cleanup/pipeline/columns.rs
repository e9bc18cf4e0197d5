//! Columns by name and place: the dataset's first, then those that only the input has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::records::Names;

/// Most columns that an input may have besides those of the dataset: every row of the sheet has a cell for each.
pub(super) const EXTRAS_MAX: usize = 10_000;
/// Sets of names whose places are remembered.
const KNOWN_MAX: usize = 4096;

/// The places of the fields of a record.
pub(super) type Places = Arc<[u32]>;

/// Columns as one thread knows them.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Names by place.
    pub(super) names: Vec<String>,
    declared: usize,
    /// Record and field where each undeclared column came first.
    first: Vec<(u64, usize)>,
    places: HashMap<String, u32>,
    known: HashMap<u64, Places>,
    /// Of the record before, which mostly has the same names.
    last: Option<(u64, Places)>,
}

impl Columns {
    pub(super) fn new(declared: &[String]) -> Self {
        let places = declared.iter().cloned().zip(0..).collect();
        let (known, last) = (HashMap::new(), None);
        Self { names: declared.to_vec(), declared: declared.len(), first: Vec::new(), places, known, last }
    }

    /// The place of a column.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).map(|place| *place as usize)
    }

    /// The places of the fields of a record with these names; new names get places behind all others.
    pub(super) fn of_record(&mut self, names: &Names, ordinal: u64) -> Places {
        if let Some((id, places)) = &self.last
            && *id == names.id()
        {
            return Arc::clone(places);
        }
        if let Some(places) = self.known.get(&names.id()) {
            let places = Arc::clone(places);
            self.last = Some((names.id(), Arc::clone(&places)));
            return places;
        }
        // Sets of names that come once each must not pile up.
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let places: Places =
            names.iter().enumerate().map(|(field, name)| self.add(name, (ordinal, field))).collect();
        self.known.insert(names.id(), Arc::clone(&places));
        places
    }

    fn add(&mut self, name: &str, first: (u64, usize)) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.names.len()).expect("far fewer columns");
        // One too many is noticed, the others would only need memory.
        if self.names.len() > self.declared + EXTRAS_MAX {
            return place - 1;
        }
        self.names.push(name.to_owned());
        self.first.push(first);
        self.places.insert(name.to_owned(), place);
        place
    }

    /// The columns of all threads, undeclared ones in the order of the input; with the places that each thread's got.
    pub(super) fn join(threads: &[&Self]) -> (Self, Vec<Vec<usize>>) {
        let mut first: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for columns in threads {
            for (name, found) in columns.names[columns.declared..].iter().zip(&columns.first) {
                let earliest = first.entry(name).or_insert(*found);
                *earliest = (*earliest).min(*found);
            }
        }
        let mut extras: Vec<(&str, (u64, usize))> = first.into_iter().collect();
        extras.sort_by_key(|(_, first)| *first);
        let declared = threads.first().map_or(&[][..], |columns| &columns.names[..columns.declared]);
        let mut joined = Self::new(declared);
        for (name, first) in extras {
            joined.add(name, first);
        }
        let place = |name: &String| joined.place(name).unwrap_or(joined.names.len() - 1);
        let places = threads.iter().map(|columns| columns.names.iter().map(place).collect()).collect();
        (joined, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_agree_on_the_order_of_the_input() {
        let declared = ["id".to_owned(), "name".to_owned()];
        let (mut one, mut two) = (Columns::new(&declared), Columns::new(&declared));
        one.add("late", (90, 2));
        one.add("early", (3, 1));
        two.add("early", (70, 0));
        two.add("first", (3, 0));
        let (joined, places) = Columns::join(&[&one, &two]);
        assert_eq!(joined.names, ["id", "name", "first", "early", "late"]);
        assert_eq!(places, [[0, 1, 4, 3], [0, 1, 3, 2]]);
        assert_eq!((joined.place("late"), joined.place("other")), (Some(4), None));
    }
}
