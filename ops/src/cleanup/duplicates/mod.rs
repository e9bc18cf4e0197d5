//! Finds rows that are the same: equal but for their key, with equal slugs, or with nearly the same words.
//!
//! Each row gives [`Keys`], a few digests and a sketch of its words, to a [`Finder`]; the [`Clusters`] it finds are
//! read in the order of their first rows. Causes that are declared for merging make clusters to merge, and a row is in
//! one of them at most; every other cause makes proposals, and none that says nothing new. [`merge`] fills the row that
//! stays from those that go. Which rows are together, and a cluster's id, do not depend on the order of the rows.
//! Memory does not grow with the rows but for eight bytes each; the rest is sorted on disk. A row must not be merged
//! for a cause that was not declared, and a text without words or letters is like no other.

mod clusters;
mod find;
mod keys;
mod marks;
mod merge;
mod stored;
mod words;

#[cfg(test)]
mod tests;

pub use self::clusters::{Cluster, Clusters};
pub use self::find::{Finder, Keyed, Skipped};
pub use self::keys::Keys;
pub use self::merge::{Merged, merge};
