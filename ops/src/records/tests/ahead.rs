//! Reading ahead: the same records, errors and facts as without, also over many packs.

use super::*;

/// All records of a file, read ahead.
pub(super) fn all(sample: &Sample) -> Result<Vec<String>, ReadError> {
    let mut ahead = Ahead::new(sample.open()?);
    let mut rows = Vec::new();
    while ahead.advance()? {
        rows.push(shown(ahead.record()));
    }
    assert!(!ahead.advance()?, "the end is the end");
    Ok(rows)
}

/// More than a few packs.
fn many(format: &str) -> String {
    let note = "x".repeat(200);
    let row = |n: u32| match format {
        "csv" => format!("{n},\"{note}\"\n"),
        _ => format!(
            "{{\"id\":{n},\"{}\":\"{note}\"}}\n",
            if n.is_multiple_of(1000) { "other" } else { "note" }
        ),
    };
    let header = if format == "csv" { "id,note\n" } else { "" };
    std::iter::once(header.to_owned()).chain((0..9_000).map(row)).collect()
}

#[test]
fn many_packs_are_the_records_in_their_order() {
    for format in ["ndjson", "csv"] {
        let text = many(format);
        let sample = sample(&format!("a.{format}"), text.as_bytes());
        let mut records = sample.open().unwrap();
        let mut ahead = Ahead::new(sample.open().unwrap());
        let names = |header: Option<&Names>| header.map(|h| h.iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(names(ahead.header()), names(records.header()));
        let mut places = Vec::new();
        while let Some(record) = records.next().unwrap() {
            assert!(ahead.advance().unwrap());
            assert!(ahead.facts().is_none() || record.line > 8_000, "the file was not read yet");
            assert_eq!(shown(ahead.record()), shown(record));
            assert_eq!(ahead.record().at, record.at);
            places.push((record.at, shown(record)));
        }
        assert!(!ahead.advance().unwrap() && !ahead.advance().unwrap());
        assert_eq!(ahead.facts(), records.facts());
        for (at, row) in [&places[4], &places[8_999], &places[0]] {
            assert_eq!(shown(ahead.record_at(*at).unwrap()), *row);
            assert_eq!(shown(ahead.record()), *row);
        }
        assert!(ahead.record_at(3).is_err());
    }
}

#[test]
fn records_before_a_fault_come_first() {
    let mut text = many("ndjson");
    let at = text.len() / 2;
    let at = at + text[at..].find('\n').unwrap() + 1;
    text.insert_str(at, "{\"id\":}\n");
    let sample = sample("a.ndjson", text.as_bytes());
    let mut ahead = Ahead::new(sample.open().unwrap());
    let before = text[..at].lines().count();
    for _ in 0..before {
        assert!(ahead.advance().unwrap());
    }
    let error = ahead.advance().unwrap_err().to_string();
    assert!(error.contains(&format!("line {}", before + 1)), "{error}");
}

#[test]
fn whoever_stops_looking_stops_the_reading() {
    let sample = sample("a.ndjson", many("ndjson").as_bytes());
    let mut ahead = Ahead::new(sample.open().unwrap());
    for _ in 0..2_000 {
        assert!(ahead.advance().unwrap());
    }
    drop(ahead);
}
