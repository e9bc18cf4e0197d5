//! The one place that asks what time it is, so that every artifact can be made twice and compare equal.
//!
//! Nothing else in the library may call `now`; a caller passes a [`Clock`] or a [`Stamp`].

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Where the time comes from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The clock of the machine, in UTC.
    System,
    /// Always the same instant: for golden files and replays.
    Fixed(Stamp),
}

impl Clock {
    /// The current instant.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask for the time")]
    pub fn now(&self) -> Stamp {
        match self {
            Self::System => Stamp(Timestamp::now()),
            Self::Fixed(stamp) => *stamp,
        }
    }
}

/// An instant in UTC with microseconds, in the three spellings that artifacts use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

impl Stamp {
    /// Reads an instant in RFC 3339 with a zone, such as `2026-01-02T03:04:05Z`.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Self)
    }

    /// Reads what a database column holds: RFC 3339, or `YYYY-MM-DD HH:MM:SS[.ffffff]` taken as UTC.
    pub fn parse_db(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::parse(text).or_else(|| Self::parse(&format!("{}Z", text.replacen(' ', "T", 1))))
    }

    /// From seconds since 1970-01-01 UTC, as file systems give them.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        Timestamp::from_second(seconds).ok().map(Self)
    }

    /// Seconds since 1970-01-01 UTC.
    pub fn unix(self) -> i64 {
        self.0.as_second()
    }

    /// `2026-01-02T03:04:05Z`: for reports and JSON.
    pub fn iso(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `2026-01-02 03:04:05.000000`: for timestamp columns, which sort as text and which the adopted
    /// databases already spell this way.
    pub fn db(self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
    }

    /// `20260102-030405`: for names of files.
    pub fn compact(self) -> String {
        self.0.strftime("%Y%m%d-%H%M%S").to_string()
    }

    /// This instant moved into the future; saturates at the end of representable time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.checked_add(span).unwrap_or(Timestamp::MAX))
    }

    /// The span from an earlier instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or(Duration::ZERO)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.iso())
    }
}

/// A time as a field of JSON, to the microsecond, as timestamp columns spell it.
pub(crate) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Stamp;

    pub(crate) fn serialize<S: Serializer>(stamp: &Stamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&stamp.db())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Stamp::parse_db(&text).ok_or_else(|| D::Error::custom("not a time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_spellings_name_one_instant() {
        let stamp = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(stamp.iso(), "2026-01-02T03:04:05Z");
        assert_eq!(stamp.db(), "2026-01-02 03:04:05.000000");
        assert_eq!(stamp.compact(), "20260102-030405");
        assert_eq!(Stamp::parse_db(&stamp.db()), Some(stamp));
        assert_eq!(Stamp::parse_db("2025-12-23 15:33:55").unwrap().iso(), "2025-12-23T15:33:55Z");
        assert_eq!(Stamp::parse_db("yesterday"), None);
    }

    #[test]
    fn spans_do_not_run_backwards() {
        let early = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let late = early.plus(Duration::from_secs(90));
        assert_eq!(late.since(early), Duration::from_secs(90));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
