//! Topping up: which strata still lack samples, and a run of just the phases that collect them.

use serde::{Deserialize, Serialize};

use super::catalogue::{CATALOGUE, Entry, new_run};
use crate::phases::{NewPhase, NewRun, StratumCount};
use crate::tokens::canonical::{Complexity, canonical_category};

/// A list of needs may ask for more; a top-up has at most this many phases of a stratum.
const PHASES_MAX: u64 = 1000;

/// What one stratum of the catalogue has and lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deficit {
    /// Canonical category.
    pub category: String,
    /// Canonical complexity.
    pub complexity: Complexity,
    /// Usable samples that are there.
    pub have: u64,
    /// How many more are needed.
    pub need: u64,
}

/// The strata of the catalogue, in its order, with how far each is from `samples_min` usable samples.
pub fn deficits(samples: &[StratumCount], samples_min: u64) -> Vec<Deficit> {
    let mut deficits: Vec<Deficit> = Vec::new();
    for entry in &CATALOGUE {
        let (category, complexity) = stratum(entry.category, entry.complexity);
        if deficits.iter().any(|d| d.category == category && d.complexity == complexity) {
            continue;
        }
        let same = |s: &&StratumCount| stratum(&s.category, &s.complexity) == (category.clone(), complexity);
        let have = samples.iter().filter(same).map(|s| s.samples).sum();
        deficits.push(Deficit { category, complexity, have, need: samples_min.saturating_sub(have) });
    }
    deficits
}

/// What a calibration lacks: the list that it writes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Version of the list.
    pub format: u32,
    /// Strata that lack phases.
    pub strata: Vec<Deficit>,
}

impl Needs {
    /// The strata that the catalogue has phases for, and those that it has none for.
    pub fn by_catalogue(self) -> (Vec<Deficit>, Vec<Deficit>) {
        let known = |d: &Deficit| {
            CATALOGUE.iter().any(|e| stratum(e.category, e.complexity) == (d.category.clone(), d.complexity))
        };
        let canonical = |d: Deficit| Deficit { category: canonical_category(&d.category).into_owned(), ..d };
        self.strata.into_iter().map(canonical).partition(known)
    }
}

/// A run that collects what is lacking, spread evenly over the entries of each stratum; `None` when nothing
/// is. Its id is the first free `<base>-topup-<n>`.
pub fn top_up_run(base: &str, taken: &[String], deficits: &[Deficit]) -> Option<NewRun> {
    run_of(base, taken, deficits, samples_for)
}

/// A run of as many phases as are lacking, each attempted until it has one sample: a calibration counts phases, because
/// attempts at one are alike.
pub fn needed_run(base: &str, taken: &[String], deficits: &[Deficit]) -> Option<NewRun> {
    run_of(base, taken, deficits, phases_for)
}

fn run_of(
    base: &str,
    taken: &[String],
    deficits: &[Deficit],
    phases_of: fn(&Deficit, u32) -> Vec<NewPhase>,
) -> Option<NewRun> {
    let number = (1..=u32::MAX).find(|n| !taken.contains(&format!("{base}-topup-{n}")))?;
    let phases: Vec<NewPhase> = deficits.iter().flat_map(|deficit| phases_of(deficit, number)).collect();
    let goal = "Collect token telemetry for the strata that lack samples";
    (!phases.is_empty()).then(|| new_run(&format!("{base}-topup-{number}"), goal, phases))
}

fn entries_of(deficit: &Deficit) -> Vec<&'static Entry> {
    let of_stratum =
        |e: &&Entry| stratum(e.category, e.complexity) == (deficit.category.clone(), deficit.complexity);
    CATALOGUE.iter().filter(of_stratum).collect()
}

fn phases_for(deficit: &Deficit, number: u32) -> Vec<NewPhase> {
    let entries = entries_of(deficit).into_iter().cycle().zip(1..=deficit.need.min(PHASES_MAX));
    entries.map(|(entry, k)| entry.phase(format!("{}-topup{number}-{k}", entry.template), 1)).collect()
}

fn samples_for(deficit: &Deficit, number: u32) -> Vec<NewPhase> {
    let entries = entries_of(deficit);
    let count = entries.len() as u64;
    let share = |i: u64| deficit.need / count + u64::from(i < deficit.need % count);
    let shares = entries.iter().zip(0..).map(|(entry, i)| (entry, share(i)));
    shares
        .filter(|(_, samples)| *samples > 0)
        .map(|(entry, samples)| entry.phase(format!("{}-topup{number}", entry.template), samples))
        .collect()
}

fn stratum(category: &str, complexity: &str) -> (String, Complexity) {
    (canonical_category(category).into_owned(), Complexity::or_medium(complexity).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(category: &str, complexity: &str, samples: u64) -> StratumCount {
        StratumCount { category: category.into(), complexity: complexity.into(), deliverables: 1, samples }
    }

    #[test]
    fn spellings_of_one_stratum_are_counted_together() {
        let found = deficits(&[count("testing", "low", 1), count("tests", "LOW", 2)], 5);
        let tests = found.iter().find(|d| d.category == "tests" && d.complexity == Complexity::Low).unwrap();
        assert_eq!((tests.have, tests.need), (3, 2));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn a_top_up_asks_for_exactly_what_is_lacking() {
        let found = deficits(&[count("implementation", "medium", 2), count("docs", "low", 9)], 5);
        let run = top_up_run("base", &["base-topup-1".to_owned()], &found).unwrap();
        assert_eq!(run.run_id, "base-topup-2");
        let samples = |category: &str, complexity: &str| -> u64 {
            let of = |p: &&NewPhase| p.category == category && p.complexity == complexity;
            run.phases.iter().filter(of).map(|p| p.samples_target).sum()
        };
        assert_eq!(samples("implementation", "medium"), 3);
        assert_eq!(samples("implementation", "low"), 5);
        assert_eq!(samples("docs", "low"), 0);
        assert!(run.phases.iter().all(|p| p.phase_id.ends_with("-topup2")));
    }

    #[test]
    fn a_list_of_needs_is_planned_as_far_as_the_catalogue_goes() {
        let json = r#"{"format": 1, "strata": [
            {"category": "testing", "complexity": "low", "have": 2, "need": 7},
            {"category": "backend", "complexity": "high", "have": 0, "need": 9}]}"#;
        let (known, unknown) = serde_json::from_str::<Needs>(json).unwrap().by_catalogue();
        assert_eq!((known[0].category.as_str(), unknown[0].category.as_str()), ("tests", "backend"));
        let run = needed_run("base", &[], &known).unwrap();
        assert!(run.phases.len() == 7 && run.phases.iter().all(|p| p.samples_target == 1));
        let ids: std::collections::BTreeSet<&str> = run.phases.iter().map(|p| p.phase_id.as_str()).collect();
        assert_eq!(ids.len(), 7);
    }

    #[test]
    fn enough_everywhere_plans_nothing() {
        let all: Vec<StratumCount> = CATALOGUE.iter().map(|e| count(e.category, e.complexity, 5)).collect();
        assert_eq!(top_up_run("base", &[], &deficits(&all, 5)), None);
    }
}
