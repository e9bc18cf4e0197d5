//! Producers over both databases: what they measured is read back by the names of the columns.

use std::time::Duration;

use ops::clock::{Clock, Stamp};
use ops::telemetry::producers::extraction::{EXTRACTIONS, HTTP_ERRORS};
use ops::telemetry::producers::operation::OPERATIONS;
use ops::telemetry::producers::{Extraction, Found, MethodEnd, Operation, Progress, Proxy};
use ops::telemetry::store::{Store, StoreOptions};

use crate::store::kit::{PATIENCE, World, rows};

mod sqlite {
    #[test]
    fn producers() {
        super::all(&crate::store::kit::World::sqlite());
    }
}

mod postgres {
    #[test]
    fn producers() {
        if let Some(world) = crate::store::kit::World::postgres() {
            super::all(&world);
        }
    }
}

fn all(world: &World) {
    let tables = vec![&EXTRACTIONS, &HTTP_ERRORS, &OPERATIONS];
    let store = world.open(StoreOptions { tables, ..world.options() });
    extractions(&store);
    http_errors(&store);
    operations(&store);
    let ledger = store.shutdown();
    assert!(ledger.is_all_written(), "{} {:?}", ledger.equation(), store.stats());
}

fn day(day: u32) -> Stamp {
    Stamp::parse(&format!("2026-01-{day:02}T10:00:00Z")).unwrap()
}

fn flush(store: &Store) {
    let report = store.flush(PATIENCE);
    assert!(report.is_acknowledged(), "{report:?}");
}

fn extractions(store: &Store) {
    let now = day(2);
    let later = |ms| now.plus(Duration::from_millis(ms));
    let url = "https://user:secret@Good.example/story?id=1";
    let mut extraction = Extraction::begin("op1", "art1", url, Some("Good"), now);
    extraction.start_method("newspaper4k", now);
    extraction.start_method("never ended", later(100));
    let found =
        Found { title: Some("Headline"), content: Some("Body"), author: Some(" "), publish_date: None };
    let end = MethodEnd { is_success: true, found, http_status: Some(200), ..MethodEnd::default() };
    extraction.end_method("newspaper4k", &end, later(200));
    let error = "e".repeat(900);
    extraction.set_proxy(Proxy { is_used: true, status: Some("BYPASSED"), error: Some(&error) });
    extraction.add_alternative("beautifulsoup", "title", &format!("{}x", "t".repeat(200)), &"t".repeat(201));
    extraction.finish(found, &[("title", "newspaper4k")], later(250));
    extraction.record(store).unwrap();
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT host, url, total_duration_ms, http_status_code, http_error_type, method_timings, \
            successful_method, content_length, is_success FROM extraction_telemetry_v2"
        ),
        "good.example|https://Good.example/story?id=1|250|200|null|{\"newspaper4k\":200.0}|newspaper4k|4|1"
    );
    assert_eq!(
        rows(
            store,
            "SELECT field_extraction, final_field_attribution, proxy_status, length(proxy_error), \
            method_success FROM extraction_telemetry_v2"
        ),
        "{\"newspaper4k\":{\"author\":false,\"content\":true,\"publish_date\":false,\"title\":true}}|\
         {\"title\":\"newspaper4k\"}|3|500|{\"newspaper4k\":true}"
    );
    let alternatives = rows(store, "SELECT alternative_extractions FROM extraction_telemetry_v2");
    assert!(alternatives.contains("\"values_differ\":true"), "compared before they are cut: {alternatives}");
    assert_eq!(rows(store, "SELECT count(*) FROM http_error_summary"), "0", "a success is no error");
}

/// Two errors of one host on one day, one a week earlier: a window counts what is in it.
fn http_errors(store: &Store) {
    for (host, status, at) in [
        ("blocked.example", 403, day(20)),
        ("blocked.example", 403, day(20)),
        ("blocked.example", 403, day(3)),
        ("error.example", 500, day(20)),
    ] {
        let mut extraction = Extraction::begin("op1", "art2", &format!("https://{host}/"), None, at);
        extraction.set_response(status, None, None);
        extraction.fail("http", "HTTP error");
        extraction.finish(Found::default(), &[], at);
        extraction.record(store).unwrap();
    }
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT host, status_code, error_type, sum(count) FROM http_error_summary \
            WHERE day > '2026-01-13' GROUP BY host, status_code, error_type ORDER BY host"
        ),
        "blocked.example|403|4xx_client_error|2 error.example|500|5xx_server_error|1"
    );
    assert_eq!(rows(store, "SELECT count(*) FROM extraction_telemetry_v2 WHERE NOT is_success"), "4");
}

fn operations(store: &Store) {
    let clock = Clock::Fixed(day(5));
    let result = Operation::track(store, clock, "one", "crawl_discovery", |operation| {
        operation.advance(Progress { total: Some(5), processed: 2, failed: 1 });
        let inner = Operation::track(store, clock, "two", "load_sources", |_| Err::<(), _>("no such source"));
        assert_eq!(inner, Err("no such source"), "the error comes back");
        Ok::<_, String>(7)
    });
    assert_eq!(result, Ok(7));
    drop(Operation::begin(store, clock, "three", "ml_analysis"));
    Operation::begin(store, clock, "four", "ml_analysis").cancel();
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT id, status, total, processed, success_rate, error_details FROM operations ORDER BY id"
        ),
        "four|cancelled|null|0|null|null one|completed|5|2|50|null three|failed|null|0|null|it was left before it ended \
         two|failed|null|0|null|no such source"
    );
    assert_eq!(rows(store, "SELECT count(completed_at) FROM operations"), "1");
}
