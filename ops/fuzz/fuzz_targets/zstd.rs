//! Any bytes as Zstandard, and as rows that it packed and that were damaged then.

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::run("zstd", bytes));
