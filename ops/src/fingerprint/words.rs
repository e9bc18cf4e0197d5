//! The words that decide what a number, a quoted value or a name with a slash is.
//!
//! Lists only, all lower case; how they are used is in the rules beside this file.

/// Behind one of these a number is a code and stays, whatever stands between: 404 is another failure than 500.
pub(super) const CODES: &[&str] =
    &["code", "status", "errno", "http", "sqlstate", "rc", "returncode", "winerror", "exitcode"];

/// Behind one of these a number is a code when it follows at once.
pub(super) const CODES_NEXT: &[&str] = &["error", "exit", "signal", "response", "returned", "err"];

/// Names whose number belongs to them: `utf-8` is not the eighth of its kind.
pub(super) const NUMBERED: &[&str] = &[
    "utf", "sha", "iso", "gpt", "claude", "ora", "pep", "rfc", "cp", "windows", "latin", "rs", "es", "ucs",
    "gemini", "llama", "aes", "base", "ansi", "cve",
];

/// A quoted name behind one of these is what the failure is about.
pub(super) const NAMING: &[&str] = &[
    "module",
    "attribute",
    "column",
    "table",
    "relation",
    "constraint",
    "index",
    "field",
    "key",
    "function",
    "method",
    "class",
    "variable",
    "name",
    "named",
    "package",
    "command",
    "option",
    "argument",
    "parameter",
    "keyerror",
    "nameerror",
    "attributeerror",
    "type",
    "role",
    "schema",
    "view",
    "trigger",
    "extension",
    "import",
    "symbol",
    "fixture",
    "crate",
    "trait",
    "property",
    "keyword",
    "code",
    "error",
    "status",
    "kind",
    "reason",
    "flag",
    "tool",
    "model",
    "operator",
    "header",
    "message",
    "detail",
    "msg",
];

/// A quoted name before one of these is what the failure is about.
pub(super) const NAMED: &[&str] = &[
    "object",
    "module",
    "attribute",
    "command",
    "package",
    "type",
    "error",
    "exception",
    "function",
    "field",
    "column",
    "table",
    "relation",
    "class",
    "method",
    "fixture",
    "objects",
    "instance",
    "instances",
    "constraint",
    "codec",
];

/// A quoted text behind one of these is the message itself.
pub(super) const MESSAGES: &[&str] =
    &["message", "error", "detail", "details", "reason", "msg", "title", "description", "stderr", "cause"];

/// First parts of relative paths.
pub(super) const FOLDERS: &[&str] = &[
    "src",
    "tests",
    "test",
    "docs",
    "doc",
    "lib",
    "bin",
    "examples",
    "scripts",
    "target",
    "build",
    "dist",
    "node_modules",
    "packages",
    "apps",
    "migrations",
    "fixtures",
    "config",
    "tmp",
    "var",
    "usr",
    "home",
    "etc",
    "assets",
    "public",
    "internal",
    "cmd",
    "pkg",
    "vendor",
    "tools",
    "data",
    "logs",
];

/// Ends of host names written without a scheme.
pub(super) const DOMAINS: &[&str] = &["com", "org", "net", "io", "dev", "ai", "co", "local", "cloud", "app"];

/// Months as dates spell them.
pub(super) const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Units of time. A single letter counts only where it touches its number.
pub(super) const TIME_UNITS: &[&str] = &[
    "ns",
    "us",
    "µs",
    "μs",
    "ms",
    "s",
    "m",
    "h",
    "sec",
    "secs",
    "second",
    "seconds",
    "min",
    "mins",
    "minute",
    "minutes",
    "hr",
    "hrs",
    "hour",
    "hours",
    "day",
    "days",
    "week",
    "weeks",
    "millisecond",
    "milliseconds",
    "microsecond",
    "microseconds",
    "nanosecond",
    "nanoseconds",
    "millis",
];

/// Units of size.
pub(super) const SIZE_UNITS: &[&str] = &[
    "b",
    "byte",
    "bytes",
    "kb",
    "mb",
    "gb",
    "tb",
    "kib",
    "mib",
    "gib",
    "tib",
    "kilobytes",
    "megabytes",
    "gigabytes",
];

/// Ends of ordinal numbers.
pub(super) const ORDINALS: &[&str] = &["st", "nd", "rd", "th"];
