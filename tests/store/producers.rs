//! Producers over both databases: what they measured is read back by the names of the columns.

use std::time::Duration;

use ops::clock::{Clock, Stamp};
use ops::telemetry::producers::discovery::{Discovered, DiscoveryOutcome, HttpAnswer, MethodTry};
use ops::telemetry::producers::{
    Article, Byline, BylineResult, BylineSource, BylineStep, Cleaning, CleaningTerms, Detection, Exit,
    Extraction, ExtractionOutcome, Found, JobRun, Locality, MethodEnd, Operation, Outcome, Progress, Proxy,
    Segment, Stage, TABLES, Verification, WireEvent,
};
use ops::telemetry::store::{Store, StoreOptions};
use serde_json::{Value, json};

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
    let store = world.open(StoreOptions { tables: TABLES.to_vec(), ..world.options() });
    extractions(&store);
    http_errors(&store);
    operations(&store);
    bylines(&store);
    cleaning(&store);
    outcomes(&store);
    discovery(&store);
    detections(&store);
    verifications(&store);
    runs_and_stages(&store);
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
    assert_eq!(
        rows(
            store,
            "SELECT day, host, publisher, method, attempts, successes, timed, duration_ms, duration_ms_max \
            FROM extraction_days"
        ),
        "2026-01-02|good.example|Good|newspaper4k|1|1|1|250|250"
    );
    assert_eq!(
        rows(
            store,
            "SELECT method, publisher, attempts, successes, timed, duration_ms, duration_ms_min \
            FROM extraction_method_days ORDER BY method"
        ),
        "never ended|Good|1|0|0|0|null newspaper4k|Good|1|1|1|200|200"
    );
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

fn bylines(store: &Store) {
    let now = day(6);
    let later = |ms| now.plus(Duration::from_millis(ms));
    let raw = "By Jane Doe, Example News, jane@example.com";
    let source = BylineSource {
        article_id: Some("art1"),
        source_name: Some("Example News"),
        ..BylineSource::default()
    };
    let mut byline = Byline::begin("byline1", raw, "rules", source, now);
    let step = |name, confidence_delta, removed, notes| BylineStep {
        name,
        input: raw,
        output: "Jane Doe",
        kind: "removal",
        removed,
        confidence_delta,
        notes,
        ..BylineStep::default()
    };
    byline.step(&step("email_removal", 0.1, Some("jane@example.com"), None), later(3));
    byline.step(&step("source_removal", 0.2, Some("Example News"), None), later(5));
    byline.step(&step("wire_service_detection", 0.15, None, Some("Wire Service flag")), later(5));
    byline.step(&step("duplicate_removal", -0.05, Some("Jane Doe,Jane Doe"), None), later(9));
    byline.error("parse", "no author in jane@example.com", later(9));
    byline.warning("odd", "two names", later(9));
    let result = BylineResult {
        authors: &["Jane Doe"],
        is_valid: Some(true),
        is_noise: Some(false),
        needs_review: None,
    };
    byline.finish(&result, later(10), store).unwrap();
    let noise = BylineResult { is_noise: Some(true), is_valid: Some(false), ..result };
    Byline::begin("byline2", "Jane Doe", "rules", source, now).finish(&noise, later(10), store).unwrap();
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT raw_byline, raw_byline_words, final_authors_json, confidence_score, processing_time_ms, has_email, \
            has_wire_service, source_name_removed, has_title, duplicates_removed_count, likely_valid_authors, \
            likely_noise, requires_manual_review, is_changed FROM byline_cleaning_telemetry WHERE id = 'byline1'"
        ),
        "By Jane Doe, Example News, [redacted-email]|6|[\"Jane Doe\"]|0.4|10|1|1|1|0|2|1|0|null|1"
    );
    let errors = rows(store, "SELECT cleaning_errors FROM byline_cleaning_telemetry WHERE id = 'byline1'");
    let errors: Value = serde_json::from_str(&errors).unwrap();
    assert_eq!(errors[0]["message"], "no author in [redacted-email]");
    assert_eq!(
        rows(
            store,
            "SELECT step_number, step_name, removed_content, processing_time_ms FROM byline_transformation_steps \
            ORDER BY step_number"
        ),
        "1|email_removal|[redacted-email]|3 2|source_removal|Example News|2 3|wire_service_detection|null|0 \
         4|duplicate_removal|Jane Doe,Jane Doe|4"
    );
    assert_eq!(
        rows(
            store,
            "SELECT day, source, bylines, valid, noise, review, changed, wire, email, confidence FROM byline_days"
        ),
        "2026-01-06|Example News|2|1|1|0|1|1|1|0.4"
    );
}

