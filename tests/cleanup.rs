//! `cleanup` from outside: what it writes and prints, its exit codes, and that other programs read its files as we do.
//!
//! The laws of the run are tested beside it; here it is that nothing a person or a program relies on changes by accident.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[cfg(unix)]
#[path = "support/http.rs"]
mod http;
#[cfg(unix)]
#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod postgres;
#[cfg(unix)]
#[path = "support/stack.rs"]
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod stack;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

#[cfg(unix)]
#[path = "cleanup/hostile.rs"]
mod hostile;
#[path = "cleanup/policies.rs"]
mod policies;
#[path = "cleanup/sources.rs"]
mod sources;
#[path = "cleanup/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::command::xtask_std;
use support::golden::assert_golden;
use world::{ROWS, World, other};

#[test]
fn a_run_as_people_and_programs_see_it() {
    let world = World::new();
    world.file("rows.ndjson", ROWS.as_bytes());
    let ran = world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out --sample 2");
    assert_eq!(ran.stderr, "");
    assert_golden("cleanup/run/expected/stdout.txt", &ran.stdout);
    for (name, bytes) in world.files("out") {
        // An empty golden would be no file.
        if name.starts_with('.') || name == "cleanup_report.html" || bytes.is_empty() {
            continue;
        }
        assert_golden(&format!("cleanup/run/expected/{name}"), &String::from_utf8(bytes).unwrap());
    }
    let json = world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out --sample 2 --json");
    assert_eq!(json.stdout, fs::read_to_string(world.path("out/cleanup_report.json")).unwrap());
}

/// The fixtures in all formats, and the dataset that knows nothing of glyphs.
#[test]
fn every_format_of_a_dataset_gives_the_same_rows() {
    let world = World::new();
    let fixtures = support::root().join("fixtures/cleanup");
    for (dataset, names) in [
        (
            "glyphs",
            ["glyphs_rows.sql", "glyphs_rows.json", "glyphs_rows.ndjson", "glyphs_rows.csv"].as_slice(),
        ),
        ("contacts", ["contacts.csv", "contacts.ndjson"].as_slice()),
    ] {
        let mut first: Option<(Vec<u8>, Vec<u8>)> = None;
        for name in names {
            fs::copy(fixtures.join(dataset).join(name), world.path(name)).unwrap();
            let out = format!("out-{name}");
            let ran = world.ends(0, &format!("cleanup --source {name} --dataset {dataset} --out {out}"));
            assert!(ran.stdout.contains("met      every row is somewhere"), "{}", ran.stdout);
            let mut files = world.files(&out);
            let rows = files.remove(&format!("cleaned_{dataset}.json")).unwrap();
            let sheet = files.remove(&format!("cleaned_{dataset}_upsert.csv")).unwrap();
            let (rows_of_first, sheet_of_first) = first.get_or_insert((rows.clone(), sheet.clone()));
            assert_eq!(String::from_utf8_lossy(&rows), String::from_utf8_lossy(rows_of_first), "{name}");
            assert_eq!(String::from_utf8_lossy(&sheet), String::from_utf8_lossy(sheet_of_first), "{name}");
            world.ends(0, &format!("cleanup revert --out {out}"));
        }
    }
}

