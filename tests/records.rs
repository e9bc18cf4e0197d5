//! Any bytes in any format: seeds of every producer, mutated, and everything that ever went wrong.
//!
//! The same entry is what the targets in `ops/fuzz/` run, whose corpus is read here too: one file for every path through
//! the readers that they found. Beside that it gets a fixed number of mutations, the same in every run; `OPS_MUTATIONS` gives another number for each seed, `OPS_MUTATION_SEED` another sequence.

#[path = "../ops/fuzz/entry.rs"]
mod entry;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ops::records::Format;

/// The fuzz targets, which each have a folder of their corpus.
const TARGETS: [&str; 8] = ["copy", "csv", "gzip", "json", "ndjson", "sql", "tsv", "zstd"];
/// Mutations of each seed.
const MUTATIONS: u64 = 60;

fn folder(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records").join(name);
    let files = std::fs::read_dir(folder).expect("a folder of fixtures");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a fixture").path()).collect();
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "how long to search is for the person who searches to say")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A sequence that is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0, below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).expect("less than a usize")
    }
}

/// Pieces that mean something in some format.
const PIECES: [&[u8]; 48] = [
    b"'",
    b"''",
    b"\"",
    b"\"\"",
    b"\\",
    b"\\'",
    b"\\\"",
    b"\\u12",
    b"\\ud83d",
    b"\\N",
    b"\\.\n",
    b"(",
    b")",
    b"((",
    b"),(",
    b"[",
    b"]",
    b"{",
    b"}",
    b"},{",
    b",",
    b";",
    b":",
    b"::text",
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b"--",
    b"-- x\n",
    b"/*",
    b"*/",
    b"/*!",
    b"$$",
    b"$a$",
    b"E'",
    b"X'0",
    b"U&'\\",
    b"ARRAY[",
    b"CAST(",
    b"NULL",
    b"DEFAULT",
    b"`",
    b"#",
    b"\xff",
    b"\xc3",
    b"\0",
    b"\nINSERT INTO g (a) VALUES (",
];

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(40) + 1);
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            4 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len());
                let part = other[from..other.len().min(from + 60)].to_vec();
                bytes.splice(at..end, part);
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes.truncate(4000);
}

#[test]
fn what_once_went_wrong() {
    for file in folder("regressions").iter().chain(&folder("seeds")) {
        let bytes = std::fs::read(file).unwrap();
        for format in [Format::Json, Format::Ndjson, Format::Csv, Format::Tsv, Format::Sql] {
            entry::check(format, &bytes);
        }
    }
}

/// Longest that reading one file of the corpus in all ways may take; none has more than a few kilobytes.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn the_corpus_of_every_fuzz_target() {
    for target in TARGETS {
        let files = folder(&format!("corpus/{target}"));
        assert!(files.len() > 5, "{target} has a corpus");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let start = Instant::now();
            entry::run(target, &bytes);
            assert!(start.elapsed() < LONGEST, "{}", file.display());
        }
    }
}

/// A target that is not built, or not in the list of this test, would be forgotten.
#[test]
fn every_fuzz_target_has_a_corpus() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut found: Vec<String> = std::fs::read_dir(targets)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, TARGETS);
    let manifest = include_str!("../ops/fuzz/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} is built");
    }
}

#[test]
fn mutated_seeds() {
    let seeds: Vec<(Format, Vec<u8>)> = folder("seeds")
        .iter()
        .map(|file| (Format::of_name(file).unwrap(), std::fs::read(file).unwrap()))
        .collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ number("OPS_MUTATION_SEED", 0));
    for _ in 0..number("OPS_MUTATIONS", MUTATIONS) {
        for (format, seed) in &seeds {
            let others: Vec<Vec<u8>> =
                seeds.iter().filter(|(other, _)| other == format).map(|(_, bytes)| bytes.clone()).collect();
            let mut bytes = seed.clone();
            mutate(&mut bytes, &others, &mut random);
            if let Err(panic) = std::panic::catch_unwind(|| entry::check(*format, &bytes)) {
                let found = std::env::temp_dir().join(format!("records-{:016x}", random.next()));
                std::io::Write::write_all(&mut std::fs::File::create(&found).unwrap(), &bytes).unwrap();
                eprintln!("found by {format:?}: {}", found.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}
