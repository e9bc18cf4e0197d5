//! `TELEMETRY_DB_ENABLED`: one set of accepted values for every writer.
//!
//! Off is the default. A value that is not understood is off too, and says so.

/// Whether telemetry events are written, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// Events are written.
    On,
    /// The variable is not set.
    NotSet,
    /// The variable switches telemetry off.
    Off(String),
    /// The variable has a value that means neither on nor off.
    NotUnderstood(String),
}

impl Flag {
    /// Reads the value of the variable: `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`, in any case.
    pub fn parse(value: Option<&str>) -> Self {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return Self::NotSet };
        match value.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Self::On,
            "0" | "false" | "no" | "off" => Self::Off(value.to_owned()),
            _ => Self::NotUnderstood(value.to_owned()),
        }
    }

    /// Whether events are written.
    pub fn is_on(&self) -> bool {
        *self == Self::On
    }

    /// What to tell the user: why events are or are not written.
    pub fn explain(&self) -> String {
        match self {
            Self::On => "on".to_owned(),
            Self::NotSet => "off: TELEMETRY_DB_ENABLED is not set".to_owned(),
            Self::Off(value) => format!("off: TELEMETRY_DB_ENABLED={value}"),
            Self::NotUnderstood(value) => {
                format!("off: TELEMETRY_DB_ENABLED=`{value}` is neither on (1, true, yes, on) nor off")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_of_values() {
        for on in ["1", "true", "TRUE", "yes", " On "] {
            assert!(Flag::parse(Some(on)).is_on(), "{on}");
        }
        for off in
            [None, Some(""), Some("0"), Some("no"), Some("FALSE"), Some("off"), Some("ture"), Some("2")]
        {
            assert!(!Flag::parse(off).is_on(), "{off:?}");
        }
        assert!(Flag::parse(Some("ture")).explain().contains("`ture`"));
    }
}
