//! Keying the failures of a database anew, when the normaliser has a newer version than their fingerprints.
//!
//! Nothing is lost: the raw text stays, and every account keeps the fingerprint that it had. What was keyed anew before an
//! interruption stays so; the next run goes on behind it.

use crate::fingerprint::{Evidence, Fingerprint, Rekeyed, VERSION, rekey as pair};
use crate::phases::{KeyedAnew, KeyedFailure, Store, StoreError};

/// Failures that are keyed in one transaction.
const TOGETHER: u32 = 1000;

/// Keys every failure of another version anew; which fingerprints became which.
pub fn rekey(store: &mut dyn Store) -> Result<Rekeyed, StoreError> {
    let mut pairs = Vec::new();
    let mut after = i64::MIN;
    loop {
        let failures = store.keyed_otherwise(VERSION, after, TOGETHER)?;
        let Some(last) = failures.last() else { return Ok(pair(pairs)) };
        after = last.attempt_id;
        let anew: Vec<KeyedAnew> = failures.iter().map(keyed).collect();
        store.key_anew(&anew)?;
        let old = failures.into_iter().map(|failure| failure.fingerprint);
        pairs.extend(old.zip(anew.into_iter().map(|anew| anew.fingerprint.id)));
    }
}

fn keyed(failure: &KeyedFailure) -> KeyedAnew {
    let explained: serde_json::Value =
        failure.explained.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let timed_out = failure.outcome == "timed_out";
    let stage = failure.milestones.as_deref().map(super::attempt::stage);
    let fingerprint = Fingerprint::of(&Evidence {
        state: &failure.outcome.to_uppercase(),
        exit: explained["key"].as_str().and_then(exit),
        stage: stage.as_deref().filter(|_| timed_out),
        timed_out,
        raw: failure.detail.as_deref().unwrap_or_default(),
        known: &[&failure.key.run_id, &failure.key.phase_id],
    });
    KeyedAnew {
        attempt_id: failure.attempt_id,
        was: failure.fingerprint.clone(),
        was_version: failure.version,
        fingerprint,
    }
}

/// The exit status in a key of any version: its own part, as `rc3`.
fn exit(key: &str) -> Option<i32> {
    key.split('|').nth(1)?.strip_prefix("rc")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_in_the_second_part_of_a_key() {
        let seen = ["FAILED|rc3|boom", "FAILED|rc-1", "FAILED|boom|rc3", "FAILED"].map(exit);
        assert_eq!(seen, [Some(3), Some(-1), None, None]);
    }
}
