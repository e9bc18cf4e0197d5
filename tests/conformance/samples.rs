//! Values that somebody has mangled once, as PostgreSQL prints them; bytes in hexadecimal.

pub(crate) const BOOL: &[&str] = &["true", "false"];

pub(crate) const INT: &[&str] = &["0", "-1", "2147483647", "-2147483648"];

pub(crate) const BIG_INT: &[&str] =
    &["0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"];

pub(crate) const NUMERIC: &[&str] = &[
    "0",
    "0.10",
    "-1.5",
    "100000000000000000000000000000",
    "123456789012345678901234567890",
    "-123456789012345678901234567890.123456789012345678901234567890",
    "0.000000000000000000000000000001",
    "NaN",
];

pub(crate) const REAL: &[&str] = &[
    "0",
    "0.1",
    "-2.5",
    "0.30000000000000004",
    "1.7976931348623157e+308",
    "2.2250738585072014e-308",
    "5e-324",
    "9007199254740993.0",
    "Infinity",
    "-Infinity",
];

pub(crate) const TEXT: &[&str] = &[
    "",
    " ",
    "plain",
    "it's",
    "\"quoted\"",
    "back\\slash \\n \\x41",
    "tab\tline\nreturn\r\n",
    "e\u{301} \u{e9} 日本語 🦀 \u{202e}",
    "null",
    "NULL",
    "\\N",
    "{}",
    "{a,\"b\"}",
    "(1,2)",
    "a,b.c:d*e",
    "%_",
    "1",
    "1.0",
    "true",
    "$1 ?1 :a @b",
    "-- '; DROP TABLE t; /*",
    "\u{1}\u{7f}",
    " trailing ",
];

pub(crate) const BYTES: &[&str] = &["", "00", "00ff00", "5c783030", "6e756c6c", "f09f"];

pub(crate) const JSON: &[&str] = &[
    "{}",
    "[]",
    "null",
    "\"text\"",
    "{\"b\": 1,  \"a\": [1, 2.50, null]}",
    "{\"a\":1,\"a\":2}",
    "123456789012345678901234567890.10",
    "{\n  \"a\" : \"\\u00e9é\"\n}",
    "{\"$bytes\":\"00\"}",
];

pub(crate) const JSONB: &[&str] = &[
    "{}",
    "[]",
    "null",
    "\"null\"",
    "{\"a\": [1, 2.50, null], \"b\": 1}",
    "123456789012345678901234567890.10",
    "\"it's \\\"quoted\\\" \\\\\"",
];

pub(crate) const UUID: &[&str] =
    &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"];

pub(crate) const TIMESTAMP_TZ: &[&str] = &[
    "2026-01-02 03:04:05.123456+00",
    "2026-01-02 03:04:05+00",
    "1969-12-31 23:59:59.9+00",
    "0001-01-01 00:00:00+00",
    "9999-12-31 23:59:59.999999+00",
    "infinity",
];

pub(crate) const TIMESTAMP: &[&str] =
    &["2026-01-02 03:04:05.123456", "2026-03-29 02:30:00", "0001-01-01 00:00:00", "infinity"];

pub(crate) const DATE: &[&str] = &["2026-02-28", "0001-01-01", "1969-12-31", "infinity"];

pub(crate) const TEXT_ARRAY: &[&str] = &[
    "{}",
    "{a}",
    "{NULL,\"NULL\",\"\"}",
    "{\"b c\",\"q\\\"uote\",\"back\\\\slash\",\"a,b\"}",
    "{{a,b},{c,d}}",
];
