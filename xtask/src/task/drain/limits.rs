//! The flags that say how much a session may do, and the presets that fill them in.

use ops::phases::Selection;
use ops::work::drain::{Limits, Settings as Allowed, TriagePolicy};

use super::From;

/// Limits that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Preset {
    /// 10 attempts, 2 timeouts a run, 2 attempts a phase, 3 repeats of a fingerprint; attempts of 900 s
    Classic,
    /// 50 attempts in 60 minutes, 1 timeout a run, 1 attempt a phase, 2 repeats, 10 attempts without an event
    Strict,
}

impl Preset {
    fn limits(self) -> Limits {
        match self {
            Self::Classic => Limits {
                attempts: Some(10),
                attempts_per_phase: Some(2),
                timeouts_per_run: Some(2),
                fingerprint_repeats: Some(3),
                ..Limits::default()
            },
            Self::Strict => Limits {
                attempts: Some(50),
                seconds: Some(3600),
                attempts_per_phase: Some(1),
                timeouts_per_run: Some(1),
                fingerprint_repeats: Some(2),
                zero_yield_streak: Some(10),
                ..Limits::default()
            },
        }
    }
}

/// Which phases, and how much of everything.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits (kept by --resume, where a flag replaces what was kept)")]
pub(super) struct LimitArgs {
    /// States to take phases from [default: queued]
    #[arg(long = "state", value_enum, value_delimiter = ',', value_name = "STATE")]
    states: Vec<From>,
    /// Only phases of this run; may be repeated
    #[arg(long = "run-id", value_name = "ID")]
    run_ids: Vec<String>,
    /// No phases of runs whose id begins so; may be repeated
    #[arg(long = "skip-run-prefix", value_name = "PREFIX")]
    skip_prefixes: Vec<String>,
    /// Fill in limits that are not given
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// At most this many attempts in the session
    #[arg(long, value_name = "N", visible_alias = "batch-size")]
    attempts_max: Option<u64>,
    /// At most this many minutes of work, over all processes of the session
    #[arg(long, value_name = "MINUTES")]
    max_total_minutes: Option<u64>,
    /// At most this many attempts of one phase in the session [default: one of a FAILED phase]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts_per_phase: Option<u32>,
    /// Stop a run after this many timeouts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_timeouts_per_run: Option<u32>,
    /// Stop a run that shows a fingerprint which was seen this often in the session
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_fingerprint_repeats: Option<u64>,
    /// End the session after this many attempts in a row without an event
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_consecutive_zero_yield: Option<u64>,
    /// Go on after a QUEUED phase has failed for good
    #[arg(long)]
    keep_going: bool,
    /// Stop a run when the chance that its next attempt yields is below this [default: 0.05]
    #[arg(long, value_name = "CHANCE", value_parser = chance)]
    price: Option<f64>,
    /// Stop every run without a yield that shows a failure which so many of these have shown; 0 for never [default: 5]
    #[arg(long, value_name = "RUNS")]
    systemic_runs: Option<u64>,
    /// Share of stopped phases that are attempted all the same, to know what stopping costs [default: 0.1]
    #[arg(long, value_name = "SHARE", value_parser = chance)]
    hold_out: Option<f64>,
    /// Attempt everything, whatever it yields
    #[arg(long, conflicts_with_all = ["price", "systemic_runs", "hold_out"])]
    no_triage: bool,
}

fn chance(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("not between 0 and 1".to_owned()) }
}

impl LimitArgs {
    /// What a new session may do.
    pub(super) fn settings(&self, seed: u64) -> Allowed {
        let begun = Allowed {
            selection: Selection::default(),
            limits: Limits { stop_on_failure: true, ..Limits::default() },
            triage: TriagePolicy { seed, ..TriagePolicy::default() },
        };
        self.over(begun)
    }

    /// What a session may do whose limits were kept.
    pub(super) fn over(&self, mut kept: Allowed) -> Allowed {
        let selection = &mut kept.selection;
        if !self.states.is_empty() {
            selection.states = self.states.iter().map(|from| from.state()).collect();
            selection.states.dedup();
        }
        if !self.run_ids.is_empty() {
            selection.run_ids.clone_from(&self.run_ids);
        }
        if !self.skip_prefixes.is_empty() {
            selection.skip_prefixes.clone_from(&self.skip_prefixes);
        }
        let preset = self.preset.map(Preset::limits).unwrap_or_default();
        let limits = &mut kept.limits;
        limits.attempts = self.attempts_max.or(preset.attempts).or(limits.attempts);
        let minutes = self.max_total_minutes.map(|minutes| minutes.saturating_mul(60));
        limits.seconds = minutes.or(preset.seconds).or(limits.seconds);
        limits.attempts_per_phase =
            self.max_attempts_per_phase.or(preset.attempts_per_phase).or(limits.attempts_per_phase);
        limits.timeouts_per_run =
            self.max_timeouts_per_run.or(preset.timeouts_per_run).or(limits.timeouts_per_run);
        limits.fingerprint_repeats =
            self.max_fingerprint_repeats.or(preset.fingerprint_repeats).or(limits.fingerprint_repeats);
        limits.zero_yield_streak =
            self.max_consecutive_zero_yield.or(preset.zero_yield_streak).or(limits.zero_yield_streak);
        limits.stop_on_failure &= !self.keep_going;
        let triage = &mut kept.triage;
        if self.no_triage {
            *triage = TriagePolicy::off();
        }
        triage.price = self.price.unwrap_or(triage.price);
        triage.systemic_runs = self.systemic_runs.unwrap_or(triage.systemic_runs);
        triage.hold_out = self.hold_out.unwrap_or(triage.hold_out);
        kept
    }
}
