//! One suite for every store of phases, and crowds of processes that are killed and suspended while they share one.
//!
//! `OPS_DRAIN_LONG=1` takes the crowds at their full size.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[path = "phases/api.rs"]
mod api;
#[path = "phases/crowd.rs"]
mod crowd;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "phases/server.rs"]
mod server;
#[path = "phases/suite.rs"]
mod suite;
#[path = "phases/world.rs"]
mod world;

use world::World;

/// Each case on a database of its own, of either kind; the first ones through an API to either too, the others are done
/// where the database is.
macro_rules! cases {
    ($($shared:ident),* ; $($own:ident),* $(,)?) => {
        mod through_an_api {
            $(#[test] fn $shared() { super::suite::$shared(&super::World::api()); })*
        }
        mod through_an_api_to_a_server {
            $(#[test] fn $shared() {
                if let Some(world) = super::World::postgres() { super::suite::$shared(&world.served()); }
            })*
        }
        cases!($($shared,)* $($own),*);
    };
    ($($case:ident),* $(,)?) => {
        mod on_a_file {
            $(#[test] fn $case() { super::suite::$case(&super::World::sqlite()); })*
        }
        mod on_a_server {
            $(#[test] fn $case() {
                if let Some(world) = super::World::postgres() { super::suite::$case(&world); }
            })*
        }
    };
}

cases!(
    only_the_holder_of_the_lease_can_end_a_claim,
    a_released_claim_leaves_the_phase_as_it_was,
    fencing_tokens_only_grow,
    a_lease_is_recovered_only_after_it_has_expired,
    what_could_be_claimed_is_claimed_only_as_it_was_seen,
    a_lease_that_is_renewed_is_not_recovered_and_only_its_holder_renews_it,
    an_attempt_is_accounted_for_once_and_read_back,
    a_run_that_has_ended_is_marked,
    a_run_says_what_it_may_still_use,
    what_is_set_aside_counts_for_everybody,
    a_budget_that_was_raised_is_a_row_and_the_next_attempt_has_it,
    many_workers_claim_every_phase_once;
    a_backlog_is_counted_for_who_watches,
    an_event_that_is_refused_keeps_its_attempt,
    a_run_is_inserted_once_and_counted,
    failures_of_an_earlier_normaliser_are_keyed_anew,
);
