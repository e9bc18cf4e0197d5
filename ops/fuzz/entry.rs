//! What must hold for any bytes in any format: the one entry of the fuzz targets and of the ordinary tests.

use std::io::Write;
use std::path::Path;

use ops::records::{Batch, Compression, Encoding, Entry, Field, Format, ReadOptions, Record, Records};

/// A record in a form that can be compared.
type Shown = (u64, u64, Vec<(String, String)>);

/// Gives the bytes to the readers as a fuzz target of this name does.
pub(crate) fn run(target: &str, bytes: &[u8]) {
    match target {
        "json" => check(Format::Json, bytes),
        "ndjson" => check(Format::Ndjson, bytes),
        "csv" => check(Format::Csv, bytes),
        "tsv" => check(Format::Tsv, bytes),
        "sql" => check(Format::Sql, bytes),
        "copy" => check(Format::Sql, &[b"COPY g (a, b) FROM stdin;\n", bytes, b"\n\\.\n"].concat()),
        "gzip" => check_packed(Compression::Gzip, bytes),
        "zstd" => check_packed(Compression::Zstd, bytes),
        other => panic!("no fuzz target is called `{other}`"),
    }
}

/// What files begin with that are unpacked before they are read.
const PACKED: [&[u8]; 2] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"];

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file can be written");
    file
}

/// Reads the bytes as they are, and packed, and packed and damaged: the first three say where and how.
fn check_packed(compression: Compression, bytes: &[u8]) {
    let options =
        ReadOptions { format: Some(Format::Ndjson), record_bytes_max: 4096, ..ReadOptions::default() };
    let read = |bytes: &[u8]| filled(written(bytes).path(), &options);
    if PACKED.iter().any(|magic| bytes.starts_with(magic)) {
        drop(read(bytes));
        return;
    }
    let [low, high, flip, rows @ ..] = bytes else { return };
    if PACKED.iter().any(|magic| rows.starts_with(magic)) {
        return;
    }
    let packed = pack(compression, rows);
    match (read(rows), read(&packed)) {
        (Ok(plain), unpacked) => assert_eq!(Ok(plain), unpacked, "packing changes what is read"),
        (Err(_), unpacked) => assert!(unpacked.is_err(), "packing repairs what is read"),
    }
    let place = usize::from(u16::from_le_bytes([*low, *high])) % packed.len();
    let mut damaged = packed.clone();
    damaged[place] ^= flip;
    drop(read(&damaged));
    // Of fewer bytes nobody can tell what they were.
    if place >= 4 {
        assert!(read(&packed[..place]).is_err(), "a file that was cut is read as if it were whole");
    }
}

fn pack(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).and_then(|()| packer.finish()).expect("memory can be written")
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).expect("memory can be written"),
    }
}

/// Reads the bytes in every way there is, and compares the ways.
pub(crate) fn check(format: Format, bytes: &[u8]) {
    let file = written(bytes);
    let at_once = ReadOptions { format: Some(format), record_bytes_max: 4096, ..ReadOptions::default() };
    // Whether something is too large may depend on how much of it is in memory.
    let in_drops = ReadOptions { read_bytes: 16, ..at_once.clone() };
    let strict = one_by_one(file.path(), &at_once);
    let again = one_by_one(file.path(), &in_drops);
    let is_small = bytes.len() < 4096 && !PACKED.iter().any(|magic| bytes.starts_with(magic));
    if is_small {
        assert_eq!(strict, again, "a record depends on how many bytes are read at once");
    }
    let tolerant = filled(file.path(), &at_once);
    if is_small {
        assert_eq!(
            tolerant,
            filled(file.path(), &in_drops),
            "damage depends on how many bytes are read at once"
        );
    }
    if let Ok(found) = &tolerant {
        let records: Vec<&Shown> = found.iter().flatten().collect();
        let before = strict.0.iter().zip(&records).take_while(|(a, b)| a == *b).count();
        assert_eq!(before, strict.0.len(), "a record before the damage is lost");
        if strict.1.is_none() {
            assert_eq!(found.len(), strict.0.len(), "a whole file has rejects");
        }
    }
    let replaced = ReadOptions { encoding: Encoding::Replace, ..at_once };
    let _ = filled(file.path(), &replaced);
}

fn shown(record: &Record<'_>) -> Shown {
    let fields = record.fields().map(|(name, field)| {
        if let Field::Json(json) = field {
            is_json(json);
        }
        (name.to_owned(), format!("{field:?}"))
    });
    (record.at, record.line, fields.collect())
}

fn is_json(text: &str) {
    // The reader allows deeper nesting than the library that checks it here.
    if text.bytes().filter(|b| matches!(b, b'[' | b'{')).count() < 100 {
        serde_json::from_str::<&serde_json::value::RawValue>(text).expect("a field is JSON");
    }
}

/// All records up to the first damage, and what that is. Each is found again by its offset.
fn one_by_one(path: &Path, options: &ReadOptions) -> (Vec<Shown>, Option<String>) {
    let mut found = Vec::new();
    let mut read = || {
        let mut records = Records::open_with(path, &std::env::temp_dir(), options)?;
        while let Some(record) = records.next()? {
            found.push(shown(&record));
        }
        assert_eq!(records.facts().expect("the end was read").rows, found.len() as u64);
        for known in found.iter().rev().take(20) {
            let again = shown(&records.record_at(known.0)?);
            assert_eq!(*known, again, "another record is found at its offset");
        }
        Ok::<_, ops::records::ReadError>(())
    };
    let error = read().err().map(|error| error.to_string());
    (found, error)
}

/// All records, with `None` for what was rejected.
fn filled(path: &Path, options: &ReadOptions) -> Result<Vec<Option<Shown>>, String> {
    let mut found = Vec::new();
    let mut read = || {
        let mut records = Records::open_with(path, &std::env::temp_dir(), options)?;
        let mut batch = Batch::new();
        let mut behind = 0;
        while records.fill(&mut batch)? {
            for entry in batch.entries() {
                let (ordinal, at) = match &entry {
                    Entry::Record { ordinal, record } => (*ordinal, record.at),
                    Entry::Reject(reject) => (reject.ordinal, reject.at),
                };
                assert_eq!(ordinal, found.len() as u64, "a record has no place");
                assert!(at >= behind, "two records overlap");
                behind = at;
                found.push(match entry {
                    Entry::Record { record, .. } => Some(shown(&record)),
                    Entry::Reject(reject) => {
                        behind += reject.length;
                        assert!(reject.snippet.chars().count() <= 120);
                        None
                    }
                });
            }
        }
        Ok::<_, ops::records::ReadError>(())
    };
    match read() {
        Ok(()) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}
