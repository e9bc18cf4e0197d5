//! Runs every case in a database of its own and says how many there were.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cases::{CASES, POSTGRES};
use super::world::{Dialect, Verdict, World};

/// One case: a name that is a sentence about a target, and the proof.
pub(crate) type Case = (&'static str, fn(&mut dyn World) -> Verdict);

/// Runs all cases; fails at the end, with the names of those that did.
pub(crate) fn run(world: &mut dyn World) {
    let mut failed = Vec::new();
    let mut not_applicable = Vec::new();
    let own = if world.dialect() == Dialect::Postgres { POSTGRES } else { &[] };
    let count = CASES.len() + own.len();
    for (name, case) in CASES.iter().chain(own) {
        // What a case left behind is not reused, whatever state it is in.
        let verdict = catch_unwind(AssertUnwindSafe(|| {
            world.fresh();
            case(world)
        }));
        match verdict {
            Ok(Verdict::Held) => {}
            Ok(Verdict::NotApplicable(why)) => not_applicable.push(format!("{name} ({why})")),
            Err(_) => failed.push(*name),
        }
    }
    let mut line = format!("conformance, {}: {} cases", world.driver(), count);
    if !not_applicable.is_empty() {
        line.push_str(&format!(", {} not applicable: {}", not_applicable.len(), not_applicable.join(", ")));
    }
    // The test harness keeps what a passing test prints to itself, unless it goes past its capture.
    let _ = writeln!(std::io::stderr(), "{line}");
    assert!(failed.is_empty(), "{}: {} of {} cases failed: {failed:#?}", world.driver(), failed.len(), count);
}
