//! Dumps in every spelling: what a row of SQL says, and what is no row.

use super::{refusal, rows, sample};
use crate::records::{Field, ReadOptions, Records};

/// The values of one row of two columns, as `a|b`.
fn values(tuples: &str) -> Vec<String> {
    texts(&format!("INSERT INTO g (\"id\",\"name\") VALUES {tuples}"))
}

fn texts(dump: &str) -> Vec<String> {
    rows("a.sql", dump).iter().map(|row| row.split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn rows_of_one_statement() {
    assert_eq!(values("('1','a'), ('2','b');"), ["id='1' name='a'", "id='2' name='b'"]);
    assert_eq!(values("('1','it''s');"), ["id='1' name='it's'"]);
    assert_eq!(values("('1','');"), ["id='1' name=''"]);
    assert_eq!(
        values("('1',null), ('2',NULL), ('3',Null);"),
        ["id='1' name=null", "id='2' name=null", "id='3' name=null"]
    );
    assert_eq!(
        values("('1','null'),('1','null. of x');"),
        ["id='1' name='null'", "id='1' name='null. of x'"]
    );
    assert_eq!(values("('1','semi; colon');"), ["id='1' name='semi; colon'"]);
    assert_eq!(values("('1','x') ON CONFLICT (\"id\") DO NOTHING;"), ["id='1' name='x'"]);
    assert_eq!(values("('1','x') ON DUPLICATE KEY UPDATE name=VALUES(name);"), ["id='1' name='x'"]);
    assert_eq!(values("('1','x') RETURNING id, (SELECT 'a;b')"), ["id='1' name='x'"]);
    assert_eq!(
        values("-- don't\n('1',/* ' */'x') -- it's\n, /* (';' */ ('2','y')"),
        ["id='1' name='x'", "id='2' name='y'"]
    );
}

#[test]
fn rows_as_only_mysql_writes_them() {
    assert_eq!(values("ROW('1','a'), row ('2','b');"), ["id='1' name='a'", "id='2' name='b'"]);
    let sets = "INSERT INTO g SET id = 1, `name` = 'a;, b' ON DUPLICATE KEY UPDATE name = 'x', id = 2;
        insert into other set id = 7;
        INSERT INTO g SET id=(2), g.name=NULL;";
    let options = ReadOptions { table: Some("g".to_owned()), ..ReadOptions::default() };
    let dump = sample("a.sql", sets.as_bytes());
    let mut records = Records::open_with(&dump.path, std::path::Path::new("/"), &options).unwrap();
    let mut found = Vec::new();
    while let Some(record) = records.next().unwrap() {
        let fields: Vec<(String, String)> =
            record.fields().map(|(name, field)| (name.to_owned(), format!("{field:?}"))).collect();
        found.push((record.at, fields));
    }
    let field = |name: &str, field: Field<'_>| (name.to_owned(), format!("{field:?}"));
    assert_eq!(found[0].1, [field("id", Field::Json("1")), field("name", Field::Quoted("a;, b"))]);
    assert_eq!(found[1].1, [field("id", Field::Json("2")), field("name", Field::Json("null"))]);
    assert_eq!(found.len(), 2);
    assert!(records.record_at(found[1].0).is_ok(), "a row is found again by its offset");
}

#[test]
fn bytes_may_stand_in_pieces() {
    assert_eq!(values("('1',X'00'\n'fF');"), ["id='1' name={\"$bytes\":\"00ff\"}"]);
    assert!(refusal("a.sql", "INSERT INTO g (a, b) VALUES ('1', X'00''ff');").contains("hexadecimal"));
}

#[test]
fn constants_in_every_spelling() {
    for (sql, expected) in [
        ("1.50", "1.50"),
        ("-0", "-0"),
        (".5", "0.5"),
        ("-.5e3", "-0.5e3"),
        ("+7", "7"),
        ("1.", "1"),
        ("007", "7"),
        ("1e999", "1e999"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
        ("TRUE", "true"),
        ("fAlse", "false"),
        ("E'a\\n\\'\\\\b\\x41\\101\\u00e9\\U0001F600'", "'a\n'\\bAAé😀'"),
        ("e'\\ud83d\\ude00'", "'😀'"),
        ("'a\\nb'", "'a\\nb'"),
        ("N'x'", "'x'"),
        ("B'101'", "'101'"),
        ("X'00fF'", "{\"$bytes\":\"00ff\"}"),
        ("0x00FF", "{\"$bytes\":\"00ff\"}"),
        ("'\\x00ff'", "'\\x00ff'"),
        ("U&'d\\0061t\\+000061'", "'data'"),
        ("U&'d!0061t!!' UESCAPE '!'", "'dat!'"),
        ("$$it's$$", "'it's'"),
        ("$a$ $b$ $$ $a$", "' $b$ $$ '"),
        ("'x'::uuid", "'x'"),
        ("'x'::public.\"My Type\"[]", "'x'"),
        ("'x'::character varying(20)", "'x'"),
        ("('x'::text)::timestamp with time zone", "'x'"),
        ("CAST('x' AS uuid)", "'x'"),
        ("cast(cast(5 as bigint) as numeric(10, 2))", "5"),
        ("DATE '2026-01-02'", "'2026-01-02'"),
        ("timestamp with time zone '2026-01-02'", "'2026-01-02'"),
        ("ARRAY['a','b\"']::text[]", "[\"a\",\"b\\\"\"]"),
        ("array[[1,.5],[NULL,true]]", "[[1,0.5],[null,true]]"),
        ("ARRAY[]::text[]", "[]"),
        ("'{a,b}'", "'{a,b}'"),
        ("'one'\n  'two'", "'onetwo'"),
        ("replace(replace('a\\nb\\r','\\r',char(13)),'\\n',char(10))", "'a\nb\r'"),
        ("unistr('a\\u000ab')", "'a\nb'"),
        ("(((1)))", "1"),
    ] {
        assert_eq!(texts(&format!("INSERT INTO g (a) VALUES ({sql});")), [format!("a={expected}")], "{sql}");
    }
}

#[test]
fn what_is_no_constant_is_refused() {
    for (sql, expected) in [
        ("now()", "`now` begins an expression"),
        ("1+1", "an expression"),
        ("'a' || 'b'", "an expression"),
        ("'a' 'b'", "an expression"),
        ("\"a\"", "a name in quotes"),
        ("nextval('s')", "`nextval` begins an expression"),
        ("12abc", "begins like a number"),
        ("1e", "exponent"),
        ("0xabc", "hexadecimal"),
        ("X'0g'", "hexadecimal"),
        ("$1", "a parameter"),
        ("", "a row of 0 values"),
        ("1,", "a value is missing"),
        ("1,2", "a row of 2 values, where the table has 1 columns"),
        ("E'\\u12'", "hexadecimal"),
        ("E'\\ud83d'", "no such character"),
        ("U&'\\d83d'", "surrogates"),
        ("'x", "the file ends inside a row"),
        ("ARRAY[DEFAULT]", "DEFAULT"),
        ("CAST('x')", "a cast without a type"),
    ] {
        let error = refusal("a.sql", format!("INSERT INTO g (a) VALUES ({sql});"));
        assert!(error.contains(expected), "{sql}: {error}");
    }
    let deep = format!("INSERT INTO g (a) VALUES ({}1{});", "(".repeat(10_000), ")".repeat(10_000));
    assert!(refusal("a.sql", deep).contains("nested deeper than 64 levels"));
}

#[test]
fn columns_come_from_the_header() {
    assert_eq!(texts("INSERT INTO g (name, id) VALUES ('a',1);"), ["name='a' id=1"]);
    assert_eq!(
        texts(
            "INSERT INTO g (id) VALUES (1);\nINSERT INTO \"g\" (id) VALUES (2);insert into g(\"a\"\"b\") values(3)"
        ),
        ["id=1", "id=2", "a\"b=3"]
    );
    assert_eq!(
        texts(
            "CREATE TABLE IF NOT EXISTS g (id integer PRIMARY KEY, \"b c\" numeric(10,2) DEFAULT (1), key text, CONSTRAINT x CHECK (id > 0));\nINSERT INTO g VALUES (1,2,'k');"
        ),
        ["id=1 b c=2 key='k'"]
    );
    assert_eq!(
        texts(
            "CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a+1) STORED, c int generated by default as identity);\nINSERT INTO g VALUES (1,3);INSERT INTO g VALUES (1,DEFAULT,3);INSERT INTO g VALUES (1,2,DEFAULT);"
        ),
        ["a=1 c=3", "a=1 c=3", "a=1 b=2"]
    );
    let error = refusal("a.sql", "INSERT INTO g VALUES (1);");
    assert!(error.contains("no CREATE TABLE before them"), "{error}");
    assert!(refusal("a.sql", "INSERT INTO g (a,a) VALUES (1,2);").contains("`a` is there twice"));
}

#[test]
fn everything_else_is_passed_over() {
    let dump = "\u{feff}--\n-- PostgreSQL database dump\n--\n\\restrict it's\nSET standard_conforming_strings = on;\n\
        CREATE FUNCTION f() RETURNS void AS $f$ BEGIN INSERT INTO x (a) VALUES (1); END $f$ LANGUAGE plpgsql;\n\
        /* nested /* ' */ ; */\nSELECT pg_catalog.set_config('search_path', ';', false);\n\
        CREATE TRIGGER t AFTER INSERT ON g BEGIN INSERT INTO log (a) VALUES (CASE WHEN 1 THEN 2 END); END;\n\
        INSERT INTO public.g (a) OVERRIDING SYSTEM VALUE VALUES (1);\nCOMMIT";
    assert_eq!(texts(dump), ["a=1"]);
}

#[test]
fn the_dialect_of_mysql() {
    let dump = "-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `g`;\n\
        CREATE TABLE `g` (\n  `id` int NOT NULL,\n  `a``b` text,\n  PRIMARY KEY (`id`),\n  KEY `k` (`id`)\n) ENGINE=InnoDB COMMENT='it\\'s; x';\n\
        LOCK TABLES `g` WRITE; # it's\n\
        INSERT INTO `g` VALUES (1,'it\\'s\\n\\0\\Z\\%\\\\'),(2,_binary '\\0a'),(3,\"q\"\"\\\"\"),(4,_utf8mb4 'x'),(5,0xAB);\n\
        DELIMITER ;;\n/*!50003 CREATE TRIGGER x BEGIN INSERT INTO z VALUES (1); END */;;\nDELIMITER ;\nUNLOCK TABLES;\n";
    assert_eq!(
        texts(dump),
        [
            "id=1 a`b='it's\n\0\u{1a}\\%\\'",
            "id=2 a`b={\"$bytes\":\"0061\"}",
            "id=3 a`b='q\"\"'",
            "id=4 a`b='x'",
            "id=5 a`b={\"$bytes\":\"ab\"}",
        ]
    );
    // Known by its back quotes as well, and not elsewhere.
    assert_eq!(texts("INSERT INTO `g` (`a`) VALUES ('\\'');"), ["a='''"]);
    assert_eq!(texts("INSERT INTO g (a) VALUES ('\\');"), ["a='\\'"]);
    assert_eq!(
        texts("SET standard_conforming_strings = off;INSERT INTO g (a) VALUES ('\\'\\n');"),
        ["a=''\n'"]
    );
    let binary = b"INSERT INTO `g` (`a`,`b`) VALUES (_binary '\xff\x00\\'','\xc3\xa9');";
    let sample = sample("a.sql", binary);
    let mut records = sample.open().unwrap();
    let record = records.next().unwrap().unwrap();
    assert_eq!(record.field(0), Field::Json("{\"$bytes\":\"ff0027\"}"));
    assert_eq!(record.field(1), Field::Quoted("é"));
}

#[test]
fn rows_of_copy() {
    let dump = "COPY public.g (id, \"n\") FROM stdin;\n1\tit's; \\\\ \\t\\n\\x41\\101\n2\t\\N\n3\t\n\\.\n\nCOPY public.g (id) FROM stdin;\r\n4\r\n\\.\r\n";
    assert_eq!(texts(dump), ["id='1' n='it's; \\ \t\nAA'", "id='2' n=null", "id='3' n=''", "id='4'"]);
    assert!(texts("COPY g (id) FROM stdin;\n\\.\n").is_empty());
    assert!(refusal("a.sql", "COPY g (id) FROM stdin;\n1\n").contains("ends inside the rows of COPY"));
    assert!(refusal("a.sql", "COPY g (id) FROM stdin;\n1\t2\n\\.\n").contains("a row of 2 values"));
    assert_eq!(texts("COPY g (id) FROM stdin WITH (FORMAT text, NULL '\\N');\n1\n\\.\n"), ["id='1'"]);
}

#[test]
fn rows_of_copy_as_a_sheet() {
    let read =
        |options: &str, rows: &str| texts(&format!("COPY g (a, b) FROM stdin {options};\n{rows}\n\\.\n"));
    for options in [
        "WITH (FORMAT csv)",
        "(format CSV, delimiter ',', null '', quote '\"')",
        "CSV",
        "WITH CSV NULL AS ''",
    ] {
        let rows = "1,x\r\n2,\n3,\"\"\n4,\"a \"\"b\"\", c\nd\n\\.\ne\"\n5,half \"quoted, \"cell\n\"6\",\\N";
        let found = read(options, rows);
        let first = ["a='1' b='x'", "a='2' b=null", "a='3' b=''", "a='4' b='a \"b\", c\nd\n\\.\ne'"];
        assert_eq!(found[..4], first, "{options}");
        assert_eq!(found[4..], ["a='5' b='half quoted, cell'", "a='6' b='\\N'"], "{options}");
    }
    let other = "(FORMAT csv, HEADER true, DELIMITER E'\\t', NULL '-', QUOTE '''', ESCAPE '\\')";
    assert_eq!(
        read(other, "'a\tb\nx'\ty\n1\t-\n'-'\t'it\\'s \\\\ \\n'"),
        ["a='1' b=null", "a='-' b='it's \\ \\n'"]
    );
    assert_eq!(read("CSV HEADER DELIMITER AS ';'", "\"a\nx\";b\n1;2"), ["a='1' b='2'"]);
    assert_eq!(read("WITH (FORMAT csv, HEADER off)", "a,b"), ["a='a' b='b'"]);
    assert!(texts("COPY g (a) FROM stdin CSV HEADER;\n\\.\n").is_empty());
    // A table that is not read has line ends inside of its cells too.
    let dump =
        "COPY other (a) FROM stdin CSV;\n\"\n\\.\nINSERT INTO g VALUES\"\n\\.\nINSERT INTO g (a) VALUES (1);";
    let options = ReadOptions { table: Some("g".to_owned()), ..ReadOptions::default() };
    let sample = sample("a.sql", dump.as_bytes());
    let mut records = Records::open_with(&sample.path, std::path::Path::new("/"), &options).unwrap();
    assert_eq!(records.next().unwrap().unwrap().field(0), Field::Json("1"));
    assert!(records.next().unwrap().is_none());
}

#[test]
fn a_sheet_of_copy_that_is_not_understood_is_refused() {
    for options in [
        "BINARY",
        "WITH (FORMAT binary)",
        "WITH (FORMAT csv, FORCE_NULL (a))",
        "(FORMAT csv, DELIMITER ',,')",
        "(FORMAT csv, DELIMITER '\"')",
        "(FORMAT csv, ENCODING 'latin1')",
        "(DELIMITER ';')",
        "NULL 'x'",
    ] {
        let dump = format!("COPY g (id) FROM stdin {options};\n1\n\\.\n");
        assert!(refusal("a.sql", &dump).contains("a form that is not read"), "{options}");
    }
    assert!(refusal("a.sql", "COPY g (a,b) FROM stdin CSV;\n1\n\\.\n").contains("a row of 1 values"));
    let cut = refusal("a.sql", "COPY g (a) FROM stdin CSV;\n\"1\n\\.\n");
    assert!(cut.contains("ends inside the rows of COPY"), "{cut}");
}

#[test]
fn one_table_of_several() {
    let dump = "INSERT INTO s.a (x) VALUES (1);INSERT INTO b (x) VALUES (2);\nCOPY c (x) FROM stdin;\n1'\n\\.\nINSERT INTO s.a (x) VALUES (3);INSERT INTO sqlite_sequence VALUES ('a',5);";
    let error = refusal("a.sql", dump);
    assert_eq!(
        error,
        "`a.sql` has rows of several tables: `s.a`, `b`, `c`, `sqlite_sequence`; say which of them to read"
    );
    let sample = sample("a.sql", dump.as_bytes());
    let read = |table: &str| {
        let options = ReadOptions { table: Some(table.to_owned()), ..ReadOptions::default() };
        let mut records = Records::open_with(&sample.path, sample.dir.path(), &options).unwrap();
        let mut found = Vec::new();
        while let Some(record) = records.next().map_err(|error| error.to_string())? {
            found.push(format!("{:?}", record.field(0)));
        }
        Ok::<_, String>(found)
    };
    assert_eq!(read("a").unwrap(), ["Json(\"1\")", "Json(\"3\")"]);
    assert_eq!(read("S.A").unwrap(), ["Json(\"1\")", "Json(\"3\")"]);
    assert_eq!(read("c").unwrap(), ["Quoted(\"1'\")"]);
    assert!(
        read("d")
            .unwrap_err()
            .ends_with("has no rows of a table `d`; it has rows of `s.a`, `b`, `c`, `sqlite_sequence`")
    );
}

#[test]
fn nothing_in_a_dump() {
    for dump in ["", "SELECT 1;", "CREATE TABLE g (a int);", "-- INSERT INTO g (a) VALUES (1);"] {
        let error = refusal("a.sql", dump);
        assert!(error.contains("is empty: there is no INSERT"), "{error}");
    }
}
