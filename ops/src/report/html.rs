//! Reports as HTML: one file that needs nothing else and runs nothing, for screens light and dark and for paper.
//!
//! All text is of unknown origin here: it is escaped, and what would be invisible in it is shown. The same report
//! gives the same bytes.

use super::chart::{self, Chart};
use super::escape::escape;
use super::{Align, Block, Table};

/// Reports with at least so many parts begin with a list of them.
const CONTENTS_MIN: usize = 4;
/// Longer tables of the numbers of a chart are cut there, and say so.
const CHART_ROWS_MAX: usize = 2_000;

pub(super) fn render(blocks: &[Block]) -> String {
    let title = blocks.iter().find_map(|block| match block {
        Block::Heading(1, text) => Some(text.as_str()),
        _ => None,
    });
    let mut body = String::new();
    let contents = contents(blocks);
    let mut is_listed = contents.is_empty();
    let mut charts = 0;
    for (number, block) in blocks.iter().enumerate() {
        if !is_listed && matches!(block, Block::Heading(2, _)) {
            body.push_str(&contents);
            is_listed = true;
        }
        charts += usize::from(matches!(block, Block::Chart(_)));
        body.push_str(&element(block, number, charts));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title.unwrap_or("Report")),
        include_str!("html/style.css").replace("\r\n", "\n"),
    )
}

/// Links to the headings of level 2, when there are several.
fn contents(blocks: &[Block]) -> String {
    let headings = blocks.iter().enumerate().filter_map(|(number, block)| match block {
        Block::Heading(2, text) => {
            Some(format!("<li><a href=\"#part-{number}\">{}</a></li>\n", inline(text)))
        }
        _ => None,
    });
    let links: Vec<String> = headings.collect();
    if links.len() < CONTENTS_MIN {
        return String::new();
    }
    format!("<nav aria-label=\"Contents\">\n<ul>\n{}</ul>\n</nav>\n", links.concat())
}

fn element(block: &Block, number: usize, charts: usize) -> String {
    match block {
        Block::Heading(level, text) => {
            let level = (*level).clamp(1, 6);
            format!("<h{level} id=\"part-{number}\">{}</h{level}>\n", inline(text))
        }
        Block::Text(text) => format!("<p>{}</p>\n", inline(text)),
        Block::Facts(facts) => {
            let fact = |(name, value): &(String, String)| {
                format!("<div><dt>{}</dt><dd>{}</dd></div>\n", inline(name), inline(value))
            };
            wrapped("<dl>\n", facts.iter().map(fact), "</dl>\n")
        }
        Block::Table(table) => self::table(table),
        Block::List(items) => {
            wrapped("<ul>\n", items.iter().map(|item| format!("<li>{}</li>\n", inline(item))), "</ul>\n")
        }
        Block::Code(text) => {
            format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(text.trim_end_matches('\n')))
        }
        Block::Checks(checks) => {
            let check = |c: &super::Check| {
                let (class, mark) = if c.met { ("met", "✓ met") } else { ("unmet", "✗ not met") };
                let (claim, measured) = (inline(&c.claim), inline(&c.measured));
                format!(
                    "<li><span class=\"{class}\">{mark}</span> <span>{claim}: <b>{measured}</b></span></li>\n"
                )
            };
            wrapped("<ul class=\"checks\">\n", checks.iter().map(check), "</ul>\n")
        }
        Block::Chart(chart) => figure(chart, charts),
    }
}

fn wrapped(start: &str, items: impl Iterator<Item = String>, end: &str) -> String {
    let items: String = items.collect();
    if items.is_empty() { items } else { format!("{start}{items}{end}") }
}

/// Text of one line, with what stands between backticks as code.
fn inline(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) || text.contains("``") {
        return escape(text);
    }
    let part = |(i, part): (usize, &&str)| match i % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.iter().enumerate().map(part).collect()
}

fn table(table: &Table) -> String {
    let mut out = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\">\n<table>\n<thead><tr>",
    );
    let side = |align: &Align| if *align == Align::Right { " class=\"n\"" } else { "" };
    for (name, align) in table.columns() {
        out.push_str(&format!("<th scope=\"col\"{}>{}</th>", side(align), inline(name)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in table.rows() {
        out.push_str("<tr>");
        for (cell, (_, align)) in row.iter().zip(table.columns()) {
            let cell = match align {
                Align::Code if cell.is_empty() => String::new(),
                Align::Code => format!("<code>{}</code>", escape(cell)),
                Align::Left | Align::Right => inline(cell),
            };
            out.push_str(&format!("<td{}>{cell}</td>", side(align)));
        }
        out.push_str("</tr>\n");
    }
    out + "</tbody>\n</table>\n</div>\n"
}

fn figure(chart: &Chart, number: usize) -> String {
    let (data, left_out) = chart.table(CHART_ROWS_MAX);
    let caption = chart.caption().map(|text| format!("<p>{}</p>\n", inline(&text))).unwrap_or_default();
    let rest =
        if left_out > 0 { format!("<p>{left_out} more rows are not listed.</p>\n") } else { String::new() };
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n<div class=\"drawing\">\n{}</div>\n{caption}\
         <details><summary>Data of the chart</summary>\n{}{rest}</details>\n</figure>\n",
        inline(chart.title()),
        chart::svg(chart, number),
        table(&data),
    )
}
