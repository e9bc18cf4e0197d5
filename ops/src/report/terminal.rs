//! Reports for a terminal. Meaning never depends on colour: every mark is also a word.

use super::table::{Align, pad};
use super::{Block, Style};

const BOLD: &str = "\u{1b}[1m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";

pub(super) fn render(blocks: &[Block], style: Style) -> String {
    let parts: Vec<String> = blocks.iter().map(|b| block(b, style)).filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.colour { format!("{code}{text}{RESET}") } else { text.to_owned() }
}

fn block(block: &Block, style: Style) -> String {
    match block {
        Block::Heading(level, text) => {
            let rule = match level {
                1 => "=",
                2 => "-",
                _ => return format!("{}\n", paint(text, BOLD, style)),
            };
            format!("{}\n{}\n", paint(text, BOLD, style), rule.repeat(text.chars().count()))
        }
        Block::Text(text) => format!("{text}\n"),
        Block::Facts(facts) => {
            let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            facts
                .iter()
                .map(|(name, value)| format!("  {}  {value}\n", pad(name, width, Align::Left)))
                .collect()
        }
        Block::Table(table) => {
            let mut lines = table.lines();
            lines[0] = paint(&lines[0], BOLD, style);
            lines.join("\n") + "\n"
        }
        Block::List(items) => items.iter().map(|item| format!("  - {item}\n")).collect(),
        Block::Code(text) => text.lines().map(|line| format!("    {line}\n")).collect(),
        Block::Checks(checks) => checks
            .iter()
            .map(|c| {
                let mark = if c.met { paint("met    ", GREEN, style) } else { paint("not met", RED, style) };
                format!("  {mark}  {}: {}\n", c.claim, c.measured)
            })
            .collect(),
        Block::Chart(chart) => render(&super::chart::blocks(chart), style),
    }
}
