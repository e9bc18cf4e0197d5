//! Counts of a day that grow with every event: what a report of a year reads instead of millions of events.
//!
//! They are written in the same job as their event, so the two never disagree about what a store wrote. Sums are kept,
//! never averages or rates: those follow from the sums of any days, and cannot be added up themselves.

/// What follows the insert of a day's counts: sums are added to those that are there, the least and the greatest win.
macro_rules! grow {
    ($table:literal ($keys:literal) $first:literal $(, $sum:literal)* $(; $least:literal .. $most:literal)?) => {
        concat!(
            "ON CONFLICT (", $keys, ") DO UPDATE SET ", $first, " = ", $table, ".", $first, " + excluded.", $first,
            $(", ", $sum, " = ", $table, ".", $sum, " + excluded.", $sum,)*
            $(
                ", ", $least, " = CASE WHEN ", $table, ".", $least, " IS NULL OR excluded.", $least, " < ", $table, ".",
                $least, " THEN excluded.", $least, " ELSE ", $table, ".", $least, " END",
                ", ", $most, " = CASE WHEN ", $table, ".", $most, " IS NULL OR excluded.", $most, " > ", $table, ".",
                $most, " THEN excluded.", $most, " ELSE ", $table, ".", $most, " END",
            )?
        )
    };
}

pub(super) use grow;
