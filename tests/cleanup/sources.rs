//! Where rows come from: compressed files, databases, and dumps as the databases' own programs write them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{ROWS, World, other};

#[test]
fn a_compressed_file_is_the_same_input() {
    let world = World::new();
    world.file("rows.ndjson", ROWS.as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out plain");
    let packed = other(Command::new("gzip").args(["-k", "rows.ndjson"]).current_dir(world.dir.path()));
    if packed.is_none() {
        return;
    }
    world.ends(0, "cleanup --source rows.ndjson.gz --dataset glyphs --out packed");
    let (plain, packed) = (world.files("plain"), world.files("packed"));
    for name in ["cleaned_glyphs.json", "cleaned_glyphs_upsert.csv", "changes.ndjson"] {
        assert!(plain[name] == packed[name], "{name}");
    }
    let input = &world.json("packed/cleanup.json")["input"];
    assert_eq!(input["compression"], "gzip");
    assert_eq!(input["sha256"], ops::ids::sha256(&fs::read(world.path("rows.ndjson.gz")).unwrap()));
}

#[test]
fn what_cannot_be_read_leaves_no_folder() {
    let world = World::new();
    for (name, bytes) in
        [("empty.ndjson", &b""[..]), ("empty.csv", b""), ("bad.json", b"{"), ("x.ndjson", b"{\"x\":1}\n")]
    {
        world.file(name, bytes);
        let output = crate::support::command::xtask(world.dir.path())
            .args(["cleanup", "--source", name, "--dataset", "glyphs", "--out", "made/out"])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{name}");
        assert!(!world.path("made").exists(), "{name}");
    }
    fs::create_dir(world.path("mine")).unwrap();
    world.ends(1, "cleanup --source empty.csv --dataset glyphs --out mine/out");
    assert!(world.path("mine").exists(), "a folder that was there stays");
    assert!(!world.path("mine/out").exists());
}

/// Rows as a database holds them: what dumps have to spell with care.
const TABLE: &str =
    "CREATE TABLE glyphs (id TEXT PRIMARY KEY, name TEXT, description TEXT, depth INTEGER, note TEXT);
    CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO other VALUES (1, 'not a glyph');
    INSERT INTO glyphs VALUES
        ('b', 'Quiet harbor', 'It''s a caf\u{c3}\u{a9}; (not \"here\"), \\n C:\\temp', 2, NULL),
        ('a', 'Salt lantern', 'Two
lines and a\ttab', 3, 'null'),
        ('c', 'Pale star', '', NULL, '$$ -- /* x */');";

/// What every way to read these rows must give, in the order of the keys.
fn expected() -> Value {
    json!([
        ["a", "Salt lantern", "Two\nlines and a\ttab", 3, "null"],
        ["b", "Quiet harbor", "It's a caf\u{e9}; (not \"here\"), \\n C:\\temp", 2, null],
        ["c", "Pale star", "", 3, "$$ -- /* x */"],
    ])
}

fn cleaned(world: &World, folder: &str) -> Value {
    let names = ["id", "name", "description", "depth", "note"];
    let rows = world.json(&format!("{folder}/cleaned_glyphs.json"));
    let mut rows: Vec<Vec<Value>> =
        rows.as_array().unwrap().iter().map(|row| names.map(|name| row[name].clone()).to_vec()).collect();
    rows.sort_by_key(|row| row[0].to_string());
    json!(rows)
}

fn sqlite(world: &World) {
    rusqlite::Connection::open(world.path("live.db")).unwrap().execute_batch(TABLE).unwrap();
}

#[test]
fn a_table_of_a_database_is_a_source() {
    let world = World::new();
    sqlite(&world);
    for (source, out) in [("sqlite:live.db", "by-scheme"), ("live.db", "by-file")] {
        let ran = world.ends(0, &format!("cleanup --source {source} --dataset glyphs --out {out}"));
        assert!(ran.stdout.contains("live.db"), "the database is named: {}", ran.stdout);
        assert_eq!(cleaned(&world, out), expected());
    }
    assert!(world.files("by-scheme") == world.files("by-file"), "two runs over one table are alike");
    assert_eq!(
        world.members("by-file/cleaned_glyphs.json", "id"),
        ["a", "b", "c"],
        "in the order of the keys"
    );
    let ran = world.ends(3, "cleanup --source live.db --dataset glyphs --table glyph --out out");
    assert!(ran.stderr.contains("glyphs"), "{}", ran.stderr);
    let live = rusqlite::Connection::open(world.path("live.db")).unwrap();
    live.execute("DELETE FROM glyphs", []).unwrap();
    let ran = world.ends(3, "cleanup --source live.db --dataset glyphs --out out");
    assert!(ran.stderr.contains("is empty"), "{}", ran.stderr);
    assert!(!world.path("out").exists());
}

#[test]
fn a_dump_by_the_shell_of_sqlite() {
    let world = World::new();
    sqlite(&world);
    let dump = other(Command::new("sqlite3").args(["live.db", ".dump"]).current_dir(world.dir.path()));
    let Some(dump) = dump else { return };
    world.file("dump.sql", &dump);
    let ran = world.ends(1, "cleanup --source dump.sql --dataset glyphs --out out");
    assert!(ran.stderr.contains("several tables"), "{}", ran.stderr);
    world.ends(0, "cleanup --source dump.sql --dataset glyphs --table glyphs --out out");
    assert_eq!(cleaned(&world, "out"), expected());
}

/// The rows as `mysqldump` writes them; in `{rows}` stand the statements.
const MYSQLDUMP: &str = "-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
--
-- Host: localhost    Database: glyphs
-- ------------------------------------------------------
-- Server version\t8.0.36

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

--
-- Table structure for table `glyphs`
--

DROP TABLE IF EXISTS `glyphs`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `glyphs` (
  `id` varchar(36) NOT NULL COMMENT 'it''s; the key',
  `name` varchar(120) DEFAULT NULL,
  `description` text,
  `depth` int DEFAULT NULL,
  `note` longtext,
  PRIMARY KEY (`id`),
  KEY `by_name` (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `glyphs`
--

LOCK TABLES `glyphs` WRITE;
/*!40000 ALTER TABLE `glyphs` DISABLE KEYS */;
{rows}
/*!40000 ALTER TABLE `glyphs` ENABLE KEYS */;
UNLOCK TABLES;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;

-- Dump completed on 2026-01-02  3:04:05
";

/// With the options that change how rows are written: none, `--complete-insert --skip-extended-insert`, `--replace`.
#[test]
fn dumps_of_mysql() {
    let [a, b, c] = [
        "('a','Salt lantern','Two\\nlines and a\ttab',3,'null')",
        r#"('b','Quiet harbor','It\'s a cafÃ©; (not \"here\"), \\n C:\\temp',2,NULL)"#,
        r"('c','Pale star','',NULL,'$$ -- /* x */')",
    ];
    let named = "INSERT INTO `glyphs` (`id`, `name`, `description`, `depth`, `note`) VALUES";
    for rows in [
        format!("INSERT INTO `glyphs` VALUES {b},{a},{c};"),
        format!("{named} {a};\n{named} {b};\n{named} {c};"),
        format!("REPLACE INTO `glyphs` VALUES {a},{b};\nREPLACE INTO `glyphs` VALUES {c};"),
    ] {
        let world = World::new();
        world.file("dump.sql", MYSQLDUMP.replace("{rows}", &rows).as_bytes());
        world.ends(0, "cleanup --source dump.sql --dataset glyphs --out out");
        assert_eq!(cleaned(&world, "out"), expected(), "{rows}");
    }
}

/// The rows of one dump beside a live table, with the reader that cleanup has.
#[test]
fn a_dump_is_what_a_plan_compares() {
    let world = World::new();
    sqlite(&world);
    let rows = "CREATE TABLE public.glyphs (id text, name text, description text, depth int, note text);
        COPY public.glyphs (id, name, note) FROM stdin;\na\tSalt lantern\tnull\nb\tQuiet harbor, lit\t\\N\n\\.\n
        COPY public.other (id, name) FROM stdin;\n1\tnot a glyph\n\\.\n
        INSERT INTO public.glyphs VALUES ('d', E'New\\nwillow', NULL, 4, $$it's$$::text);\n";
    world.file("dump.sql", rows.as_bytes());
    let plan = "backup-plan --target live.db --table glyphs --key id --desired dump.sql --json";
    let ran = world.ends(0, plan);
    let manifest: Value = serde_json::from_str(&ran.stdout).unwrap();
    let id = manifest["short"].as_str().unwrap();
    let changes = world.lines(&format!(".ops/plans/plan-{id}/changes.ndjson"));
    let seen: Vec<Value> =
        changes.iter().map(|change| json!([change["op"], change["key"], change["after"]["name"]])).collect();
    assert_eq!(
        json!(seen),
        json!([["update", ["b"], "Quiet harbor, lit"], ["insert", ["d"], "New\nwillow"]]),
        "{changes:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_table_behind_the_url_of_a_supabase_project() {
    let Some(stack) = crate::stack::stack() else { return };
    stack.sql(
        &TABLE
            .replace("CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT);", "")
            .replace("INSERT INTO other VALUES (1, 'not a glyph');", ""),
    );
    stack.reload();
    let world = World::new();
    let key = stack.key("service_role");
    let line = format!("cleanup --source {} --dataset glyphs --out out", stack.url());
    let ran = world.ends_with(0, &[("SUPABASE_SERVICE_ROLE_KEY", key)], &line);
    assert_eq!(cleaned(&world, "out"), expected());
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!said.contains(key), "{said}");
    for (name, bytes) in world.files("out") {
        assert!(!String::from_utf8_lossy(&bytes).contains(key), "{name}");
    }
    // With a wrong key nothing is written.
    let line = line.replace("--out out", "--out none");
    world.ends_with(3, &[("SUPABASE_SERVICE_ROLE_KEY", stack.key("expired"))], &line);
    assert!(!world.path("none").exists());
}

#[cfg(unix)]
#[test]
fn a_table_and_dumps_of_postgresql() {
    let Some(cluster) = crate::postgres::cluster() else { return };
    let world = World::new();
    let database = cluster.database();
    world.file("make.sql", TABLE.as_bytes());
    cluster.script(&database, &world.path("make.sql"), &[]).unwrap();
    let url = cluster.url(&database);
    world.ends(0, &format!("cleanup --source {url} --dataset glyphs --out live"));
    assert_eq!(cleaned(&world, "live"), expected());
    for options in [&[][..], &["--inserts"], &["--column-inserts", "--rows-per-insert=2"]] {
        let dump = other(Command::new("pg_dump").args(options).arg(&url));
        let Some(dump) = dump else { return };
        world.file("dump.sql", &dump);
        world.ends(0, "cleanup --source dump.sql --dataset glyphs --table public.glyphs --out dumped");
        assert_eq!(cleaned(&world, "dumped"), expected(), "{options:?}");
    }
}
