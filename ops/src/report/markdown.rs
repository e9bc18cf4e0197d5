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
        Block::Checks(checks) => checks
            .iter()
            .map(|c| format!("- [{}] {}: {}\n", if c.met { 'x' } else { ' ' }, c.claim, c.measured))
            .collect(),
    }
}
