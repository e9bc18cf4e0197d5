//! Reports as Markdown. Blocks are separated by one blank line; the text ends in one line feed.

use super::Block;

pub(super) fn render(blocks: &[Block]) -> String {
    let parts: Vec<String> = blocks.iter().map(block).filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(level, text) => format!("{} {text}\n", "#".repeat(usize::from(*level))),
        Block::Text(text) => format!("{text}\n"),
        Block::Facts(facts) => facts.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect(),
        Block::Table(table) => table.markdown(),
        Block::List(items) => items.iter().map(|item| format!("- {item}\n")).collect(),
        Block::Code(text) => {
            let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
            format!("{fence}\n{}\n{fence}\n", text.trim_end_matches('\n'))
        }
        Block::Checks(checks) => checks
            .iter()
            .map(|c| format!("- [{}] {}: {}\n", if c.met { 'x' } else { ' ' }, c.claim, c.measured))
            .collect(),
        Block::Chart(chart) => render(&super::chart::blocks(chart)),
    }
}

/// Text of any content as code inside a line.
pub(super) fn code_span(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}