#[test]
fn every_file_is_sealed_and_made_twice_alike() {
    let world = World::new();
    world.file("rows.ndjson", ROWS.as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out one");
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out two");
    let files = world.files("one");
    assert_eq!(files, world.files("two"));
    let manifest = world.json("one/cleanup.json");
    assert_eq!(manifest["input"]["sha256"], ops::ids::sha256(ROWS.as_bytes()));
    let sealed = manifest["artifacts"].as_array().unwrap();
    for artifact in sealed {
        let name = artifact["file"].as_str().unwrap();
        assert_eq!(artifact["sha256"], ops::ids::sha256(&files[name]), "{name}");
        assert_eq!(artifact["bytes"], files[name].len(), "{name}");
    }
    let unsealed: Vec<&String> = files
        .keys()
        .filter(|name| !sealed.iter().any(|artifact| artifact["file"] == name.as_str()))
        .collect();
    assert_eq!(unsealed, [".cleanup.lock", "cleanup.json"]);
    assert!(!files["cleaned_glyphs.json"].ends_with(b"\n"), "the array has no final newline");
    let csv = &files["cleaned_glyphs_upsert.csv"];
    let header = "id,name,slug,description,triggers,response_layer,depth,symbolic_pairing,user_id,created_from_chat,\
                  source_message,emotional_tone,glyph_type,tenant_id,last_updated,note\r\n";
    assert!(csv.starts_with(header.as_bytes()), "{}", String::from_utf8_lossy(csv));
    assert!(String::from_utf8_lossy(csv).contains(",True,"), "booleans as Python spells them");
}

#[test]
fn the_way_back_gives_the_input_or_a_part_of_it() {
    let world = World::new();
    world.file("rows.ndjson", ROWS.as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    let ran = world.ends(0, "cleanup revert --out out --json");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["rows"], &said["is_input"]), (&5.into(), &true.into()), "{said}");
    let input: Vec<Value> = ROWS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(world.json("out/reverted_glyphs.json"), Value::Array(input.clone()));
    world.ends(0, "cleanup revert --out out --rule mojibake --to some.json");
    let (some, cleaned) = (world.json("some.json"), world.json("out/cleaned_glyphs.json"));
    assert_eq!(some[0]["description"], input[0]["description"], "with what rests on it");
    assert_eq!(some[0]["depth"], cleaned[0]["depth"]);
    assert_eq!(some[1], cleaned[1]);
    let ran = world.ends(3, "cleanup revert --out nowhere");
    assert!(ran.stderr.contains("there is nothing to undo"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_read_is_listed_and_decides_the_exit_code() {
    let world = World::new();
    world.file(
        "rows.ndjson",
        format!("{ROWS}{{\"id\":\"a6\",\n{{\"id\":\"a7\",\"name\":\"Whole again here\"}}\n").as_bytes(),
    );
    let ran = world.ends(5, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert!(ran.stderr.contains("--allow-rejects 1"), "{}", ran.stderr);
    assert!(ran.stdout.contains("7 in ="), "{}", ran.stdout);
    let reject: Value =
        serde_json::from_str(&fs::read_to_string(world.path("out/rejects.ndjson")).unwrap()).unwrap();
    assert_eq!((&reject["row"], &reject["line"], &reject["at"]), (&5.into(), &6.into(), &ROWS.len().into()));
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out --allow-rejects 1");
    // The rejected record was never a row.
    world.ends(0, "cleanup revert --out out");
    assert_eq!(world.json("out/reverted_glyphs.json").as_array().unwrap().len(), 6);
}

#[test]
fn what_cannot_be_cleaned_says_why_and_leaves_the_files() {
    let world = World::new();
    world.file("rows.ndjson", ROWS.as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    let before = world.files("out");
    world.file("other.ndjson", b"{\"x\":1}\n");
    world.file("empty.csv", b"");
    world.file("bad.gz", b"\x1f\x8b\x08\x00broken");
    for (code, line, said) in [
        (3, "--source rows.ndjson --dataset glyph", "--dataset glyphs"),
        (3, "--source other.ndjson --dataset glyphs", "no column of the dataset"),
        (1, "--source nowhere.ndjson --dataset glyphs", "nowhere.ndjson"),
        (1, "--source empty.csv --dataset glyphs", "is empty"),
        (1, "--source bad.gz --format csv --dataset glyphs", "decompress"),
        (1, "--source rows.ndjson --format json --dataset glyphs", "line 1"),
        (1, "--source rows.ndjson --dataset glyphs --config nowhere.toml", "nowhere.toml"),
        (2, "--source rows.ndjson --dataset glyphs --threshold 2", "from 0 to 1"),
        (2, "--source rows.ndjson --dataset glyphs --now yesterday", "expected a time"),
        (2, "--source rows.ndjson --dataset glyphs --apply", "--target"),
        (2, "--dataset glyphs", "--source"),
    ] {
        let ran = world.ends(code, &format!("cleanup --out out {line}"));
        assert!(ran.stderr.contains(said), "{line}: {}", ran.stderr);
        assert_eq!(world.files("out"), before, "{line}");
    }
}

#[test]
fn a_killed_run_leaves_the_previous_files_and_the_next_one_works() {
    let world = World::new();
    world.file("small.ndjson", ROWS.as_bytes());
    world.ends(0, "cleanup --source small.ndjson --dataset glyphs --out out");
    let before = world.files("out");
    let rows: String = (0..20_000)
        .map(|n| format!("{{\"id\":\"{n}\",\"name\":\"Harbor number {n}\",\"description\":\"Boats and boats, {n} of them\"}}\n"))
        .collect();
    world.file("big.ndjson", rows.as_bytes());
    let args = ["cleanup", "--source", "big.ndjson", "--dataset", "glyphs", "--out", "out"];
    for wait_ms in [5, 40, 90, 150] {
        let mut child = xtask_std(world.dir.path())
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().unwrap();
        let has_ended = child.wait().unwrap().success();
        let files = world.files("out");
        if has_ended {
            return;
        }
        for (name, bytes) in &before {
            assert_eq!(&files[name], bytes, "{name} after {wait_ms} ms");
        }
    }
    let ran = world.ends(0, "cleanup --source big.ndjson --dataset glyphs --out out");
    assert!(ran.stdout.contains("20,000"), "{}", ran.stdout);
    assert!(!world.path("out/.cleanup").exists());
}

#[test]
fn a_plan_and_nothing_else_comes_of_apply() {
    let world = World::new();
    world.file("rows.ndjson", ROWS.as_bytes());
    let live = rusqlite::Connection::open(world.path("live.db")).unwrap();
    live.execute_batch(
        "CREATE TABLE glyphs (id TEXT PRIMARY KEY, name TEXT, slug TEXT, description TEXT, triggers TEXT, response_layer TEXT,
            depth INTEGER, last_updated TEXT, symbolic_pairing TEXT, user_id TEXT, created_from_chat INTEGER,
            source_message TEXT, emotional_tone TEXT, glyph_type TEXT, tenant_id TEXT, note TEXT);
        INSERT INTO glyphs (id, name, tenant_id) VALUES ('a1', 'old', 'kept'), ('zz', 'only here', NULL);",
    )
    .unwrap();
    let command = "cleanup --source rows.ndjson --dataset glyphs --out out --apply --target live.db";
    let ran = world.ends(0, command);
    assert!(ran.stdout.contains("cargo xtask upsert --plan"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 to update"), "{}", ran.stdout);
    let name: String =
        live.query_row("SELECT name FROM glyphs WHERE id = 'a1'", [], |row| row.get(0)).unwrap();
    assert_eq!(name, "old", "a plan changes nothing");
    let plans = fs::read_dir(world.path(".ops/plans")).unwrap().count();
    assert_eq!(plans, 1);
    let changes = fs::read_dir(world.path(".ops/plans"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("changes.ndjson");
    let changes = fs::read_to_string(changes).unwrap();
    assert!(
        !changes.contains("\"tenant_id\":null,\"note\""),
        "a column that the input does not have stays: {changes}"
    );
    // Rejects are looked at before anything is planned.
    world.file("rows.ndjson", format!("{ROWS}{{\n").as_bytes());
    world.ends(5, command);
    assert_eq!(fs::read_dir(world.path(".ops/plans")).unwrap().count(), 1);
}

/// Rows for other programs to read: what their formats have to get right.
fn hard_rows() -> String {
    let texts = [
        "plain text here",
        "a,b",
        "say \"hi\"",
        "two\nlines",
        "\u{e9}\u{1f4a1}",
        "\\.",
        "semi; colon",
        "'quoted'",
        "NULL",
        "null",
    ];
    let rows = texts.iter().enumerate().map(|(n, text)| {
        let row = serde_json::json!({"id": format!("{n}"), "name": format!("Harbor number {n}"), "description": text,
            "source_message": if n % 2 == 0 { Value::from("") } else { Value::Null }});
        format!("{row}\n")
    });
    rows.collect()
}

#[test]
fn python_reads_the_sheet_and_jq_the_array_as_we_wrote_them() {
    let world = World::new();
    world.file("rows.ndjson", hard_rows().as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    let ours = world.json("out/cleaned_glyphs.json");
    let script = "import csv, json, sys\nprint(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8')))))";
    let sheet = world.path("out/cleaned_glyphs_upsert.csv");
    let python = other(Command::new("python3").args(["-I", "-c", script]).arg(&sheet));
    let Some(python) = python else { return };
    let theirs: Vec<BTreeMap<String, String>> = serde_json::from_slice(&python).unwrap();
    assert_eq!(theirs.len(), ours.as_array().unwrap().len());
    for (ours, theirs) in ours.as_array().unwrap().iter().zip(&theirs) {
        for name in ["id", "name", "slug", "description"] {
            assert_eq!(ours[name].as_str().unwrap_or_default(), theirs[name], "{name}");
        }
        let triggers: Value = serde_json::from_str(&theirs["triggers"]).unwrap_or_default();
        assert_eq!(ours["triggers"], triggers);
        assert_eq!(theirs["created_from_chat"], "False");
    }
    let jq = other(Command::new("jq").args(["-c", "."]).arg(world.path("out/cleaned_glyphs.json")));
    let Some(jq) = jq else { return };
    assert_eq!(serde_json::from_slice::<Value>(&jq).unwrap(), ours);
}

#[cfg(unix)]
#[test]
fn postgresql_copies_the_sheet_row_for_row() {
    let Some(cluster) = postgres::cluster() else { return };
    let world = World::new();
    world.file("rows.ndjson", hard_rows().as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    let sheet = fs::read_to_string(world.path("out/cleaned_glyphs_upsert.csv")).unwrap();
    let database = cluster.database();
    let names: Vec<&str> = sheet.lines().next().unwrap().split(',').collect();
    let columns: Vec<String> = names
        .iter()
        .map(|name| match *name {
            "depth" => "depth int".to_owned(),
            "created_from_chat" => "created_from_chat boolean".to_owned(),
            "triggers" => "triggers jsonb".to_owned(),
            name => format!("{name} text"),
        })
        .collect();
    let script = world.path("copy.sql");
    let copy = format!(
        "CREATE TABLE glyphs ({});\n\\copy glyphs from '{}' with (format csv, header)\n",
        columns.join(", "),
        world.path("out/cleaned_glyphs_upsert.csv").display()
    );
    fs::write(&script, copy).unwrap();
    cluster.script(&database, &script, &[]).unwrap();
    let found = cluster.sql(&database, "SELECT json_agg(to_jsonb(g) ORDER BY id) FROM glyphs g");
    let found: Value = serde_json::from_str(found.trim()).unwrap();
    let ours = world.json("out/cleaned_glyphs.json");
    assert_eq!(found.as_array().unwrap().len(), ours.as_array().unwrap().len());
    for (ours, found) in ours.as_array().unwrap().iter().zip(found.as_array().unwrap()) {
        for name in &names {
            assert_eq!(ours[name], found[name], "{name}");
        }
    }
}