fn cleaning(store: &Store) {
    let terms = CleaningTerms {
        session_id: "s1",
        domain: "good.example",
        articles: 10,
        min_occurrences: 3,
        min_boundary_score: 0.3,
    };
    let segment = |text, pattern, boundary_score, removed| Segment {
        text,
        pattern,
        boundary_score,
        occurrences: 2,
        position_consistency: None,
        article_ids: &["a1", "a2"],
        removed,
    };
    for (id, at) in [("c1", day(7)), ("c2", day(8))] {
        let mut session = Cleaning::begin(id, terms, at);
        session.segment(&segment("Home News Sports", "navigation", 0.8, Some("repeats")), at);
        session.segment(&segment("Most read, call +1 555 123 4567", "trending", 0.7, Some("repeats")), at);
        session.segment(&segment("Unsure", "other", 0.4, None), at);
        session.wire(&WireEvent { provider: "AP", method: "dateline", ..WireEvent::default() }, at);
        for locality in [&json!({}), &json!({"city": "Columbia"})] {
            let judged = Locality {
                provider: "AP",
                method: "places",
                article_id: Some("a1"),
                is_local: true,
                confidence: Some(0.9),
                raw_score: None,
                threshold: Some(0.5),
                signals: &json!(["city"]),
                locality,
            };
            session.locality(&judged, at);
        }
        session.finish(9, 470, at.plus(Duration::from_millis(40)), store).unwrap();
    }
    flush(store);
    cleaned(store);
}

fn cleaned(store: &Store) {
    assert_eq!(
        rows(
            store,
            "SELECT telemetry_id, domain, article_count, processing_time_ms, segments_detected, segments_removed, \
            total_removable_chars, removal_percentage FROM content_cleaning_sessions ORDER BY telemetry_id"
        ),
        "c1|good.example|10|40|3|2|94|20 c2|good.example|10|40|3|2|94|20"
    );
    assert_eq!(
        rows(
            store,
            "SELECT detection_number, pattern_type, affected_article_count, was_removed, article_ids_json \
            FROM content_cleaning_segments WHERE telemetry_id = 'c1' ORDER BY detection_number"
        ),
        "1|navigation|2|1|[\"a1\",\"a2\"] 2|trending|2|1|[\"a1\",\"a2\"] 3|other|2|0|[\"a1\",\"a2\"]"
    );
    assert_eq!(
        rows(
            store,
            "SELECT pattern_type, text_content, occurrences_total, is_ml_training_eligible, substr(first_seen, 1, 10), \
            substr(last_seen, 1, 10) FROM persistent_boilerplate_patterns ORDER BY pattern_type"
        ),
        "navigation|Home News Sports|4|1|2026-01-07|2026-01-08 \
         trending|Most read, call [redacted-phone]|4|0|2026-01-07|2026-01-08"
    );
    assert_eq!(
        rows(
            store,
            "SELECT count(DISTINCT segment_text_hash), count(*) FROM content_cleaning_segments \
            WHERE pattern_type = 'navigation'"
        ),
        "1|2"
    );
    assert_eq!(
        rows(
            store,
            "SELECT domain, provider, article_ids_json, metadata_json FROM content_cleaning_wire_events \
            WHERE telemetry_id = 'c1'"
        ),
        "good.example|AP|[]|{}"
    );
    assert_eq!(rows(store, "SELECT count(*) FROM content_cleaning_locality_events"), "2");
    assert_eq!(
        rows(store, "SELECT sum(sessions), sum(removed), sum(removable_chars) FROM content_cleaning_days"),
        "2|4|188"
    );
    assert_eq!(
        rows(
            store,
            "SELECT pattern_type, removed FROM content_cleaning_pattern_days ORDER BY day, pattern_type"
        ),
        "navigation|1 other|0 trending|1 navigation|1 other|0 trending|1"
    );
}

