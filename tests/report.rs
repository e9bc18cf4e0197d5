//! One report with every kind of block, as each renderer shows it.

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use ops::report::chart::{Axis, Bin, Series};
use ops::report::{Align, Chart, Check, Document, Style, Table};
use support::golden::assert_golden;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: f64 = 1_767_225_600.0;

/// Numbers that look random and are always the same, from 0 to 1.
fn noise(count: u32) -> impl Iterator<Item = f64> {
    let mut state = 12_345_u32;
    (0..count).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1_u32 << 24)
    })
}

fn words(document: &mut Document) {
    document
        .heading(1, "Every kind of block")
        .text("A paragraph with `code` in it, and \"quotes\" & <angles>.");
    document.heading(2, "Facts and checks").facts([
        ("rows", "1,722"),
        ("source", "sqlite:///data/telemetry.db"),
        ("hostile", "</script><img src=x onerror=alert(1)> \u{202e}desrever\u{202c}"),
    ]);
    document.checks(vec![
        Check { claim: "rows in equal rows out".into(), met: true, measured: "1,722 = 1,722".into() },
        Check { claim: "truncation at most 2 %".into(), met: false, measured: "3.1 % (53 of 1,722)".into() },
    ]);
    let columns = [("stratum", Align::Left), ("n", Align::Right), ("value", Align::Code)];
    let mut table = Table::new(columns);
    table.row(["docs | low", "3", "a `tick`"]).row(["tests", "12", "<b>"]).row(["empty", "0", ""]);
    document.heading(2, "Tables, lists and code").table(table).list(["one", "two with `code`"]);
    document.heading(3, "Code").code("SELECT *\n  FROM \"glyphs\"\n WHERE a < b;\n");
}

fn amounts(document: &mut Document) {
    let scores: Vec<f64> =
        noise(1200).zip(noise(2400).skip(1200)).map(|(a, b)| (0.55 * a + 0.45 * b).min(1.0)).collect();
    let score = Chart::distribution("Integrity score", Axis::linear("score"), &scores);
    document
        .heading(2, "Amounts")
        .chart(score.mark(0.5, "threshold").note("Rows below the threshold are fragments."));
    let waste = [(1.0, 12), (2.0, 40), (5.0, 73), (10.0, 31), (20.0, 4), (50.0, 0), (100.0, 1)];
    let bins = waste.windows(2).map(|pair| Bin { from: pair[0].0, to: pair[1].0, count: pair[0].1 });
    document.chart(Chart::histogram("Waste on a logarithmic axis", Axis::log("predicted / actual"), bins));
    let strata = [
        ("implementation, high", 41.25),
        ("tests, low", 12.5),
        ("docs <low>", 7.0),
        ("refactor", f64::NAN),
        ("balance", -9.5),
    ];
    document.chart(Chart::bars("SMAPE by stratum", Axis::linear("SMAPE %"), strata).mark(25.0, "limit"));
    document.chart(Chart::stacked(
        "Outcomes by publisher",
        Axis::linear("articles"),
        ["extracted", "truncated", "no byline", "HTTP error"],
        [
            ("The Daily Example", vec![310.0, 22.0, 41.0, 7.0]),
            ("Weekly", vec![120.0, 0.0, 12.0, 64.0]),
            ("Nothing yet", vec![]),
        ],
    ));
}

fn relations(document: &mut Document) {
    let rate = |phase: f64| {
        noise(72).enumerate().map(move |(i, n)| (i, 88.0 + 3.0 * (i as f64 / 9.0 + phase).sin() + 2.0 * n))
    };
    // An hour in which nothing was measured is a gap, not a line.
    let measured = |i: usize, y: f64| if (30..42).contains(&i) { f64::NAN } else { y };
    let at = |i: usize| NEW_YEAR + 300.0 * i as f64;
    let points = rate(0.0).map(|(i, y)| [at(i), measured(i, y)]);
    let band = rate(0.0).map(|(i, y)| [at(i), measured(i, y - 3.0), measured(i, y + 3.0)]);
    let before = Series::new("before", rate(2.0).map(|(i, y)| [at(i), y - 4.0]));
    let conversion = Chart::lines(
        "Conversion during the soak",
        Axis::time("UTC"),
        Axis::linear("conversion %"),
        [Series::new("now", points).band(band), before],
    );
    document.heading(2, "Relations").chart(conversion.mark(85.0, "at least"));
    let pairs = |skip: usize, factor: f64| {
        let values: Vec<f64> = noise(400).skip(skip).collect();
        let pair = move |pair: &[f64]| {
            let predicted = 10_f64.powf(2.0 + 2.5 * pair[0]);
            [predicted, predicted * factor * 10_f64.powf(0.8 * (pair[1] - 0.5))]
        };
        values.chunks_exact(2).take(60).map(pair).collect::<Vec<_>>()
    };
    document.chart(
        Chart::scatter(
            "Predicted against actual",
            Axis::log("predicted tokens"),
            Axis::log("actual tokens"),
            [Series::new("finished", pairs(0, 0.8)), Series::new("truncated", pairs(130, 1.5))],
        )
        .diagonal("prediction = actual"),
    );
    let one = Series::new("one", [[3.0, 4.0]]);
    document.heading(2, "Almost nothing").chart(Chart::scatter(
        "One point",
        Axis::linear("x"),
        Axis::linear("y"),
        [one],
    ));
    document.chart(Chart::lines("No points", Axis::time("UTC"), Axis::linear("y"), []));
    document.chart(Chart::distribution("One value", Axis::linear("seconds"), &[2.5]));
}

#[test]
fn every_block_in_every_form() {
    let mut document = Document::new();
    words(&mut document);
    amounts(&mut document);
    relations(&mut document);
    assert_golden("report/blocks/expected/report.html", &document.html());
    assert_golden("report/blocks/expected/report.md", &document.markdown());
    assert_golden("report/blocks/expected/terminal.txt", &document.terminal(Style { colour: false }));
}
