//! What is a reading, and what is none.

use super::*;

/// Answers by the first word of a statement, and by the name of a table.
#[derive(Default)]
struct World {
    asked: Vec<String>,
}

impl Answers for World {
    fn sql(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, String> {
        self.asked.push(sql.to_owned());
        let (five, four) = (Cell::Int(5), Cell::Int(4));
        Ok(match sql.split_whitespace().next() {
            Some("all") => vec![vec![five.clone(), five]],
            Some("bad") => vec![vec![five, four]],
            Some("null") => vec![vec![Cell::Null, Cell::Int(0)]],
            Some("two") => vec![vec![], vec![]],
            Some("one") => vec![vec![Cell::Int(1)]],
            Some("keys") => (0..30).map(|key| vec![Cell::Int(key)]).collect(),
            _ => return Err("no such table: profiles".to_owned()),
        })
    }

    fn rows(&mut self, question: &Question<'_>) -> Result<Vec<Line>, String> {
        let conditions: Vec<String> = question.rows.conditions.iter().map(ToString::to_string).collect();
        let within = question.within.map(|(column, keys)| format!(" {column} in {}", keys.join(",")));
        self.asked.push(format!(
            "{} {}{}",
            question.rows.table,
            conditions.join(", "),
            within.unwrap_or_default()
        ));
        let text = |text: &str| Some(text.to_owned());
        Ok(match question.rows.table.as_str() {
            "profiles" => vec![
                vec![text("a"), text("v2")],
                vec![text("b"), text("v1")],
                vec![text("c"), None],
                vec![text("d"), text("v2")],
            ],
            "sessions" => vec![vec![text("a")], vec![text("b")], vec![text("c")]],
            "results" => {
                vec![vec![text("r1"), text("a")], vec![text("r2"), text("a")], vec![text("r3"), text("c")]]
            }
            other => return Err(format!("no such table: {other}")),
        })
    }
}

fn metric(text: &str) -> MetricSettings {
    let head = "name = 'm'\nwhat = 'units'\nrule = { never = { hidden_max = 0.05 } }\n";
    toml::from_str(&format!("{head}{text}")).unwrap()
}

fn read_in(world: &mut World, text: &str, left_out: &[&str]) -> Result<Reading, String> {
    let soak = Soak { started: "2026-01-02T03:00:00Z".to_owned(), ..Soak::new("s", Vec::new()) };
    let left_out = left_out.iter().map(|key| (*key).to_owned()).collect();
    let asking = Asking { metrics: &[], left_out: &left_out, public: None };
    asking.read(&metric(text), world, &soak, Stamp::parse("2026-01-02T05:00:00Z").unwrap())
}

fn read(text: &str, left_out: &[&str]) -> Result<Reading, String> {
    read_in(&mut World::default(), text, left_out)
}

fn counted(units: u64, good: u64, bad: &[&str]) -> Reading {
    Reading::Counted { units, good, bad: bad.iter().map(|key| (*key).to_owned()).collect() }
}

#[test]
fn an_answer_that_is_not_two_counts_is_a_failed_reading() {
    for (sql, reason) in [
        ("null", "expected two whole numbers, found null and 0"),
        ("two", "expected one row of units and good ones, found 2 rows"),
        ("one", "expected two numbers, units and good ones, found 1 columns"),
        ("none", "no such table: profiles"),
    ] {
        assert_eq!(read(&format!("sql = '{sql}'"), &[]), Err(reason.to_owned()));
    }
}

#[test]
fn bad_units_are_named_only_where_there_are_some() {
    let mut world = World::default();
    let Ok(Reading::Counted { bad, .. }) = read_in(&mut world, "sql = 'bad'\nbad = 'keys'", &[]) else {
        panic!()
    };
    assert_eq!((bad.len(), bad[1].as_str()), (BAD_KEPT, "1"));
    assert_eq!(read_in(&mut world, "sql = 'all'\nbad = 'keys'", &[]), Ok(counted(5, 5, &[])));
    assert_eq!(world.asked, ["bad", "keys", "all"]);
}

#[test]
fn names_are_put_into_a_statement_as_quoted_text() {
    let names = [("started", "t"), ("until", "u")];
    assert_eq!(
        fill("x > {started} AND x < {until} AND r <> {run}", &names, Some("o'k")),
        "x > 't' AND x < 'u' AND r <> 'o''k'"
    );
    assert_eq!(fill("r IS NOT {run}", &names, None), "r IS NOT NULL");
}

#[test]
fn a_unit_without_a_value_is_bad() {
    let version = "units = { table = 'profiles', key = ['id'] }\ngood = { version = 'v2' }\n";
    assert_eq!(read(version, &["b"]), Ok(counted(4, 2, &["b", "c"])));
    // Only where the metric says so is anything left out.
    assert_eq!(read(&format!("{version}without_run = true"), &["b", "x"]), Ok(counted(3, 2, &["c"])));
    assert_eq!(read(&version.replace("profiles", "nothing"), &[]), Err("no such table: nothing".to_owned()));
}

#[test]
fn a_unit_is_good_where_it_is_found() {
    let found = |table: &str| {
        format!(
            "units = {{ table = 'sessions', key = ['id'], where = ['at >= {{started}}', 'at <= {{until}}'] }}\n\
             settle = '10m'\nfound_in = {{ rows = {{ table = '{table}', key = ['id'] }}, by = 'session_id' }}"
        )
    };
    let mut world = World::default();
    assert_eq!(read_in(&mut world, &found("results"), &[]), Ok(counted(3, 2, &["b"])));
    assert_eq!(world.asked, ["sessions at >= {started}, at <= {until}", "results  session_id in a,b,c"]);
    assert_eq!(read(&found("nothing"), &[]), Err("no such table: nothing".to_owned()));
    let now = Stamp::parse("2026-01-02T05:00:00Z").unwrap();
    assert_eq!(until(now, &metric(&found("results"))), "2026-01-02T04:50:00Z");
}