fn outcomes(store: &Store) {
    let record = |outcome, article, error| {
        let event = ExtractionOutcome {
            operation_id: "op1",
            article_id: "art1",
            url: "https://user:secret@good.example/x",
            publisher: Some("Good"),
            outcome,
            article,
            elapsed_ms: Some(12.5),
            http_status: Some(200),
            response_bytes: None,
            error,
            at: day(9),
        };
        event.record(store).unwrap();
    };
    let article =
        Article { title: Some("Council approves budget"), content: Some("short"), ..Article::default() };
    record(Outcome::PartialContent, article, None);
    record(Outcome::CaptchaRequired, Article::default(), Some(("captcha", "ask bob@example.org")));
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT outcome, url, host, is_success, is_content_success, is_bot_protection, content_quality_score, \
            content_quality_issues, overall_quality_score, error_message FROM extraction_outcomes ORDER BY id"
        ),
        "partial_content|https://good.example/x|good.example|1|0|0|0.5|[\"too_short\"]|0.7|null \
         captcha_required|https://good.example/x|good.example|0|0|1|0|[\"missing\"]|0.6|ask [redacted-email]"
    );
}

/// Ten tries, the second without a result: 90 %, in whatever order.
fn discovery(store: &Store) {
    for n in 0..10_u32 {
        let attempt = MethodTry {
            source_id: "src1",
            method: "rss_feed",
            status: if n == 1 { "timeout" } else { "success" },
            articles: u64::from(n != 1),
            elapsed_ms: (n != 1).then_some(100.0),
            notes: None,
            at: day(10).plus(Duration::from_secs(n.into())),
        };
        store.record(&attempt).unwrap();
    }
    let answer = HttpAnswer {
        operation_id: Some("op1"),
        source_id: "src1",
        source_url: "https://good.example/",
        method: "rss_feed",
        url: "https://good.example/feed",
        status: Some(404),
        elapsed_ms: Some(123.4),
        bytes: Some(7),
        error: None,
        at: day(10),
    };
    store.record(&answer).unwrap();
    store.record(&HttpAnswer { status: None, error: Some("connection refused"), ..answer }).unwrap();
    let outcome = DiscoveryOutcome {
        operation_id: "op1",
        source_id: "src1",
        outcome: Discovered::MixedResults,
        articles: [5, 2, 2, 1],
        methods: &["rss_feed", "newspaper4k"],
        method_used: Some("rss_feed"),
        error: None,
        http_status: Some(200),
        elapsed_ms: Some(50.0),
        at: day(10),
    };
    outcome.record(store).unwrap();
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT success_rate, attempt_count, success_count, articles_found, articles_total, timed_count, \
            response_time_ms_total FROM discovery_method_effectiveness"
        ),
        "90|10|9|1|9|9|900"
    );
    assert_eq!(
        rows(
            store,
            "SELECT status_code, status_category, response_time_ms FROM http_status_tracking ORDER BY id"
        ),
        "404|4xx|123.4 null|none|123.4"
    );
    assert_eq!(
        rows(
            store,
            "SELECT outcome, articles_new, methods_attempted, is_success, is_content_success, is_technical_failure \
            FROM discovery_outcomes"
        ),
        "mixed_results|2|rss_feed,newspaper4k|1|1|0"
    );
}

