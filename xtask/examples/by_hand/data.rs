//! Live and desired rows, each a function of its number, so that any number of them needs no memory.
//!
//! `plan`: of the live rows 1 % changed, 1 % missing in the desired ones, the others as they are, and 1 % new ones.
//! `apply`: 40 % of the number of live rows changed, and as many new ones. Keys are random, and no file is
//! sorted by them; the desired rows come in another order than the live ones.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// A row.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) tone: String,
    pub(crate) depth: i64,
    pub(crate) weight: f64,
    pub(crate) updated_at: String,
    pub(crate) meta: Option<String>,
}

const DDL: &str = "CREATE TABLE items (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, description TEXT, tone TEXT, \
    depth INTEGER, weight REAL, updated_at TEXT, meta TEXT)";

const SEED: u64 = 42;
/// Rows whose keys an index takes in any order without touching the disk for each.
const INDEXED_IN_MEMORY: u64 = 10_000_000;
const WORDS: [&str; 16] = [
    "amber",
    "drift",
    "hollow",
    "lantern",
    "quiet",
    "river",
    "salt",
    "stone",
    "tide",
    "vessel",
    "weather",
    "willow",
    "über",
    "naïve",
    "–",
    "“calm”",
];
const TONES: [&str; 5] = ["grief", "joy", "longing", "rest", "wonder"];

/// A sequence of random numbers (splitmix64).
struct Source(u64);

impl Source {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn text(&mut self, words: usize) -> String {
        let word = |_| WORDS[usize::try_from(self.below(16)).expect("it is below 16")];
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }
}

fn source(number: u64) -> Source {
    Source(SEED ^ number.wrapping_mul(0xd134_2543_de82_ef95))
}

/// In which order live rows go into a file: that of their keys, or any. Where its index outgrows memory, roughly that of
/// their keys in any case: each row would wait for the disk otherwise, for hours.
fn order(rows: u64, is_by_key: bool) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..rows).collect();
    if is_by_key {
        numbers.sort_by_cached_key(|number| item(*number).id);
    } else if rows > INDEXED_IN_MEMORY {
        numbers.sort_by_cached_key(|number| source(*number).next() >> 16);
    }
    numbers
}

/// The live row of this number.
fn item(number: u64) -> Item {
    let mut source = source(number);
    let (a, b) = (source.next(), source.next());
    let meta = source.below(10) < 9;
    Item {
        id: format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            0x8000 | b >> 50,
            b & 0xffff_ffff_ffff
        ),
        name: source.text(3),
        description: source.text(24),
        tone: TONES[usize::try_from(source.below(5)).expect("it is below 5")].to_owned(),
        depth: i64::try_from(source.below(5)).expect("it is below 5") + 1,
        #[expect(clippy::cast_precision_loss, reason = "it is below 10,000")]
        weight: (source.below(10_000) as f64 + 1.0) / 64.0,
        updated_at: format!("2026-01-{:02} {:02}:00:00.000000", source.below(28) + 1, source.below(24)),
        meta: meta
            .then(|| format!(r#"{{"source": "{}", "n": {}}}"#, source.text(1), source.below(1_000_000))),
    }
}

fn changed(mut item: Item) -> Item {
    item.description += " again";
    item.depth += 1;
    item
}

/// The desired rows: how many, and the one in each place.
fn desired(rows: u64, mix: &str) -> Result<(u64, impl Fn(u64) -> Item), Failure> {
    // `kept` live rows are also desired, `first` of them changed; after them come the new ones.
    let (kept, first, count) = match mix {
        "plan" => (rows - rows / 100, rows / 100, rows),
        "apply" => (rows * 2 / 5, rows * 2 / 5, rows * 4 / 5),
        _ => return Err(crate::USAGE.into()),
    };
    let step =
        (0..1000).map(|n| 1_000_003 + 2 * n).find(|step| greatest_divisor(*step, count) == 1).unwrap_or(1);
    let row = move |place: u64| {
        let place =
            u64::try_from(u128::from(place) * u128::from(step) % u128::from(count)).expect("below count");
        let number = if place < kept { place } else { rows + place - kept };
        if place < first { changed(item(number)) } else { item(number) }
    };
    Ok((count, row))
}

fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

/// Makes `live.db`, `live.ordered` (the same rows, put there in the order of their keys), `live.clustered` (kept in the
/// order of their keys), `desired.ndjson` and `live.copy`, as far as they are wanted.
pub(crate) fn make(folder: &Path, rows: u64, mix: &str, outputs: &[&str]) -> Result<(), Failure> {
    let create =
        |name: &str| File::create(folder.join(name)).map(|file| BufWriter::with_capacity(1 << 20, file));
    for (output, options) in [("db", ""), ("ordered", ""), ("clustered", " WITHOUT ROWID")] {
        if outputs.contains(&output) {
            live(&folder.join(format!("live.{output}")), &order(rows, output == "ordered"), options)?;
        }
    }
    if outputs.contains(&"copy") {
        let mut file = create("live.copy")?;
        for n in 0..rows {
            let Item { id, name, description, tone, depth, weight, updated_at, meta } = item(n);
            let meta = meta.as_deref().unwrap_or("\\N");
            writeln!(file, "{id}\t{name}\t{description}\t{tone}\t{depth}\t{weight}\t{updated_at}\t{meta}")?;
        }
        file.flush()?;
    }
    if outputs.contains(&"desired") {
        let mut file = create("desired.ndjson")?;
        let (count, row) = desired(rows, mix)?;
        for place in 0..count {
            serde_json::to_writer(&mut file, &row(place))?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
    }
    Ok(())
}

fn live(path: &Path, numbers: &[u64], options: &str) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let connection = rusqlite::Connection::open(path)?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000")?;
    connection.execute_batch(&format!("{DDL}{options}"))?;
    connection.execute_batch("BEGIN")?;
    let mut insert = connection.prepare("INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for n in numbers {
        let i = item(*n);
        insert.execute((i.id, i.name, i.description, i.tone, i.depth, i.weight, i.updated_at, i.meta))?;
    }
    drop(insert);
    connection.execute_batch("COMMIT; PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}
