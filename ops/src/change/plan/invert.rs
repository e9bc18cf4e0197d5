//! The change that takes a change back.

use crate::target::Change;
use crate::value::Row;

/// The inverse of a change: what was inserted is deleted, what was deleted is inserted, what was updated goes back.
/// `stored` is the row that the database made of it, where that is known and differs. `None` for an insertion that
/// left columns to their defaults, as long as nobody knows what these became.
pub fn invert(change: &Change, stored: Option<&Row>) -> Option<Change> {
    Some(match change {
        Change::Insert { after } => {
            let known = || after.iter().cloned().collect::<Option<Row>>();
            Change::Delete { before: stored.cloned().or_else(known)? }
        }
        Change::Update { before, after } => {
            Change::Update { before: stored.unwrap_or(after).clone(), after: before.clone() }
        }
        Change::Delete { before } => Change::Insert { after: before.iter().cloned().map(Some).collect() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;

    #[test]
    fn what_was_stored_is_what_is_taken_back() {
        let row = |n: i64| vec![Value::Int(1), Value::Int(n)];
        let insert = Change::Insert { after: vec![Some(Value::Int(1)), None] };
        assert_eq!(invert(&insert, None), None);
        assert_eq!(invert(&insert, Some(&row(7))), Some(Change::Delete { before: row(7) }));
        let update = Change::Update { before: row(1), after: row(2) };
        assert_eq!(invert(&update, Some(&row(3))), Some(Change::Update { before: row(3), after: row(1) }));
    }

    proptest! {
        #[test]
        fn twice_is_as_before(changes in super::super::tests::changes()) {
            for change in changes {
                let is_open = matches!(&change, Change::Insert { after } if after.iter().any(Option::is_none));
                let inverse = invert(&change, None);
                prop_assert_eq!(inverse.is_none(), is_open);
                if let Some(inverse) = inverse {
                    prop_assert_eq!(invert(&inverse, None), Some(change));
                }
            }
        }
    }
}