fn detections(store: &Store) {
    let detection = Detection {
        operation_id: "op1",
        article_id: "art1",
        url: "https://user:secret@good.example/opinion/1",
        publisher: Some("Good"),
        detected_type: "opinion",
        method: "content_type_detector",
        confidence: Some("high"),
        score: Some(0.83),
        reason: Some("the title says so; ask bob@example.org"),
        evidence: &json!({"title": ["opinion"]}),
        version: Some("2"),
        at: day(11),
    };
    store.record(&detection).unwrap();
    for (confidence, score) in [(Some("very_high"), None), (Some("sure"), Some(f64::NAN)), (None, None)] {
        store.record(&Detection { confidence, score, evidence: &json!({}), ..detection }).unwrap();
    }
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT url, host, detected_type, detection_method, confidence, confidence_score, reason, evidence, version, \
            detected_at FROM content_type_detection_telemetry ORDER BY id LIMIT 1"
        ),
        "https://good.example/opinion/1|good.example|opinion|content_type_detector|high|0.83|\
         the title says so; ask [redacted-email]|{\"title\":[\"opinion\"]}|2|2026-01-11 10:00:00.000000"
    );
    assert_eq!(
        rows(
            store,
            "SELECT confidence, confidence_score FROM content_type_detection_telemetry WHERE id > 1 ORDER BY id"
        ),
        "very_high|0.95 sure|null null|null"
    );
}

fn verifications(store: &Store) {
    let batch = Verification {
        job: "verify",
        batch_size: 10,
        articles: 7,
        others: 2,
        errors: 1,
        sources: &["s1", "s2"],
        began: day(12),
        ended: day(12).plus(Duration::from_millis(2500)),
    };
    store.record(&batch).unwrap();
    store.record(&Verification { articles: 0, others: 0, errors: 0, sources: &[], ..batch }).unwrap();
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT job_name, batch_size, verified_articles, verified_non_articles, verification_errors, \
            total_processed, batch_time_seconds, avg_verification_time_ms, total_time_ms, sources_processed \
            FROM verification_telemetry ORDER BY id"
        ),
        "verify|10|7|2|1|10|2.5|250|2500|[\"s1\",\"s2\"] verify|10|0|0|0|0|2.5|null|2500|[]"
    );
}

fn runs_and_stages(store: &Store) {
    let params = json!({"limit": 5, "mail": "bob@example.org"});
    let began = JobRun { params: Some(&params), ..JobRun::begin("j1", "extract", day(13)) };
    store.record(&began).unwrap();
    store.record(&JobRun::begin("j2", "extract", day(14))).unwrap();
    let finished = Some((day(13).plus(Duration::from_mins(1)), Exit::Failed));
    let records = [Some(9), Some(4), None];
    let ended = JobRun { finished, exit_code: Some(5), artifacts: &["a.json"], records, errors: 2, ..began };
    store.record(&ended).unwrap();
    let stage = Stage {
        digest: "d1",
        at: "2026-01-13 10:00:00.000000",
        sequence: 1,
        stage: "plan",
        decision: "pass",
        plan: "p1",
        target: "t1",
        lineage: None,
        detail: "{\"insert\":3}",
        tool: "1.0.0",
    };
    for _ in 0..2 {
        store.record(&stage).unwrap();
    }
    flush(store);
    assert_eq!(
        rows(
            store,
            "SELECT id, job_type, finished_at, exit_status, exit_code, params, artifact_paths, records_processed, \
            records_created, records_updated, errors_count FROM jobs ORDER BY id"
        ),
        "j1|extract|2026-01-13 10:01:00.000000|failed|5|{\"limit\":5,\"mail\":\"[redacted-email]\"}|[\"a.json\"]|9|4|null|2 \
         j2|extract|null|null|null|{}|[]|null|null|null|0"
    );
    assert_eq!(
        rows(
            store,
            "SELECT digest, at, sequence, stage, decision, plan, target, lineage, detail, tool FROM pipeline_stages"
        ),
        "d1|2026-01-13 10:00:00.000000|1|plan|pass|p1|t1|null|{\"insert\":3}|1.0.0"
    );
}
