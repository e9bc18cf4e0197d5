//! Charts of ordinary and of hostile numbers, as text and as drawings.

use super::*;
use crate::report::{Document, Style};

fn texts(chart: &Chart) -> [String; 3] {
    let mut document = Document::new();
    document.chart(chart.clone());
    [document.terminal(Style { colour: false }), document.markdown(), document.html()]
}

fn all_kinds(values: &[f64]) -> Vec<Chart> {
    let axes = || [Axis::linear("v"), Axis::log("v"), Axis::time("v")];
    let pairs = || values.iter().flat_map(|a| values.iter().map(move |b| [*a, *b]));
    let series = || [Series::new("a", pairs()).band(pairs().map(|[a, b]| [a, b, a])), Series::new("b", [])];
    let mut charts = Vec::new();
    for x in axes() {
        charts.push(Chart::bars("t", x.clone(), values.iter().map(|v| ("n", *v))));
        charts.push(Chart::stacked("t", x.clone(), ["p", "q"], values.iter().map(|v| ("n", vec![*v, 1.0]))));
        charts.push(Chart::distribution("t", x.clone(), values));
        charts.push(Chart::histogram(
            "t",
            x.clone(),
            values.iter().map(|v| Bin { from: *v, to: v + 1.0, count: u64::MAX }),
        ));
        for y in axes() {
            charts.push(Chart::lines("t", x.clone(), y.clone(), series()));
            charts.push(Chart::scatter("t", x.clone(), y.clone(), series()));
            charts.push(Chart::scatter("t", x.clone(), y, series()).diagonal("same"));
        }
    }
    let marked = |chart: Chart| values.iter().fold(chart, |chart, v| chart.mark(*v, "m"));
    charts.into_iter().map(marked).collect()
}

#[test]
fn no_numbers_break_a_chart() {
    let hostile: [&[f64]; 7] = [
        &[],
        &[0.0],
        &[7.0],
        &[-3.0, 3.0],
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        &[f64::MAX, f64::MIN, 0.0, -0.0],
        &[f64::MIN_POSITIVE, 5e-324, 1.0, f64::NAN],
    ];
    for values in hostile {
        for chart in all_kinds(values) {
            let [_, _, html] = texts(&chart);
            let drawing = &html[html.find("<svg").unwrap()..html.find("</svg>").unwrap()];
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{chart:?}\n{drawing}");
        }
    }
}

#[test]
fn text_of_any_content_stays_text() {
    let bad = "</script>\"'<b>\u{202e}\n`";
    let axis = || Axis::linear(bad);
    let series = || [Series::new(bad, [[1.0, 2.0]]), Series::new(bad, [[1.0, 2.0]])];
    for chart in [
        Chart::bars(bad, axis(), [(bad, 1.0)]),
        Chart::stacked(bad, axis(), [bad, bad], [(bad, vec![1.0])]),
        Chart::distribution(bad, axis(), &[1.0]),
        Chart::lines(bad, axis(), axis(), series()),
        Chart::scatter(bad, axis(), axis(), series()).diagonal(bad),
    ] {
        let [_, markdown, html] = texts(&chart.note(bad).mark(1.0, bad));
        for never in ["</script", "<b>", "\u{202e}"] {
            assert!(!html.contains(never), "{never} {html}");
        }
        assert!(html.contains("⟨U+202E⟩"));
        assert!(markdown.starts_with("#### </script>"), "{markdown}");
    }
}

#[test]
fn every_number_is_in_the_table_of_the_drawing() {
    let chart = Chart::lines(
        "Rate",
        Axis::time("time"),
        Axis::linear("%"),
        [Series::new("rate", [[0.0, 85.25], [300.0, f64::NAN]]).band([[0.0, 80.5, 90.125]])],
    );
    let [_, _, html] = texts(&chart.mark(85.0, "bound"));
    for cell in ["1970-01-01T00:00:00Z", "85.25", "80.5", "90.125", "1970-01-01T00:05:00Z", "–"] {
        assert!(html.contains(&format!("<td class=\"n\">{cell}</td>")), "{cell}\n{html}");
    }
    assert!(html.contains("1 value without a place in the drawing."));
    assert!(html.contains("Reference: bound at 85."));
}

#[test]
fn bars_are_long_as_their_numbers() {
    let [terminal, markdown, _] =
        texts(&Chart::bars("Size", Axis::linear("MiB"), [("a", 4.0), ("bb", -1.0), ("c", 0.0)]));
    assert_eq!(
        terminal,
        "Size\n\n      MiB\n  --  ---  ------------------------\n  a     4  ████████████████████████\n  \
         bb   -1  -██████\n  c     0\n"
    );
    assert!(markdown.contains("| bb |  -1 | -██████"), "{markdown}");
}

#[test]
fn numbers_beside_bars_are_short_and_no_reference_line_crosses_them() {
    let rows = [("a", 77.160_49), ("b", 1554.59), ("c", 12_345_678.0), ("d", 0.838_968)];
    let chart = Chart::bars("t", Axis::linear("x"), rows).mark(80.0, "good above");
    let drawing = svg(&chart, 1);
    for text in [">77.16<", ">1555<", ">12345678<", ">0.839<", "<title>a: 77.1605</title>"] {
        assert!(drawing.contains(text), "{text}: {drawing}");
    }
    assert!(drawing.find("class=\"mark\"") < drawing.find(">77.16<"), "{drawing}");
}

#[test]
fn a_name_beside_a_line_has_the_marker_of_the_line() {
    let series = ["one", "two"].map(|name| Series::new(name, [[0.0, 1.0], [1.0, 0.0]]));
    let drawing = svg(&Chart::lines("t", Axis::linear("x"), Axis::linear("y"), series), 1);
    for (look, name) in [("s0", "one"), ("s1", "two")] {
        let before = &drawing[..drawing.find(&format!(">{name}</text>")).unwrap()];
        assert!(before.lines().rev().nth(1).unwrap().contains(&format!("class=\"m {look}\"")), "{drawing}");
    }
}

#[test]
fn lines_have_a_shape_in_characters() {
    let rising = Series::new("r", (0..8).map(|i| [f64::from(i), f64::from(i)]));
    let broken = Series::new("b", [[0.0, 1.0], [1.0, f64::NAN], [2.0, 1.0]]);
    let [terminal, ..] = texts(&Chart::lines("L", Axis::linear("x"), Axis::linear("y"), [rising, broken]));
    assert!(terminal.contains("▁▂▃▄▅▆▇█"), "{terminal}");
    assert!(terminal.contains("▄·▄"), "{terminal}");
}

#[test]
fn drawings_stay_small_whatever_the_data() {
    let many = (0..200_000_u32).map(|i| [f64::from(i), f64::from(i * 7919 % 1000)]);
    let points: Vec<[f64; 2]> = many.collect();
    for chart in [
        Chart::lines("t", Axis::linear("x"), Axis::linear("y"), [Series::new("s", points.clone())]),
        Chart::scatter("t", Axis::linear("x"), Axis::linear("y"), [Series::new("s", points.clone())]),
    ] {
        let [terminal, _, html] = texts(&chart);
        assert!(html.contains("198000 more rows"));
        assert!(terminal.len() < 10_000);
        assert!(html.len() < 5_000_000, "{}", html.len());
    }
    let drawing =
        svg(&Chart::lines("t", Axis::linear("x"), Axis::linear("y"), [Series::new("s", points)]), 1);
    assert!(drawing.len() < 60_000, "{}", drawing.len());
}
