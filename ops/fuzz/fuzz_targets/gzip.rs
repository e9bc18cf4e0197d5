//! Any bytes as gzip, and as rows that gzip packed and that were damaged then.

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::run("gzip", bytes));
