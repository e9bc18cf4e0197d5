//! `TELEMETRY_DB_ENABLED` and its like: one set of accepted values for every writer.
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

    /// What to tell the user: why the events of `TELEMETRY_DB_ENABLED` are or are not written.
    pub fn explain(&self) -> String {
        self.explain_as("TELEMETRY_DB_ENABLED")
    }

    /// What to tell the user about `variable`, which this was read from.
    pub fn explain_as(&self, variable: &str) -> String {
        match self {
            Self::On => "on".to_owned(),
            Self::NotSet => format!("off: {variable} is not set"),
            Self::Off(value) => format!("off: {variable}={value}"),
            Self::NotUnderstood(value) => {
                format!("off: {variable}=`{value}` is neither on (1, true, yes, on) nor off")
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
