//! One spelling for every category and complexity, at write and at read.
//!
//! Histories hold `tests` beside `testing` and `IMPLEMENT_FEATURE` beside `implementation`. Grouping by the
//! raw text splits one stratum into several and misses the coefficients of all but one. Nothing here may
//! drop a spelling that it does not know.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The category under which events are grouped and coefficients are looked up: trimmed, lower-case, words
/// joined by `_`, known aliases united. Unknown categories stay as they are; no text at all is `unknown`.
pub fn canonical_category(raw: &str) -> Cow<'_, str> {
    let normal = normalise(raw);
    let known = match normal.as_ref() {
        "" => "unknown",
        "test" | "testing" | "test_case" => "tests",
        "doc" | "documentation" | "doc_write" => "docs",
        "implement_feature" | "implement" | "feature" => "implementation",
        "bug_fix" | "fix" => "bugfix",
        "refactor" => "refactoring",
        "config" => "configuration",
        _ => return normal,
    };
    Cow::Borrowed(known)
}

/// Lower-case words joined by `_`; borrowed when the text already is of that form.
fn normalise(raw: &str) -> Cow<'_, str> {
    let text = raw.trim();
    if text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Cow::Borrowed(text);
    }
    let joined: String = text.chars().map(|c| if c == '-' || c.is_whitespace() { '_' } else { c }).collect();
    Cow::Owned(joined.to_lowercase())
}

/// How hard a task is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Complexity {
    /// Small and known.
    Low,
    /// The usual, and what an unknown spelling counts as.
    Medium,
    /// Large or new.
    High,
    /// Upkeep of what exists.
    Maintenance,
}

impl Complexity {
    /// Every complexity in the order of reports.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Maintenance];

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Maintenance => "maintenance",
        }
    }

    /// Reads `High`, `high_complexity`, `med`, `maint` and the like; `None` for a word it does not know.
    pub fn parse(raw: &str) -> Option<Self> {
        // Nearly every row holds the stored word itself; a scan of millions should not normalise it.
        if let Some(exact) = Self::ALL.into_iter().find(|complexity| complexity.as_str() == raw) {
            return Some(exact);
        }
        Self::parse_variant(raw)
    }

    fn parse_variant(raw: &str) -> Option<Self> {
        const SUFFIXES: [&str; 5] = ["_complexity", "_level", "_mode", "_task", "_tier"];
        let normal = normalise(raw);
        let mut word = normal.as_ref();
        while let Some(stem) = SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix)) {
            word = stem;
        }
        match word {
            "low" => Some(Self::Low),
            "medium" | "med" => Some(Self::Medium),
            "high" => Some(Self::High),
            "maintenance" | "maint" | "maintain" => Some(Self::Maintenance),
            _ => None,
        }
    }

    /// The complexity, or medium for an unknown word; the flag says whether the word was recognised, so that
    /// the caller can count what it had to assume.
    pub fn or_medium(raw: &str) -> (Self, bool) {
        let known = Self::parse(raw);
        (known.unwrap_or(Self::Medium), known.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn aliases_share_a_category() {
        for (canonical, aliases) in [
            ("tests", &["tests", "Test", "testing", "test-case", " TESTS "][..]),
            ("docs", &["docs", "doc", "Documentation", "doc write"]),
            ("implementation", &["IMPLEMENT_FEATURE", "implementation", "implement", "feature"]),
            ("bugfix", &["bug_fix", "bug-fix", "bugfix", "Fix"]),
            ("refactoring", &["refactor", "refactoring"]),
            ("configuration", &["config", "configuration"]),
            ("unknown", &["", "  \t"]),
            ("api_gateway", &["API gateway", "api-gateway"]),
            ("doc_synthesis", &["doc_synthesis"]),
        ] {
            for alias in aliases {
                assert_eq!(canonical_category(alias), canonical, "{alias:?}");
            }
        }
        assert!(matches!(canonical_category("backend"), Cow::Borrowed("backend")));
    }

    #[test]
    fn complexity_spellings() {
        for (raw, expected) in [
            ("maintenance", Complexity::Maintenance),
            ("maint", Complexity::Maintenance),
            ("maintain_mode", Complexity::Maintenance),
            ("MEDIUM", Complexity::Medium),
            ("Med", Complexity::Medium),
            ("high_complexity", Complexity::High),
            ("high-level", Complexity::High),
            (" low_task ", Complexity::Low),
            ("low_tier", Complexity::Low),
        ] {
            assert_eq!(Complexity::parse(raw), Some(expected), "{raw}");
        }
        for raw in ["SIMPLE", "MEDIUM-HIGH", "critical", ""] {
            assert_eq!(Complexity::or_medium(raw), (Complexity::Medium, false), "{raw}");
        }
        assert_eq!(Complexity::or_medium("high"), (Complexity::High, true));
        assert_eq!(
            serde_json::to_string(&Complexity::ALL).unwrap(),
            r#"["low","medium","high","maintenance"]"#
        );
        assert!(Complexity::ALL.is_sorted());
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(raw in "\\PC{0,12}|[a-zA-Z_ -]{0,20}") {
            let once = canonical_category(&raw).into_owned();
            let twice = canonical_category(&once).into_owned();
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn complexity_words_read_back(index in 0_usize..4) {
            let complexity = Complexity::ALL[index];
            prop_assert_eq!(Complexity::parse(complexity.as_str()), Some(complexity));
        }
    }
}
