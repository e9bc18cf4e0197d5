//! Files that are made to hurt: an answer in bounded memory, never a panic.

use std::io::Write;

use super::{gzip, sample};
use crate::records::{Batch, Entry, ReadError, ReadOptions, Records};

/// How many records and rejects there are.
fn count(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<(usize, Vec<String>), ReadError> {
    let sample = sample(name, bytes);
    let mut records = Records::open_with(&sample.path, sample.dir.path(), options)?;
    let (mut batch, mut rows, mut reasons) = (Batch::new(), 0, Vec::new());
    while records.fill(&mut batch)? {
        for entry in batch.entries() {
            match entry {
                Entry::Record { .. } => rows += 1,
                Entry::Reject(reject) => reasons.push(reject.reason.clone()),
            }
        }
    }
    Ok((rows, reasons))
}

fn of(name: &str, bytes: &[u8]) -> (usize, Vec<String>) {
    count(name, bytes, &ReadOptions::default()).unwrap()
}

#[test]
fn a_text_of_20_megabytes_is_a_record() {
    let text = "é".repeat(10 << 20);
    for (name, file) in [
        ("a.json", format!("[{{\"a\":\"{text}\"}}]")),
        ("a.ndjson", format!("{{\"a\":\"{text}\"}}")),
        ("a.csv", format!("a\n\"{text}\"")),
        ("a.sql", format!("INSERT INTO g (a) VALUES ('{text}');")),
    ] {
        assert_eq!(of(name, file.as_bytes()), (1, vec![]), "{name}");
    }
}

#[test]
fn what_is_too_large_is_passed_over() {
    let options = ReadOptions { record_bytes_max: 1 << 20, ..ReadOptions::default() };
    let text = "x".repeat(3 << 20);
    for (name, file) in [
        ("a.json", format!("[{{\"a\":\"1\"}},{{\"a\":\"{text}\"}},{{\"a\":\"2\"}}]")),
        ("a.ndjson", format!("{{\"a\":\"1\"}}\n{{\"a\":\"{text}\"}}\n{{\"a\":\"2\"}}")),
        ("a.csv", format!("a\n1\n\"{text}\"\n2\n")),
        ("a.sql", format!("INSERT INTO g (a) VALUES ('1'),('{text}'),('2');")),
    ] {
        let (rows, reasons) = count(name, file.as_bytes(), &options).unwrap();
        assert_eq!((rows, reasons.len()), (2, 1), "{name}: {reasons:?}");
        assert!(reasons[0].contains("too large"), "{name}: {reasons:?}");
    }
}

#[test]
fn depth_costs_no_stack() {
    for deep in [10_000, 1_000_000] {
        let (open, close) = ("[".repeat(deep), "]".repeat(deep));
        let (rows, reasons) = of("a.json", format!("[{{\"a\":{open}{close}}},{{\"a\":1}}]").as_bytes());
        assert_eq!((rows, reasons.len()), (1, 1), "{reasons:?}");
        let (rows, reasons) = of("a.ndjson", format!("{{\"a\":{open}{close}}}\n{{\"a\":1}}").as_bytes());
        assert_eq!((rows, reasons.len()), (1, 1), "{reasons:?}");
        for (open, close) in
            [("(", ")"), ("CAST(", " AS a)"), ("ARRAY[", "]"), ("replace(", ",'a','b')"), ("/*", "*/")]
        {
            let dump =
                format!("INSERT INTO g (a) VALUES ({}1{}),(1);", open.repeat(deep), close.repeat(deep));
            let (rows, reasons) = of("a.sql", dump.as_bytes());
            assert_eq!(rows + reasons.len(), 2, "{open}: {reasons:?}");
        }
    }
}

#[test]
fn nul_and_bytes_that_are_no_text_are_everywhere() {
    let (rows, reasons) = of("a.ndjson", &[b"\0\n".repeat(1000), b"{\"a\":\"\0\"}\n".to_vec()].concat());
    assert_eq!((rows, reasons.len()), (0, 1001));
    let (rows, reasons) = of("a.csv", &[&b"a\n"[..], &b"\xff\xfe\n".repeat(1000), b"\0\n"].concat());
    assert_eq!((rows, reasons.len()), (1, 1000));
    let (rows, reasons) =
        of("a.sql", &[&b"INSERT INTO g (a) VALUES ('\0')"[..], &b",('\xff')".repeat(1000)].concat());
    assert_eq!((rows, reasons.len()), (1, 1000));
    for name in ["a.json", "a.ndjson", "a.csv", "a.tsv", "a.sql"] {
        for bytes in [&b"\0"[..], b"\xff\xff\xff\xff", b"\0\0\0\n\0\0", b"\xef\xbb\xbf\xff"] {
            let _ = count(name, &bytes.repeat(1000), &ReadOptions::default());
        }
    }
}

#[test]
fn a_million_columns() {
    let million = 1_000_000;
    let names: Vec<String> = (0..million).map(|n| format!("c{n}")).collect();
    let values = vec!["1"; million].join(",");
    let object: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
    let object = object.join(",");
    for (name, file) in [
        ("a.csv", format!("{}\n{values}\n{values}\n1\n", names.join(","))),
        ("a.json", format!("[{{{object}}},{{{object}}},1]")),
        ("a.ndjson", format!("{{{object}}}\n{{{object}}}\n1\n")),
        ("a.sql", format!("INSERT INTO g ({}) VALUES ({values}),({values}),(1);", names.join(","))),
    ] {
        let (rows, reasons) = of(name, file.as_bytes());
        assert_eq!((rows, reasons.len()), (2, 1), "{name}");
    }
}

#[test]
fn a_file_that_unpacks_without_end_is_refused() {
    let zeros = vec![b'\n'; 1 << 20];
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let mut gzipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..300 {
        packed.write_all(&zeros).unwrap();
        gzipped.write_all(&zeros).unwrap();
    }
    for bytes in [packed.finish().unwrap(), gzipped.finish().unwrap()] {
        let error = count("a.ndjson.gz", &bytes, &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, ReadError::Bomb { ratio: 250, .. }), "{error}");
        assert!(error.to_string().contains("more than 250 times its size"), "{error}");
    }
    // What is small is let through whatever its ratio is.
    assert_eq!(of("a.csv.gz", &gzip("a\n1\n".repeat(1 << 20).as_bytes())).0, (1 << 21) - 1);
}

#[test]
fn quotes_that_are_never_closed() {
    let starts = "\"\n".repeat(200_000);
    let (rows, reasons) = of("a.csv", format!("a,b\n{starts}").as_bytes());
    assert_eq!(rows, 0);
    assert!(reasons.len() >= 100_000);
    let _ = of("a.json", format!("[{}", "{\"a\":\"x},".repeat(50_000)).as_bytes());
    let _ = of("a.sql", format!("INSERT INTO g (a) VALUES {}", "('x,".repeat(50_000)).as_bytes());
    let _ = of("a.sql", format!("INSERT INTO g (a) VALUES {}", "(1),('x".repeat(50_000)).as_bytes());
}
