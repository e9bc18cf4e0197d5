//! One value, many renderers: a task builds a [`Document`] once and prints it as Markdown, as HTML or for a terminal.
//!
//! Rendering is pure and canonical, so that a report can be compared byte for byte. Artifacts for programs
//! are not rendered from a document: they are their own serialised types.

pub mod chart;
mod escape;
mod html;
mod markdown;
mod table;
mod terminal;

pub use chart::Chart;
pub use table::{Align, Table};

/// A report, in reading order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    blocks: Vec<Block>,
}

/// One part of a report.
#[derive(Debug, Clone, PartialEq)]
enum Block {
    Heading(u8, String),
    Text(String),
    Facts(Vec<(String, String)>),
    Table(Table),
    Checks(Vec<Check>),
    List(Vec<String>),
    Code(String),
    Chart(Chart),
}

/// A line of a checklist: what must hold, whether it does, and what was measured.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What must hold, as a sentence without a full stop.
    pub claim: String,
    /// Whether it holds.
    pub met: bool,
    /// What was measured.
    pub measured: String,
}

/// How a terminal report may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether escape codes for colour and weight may be written.
    pub colour: bool,
}

impl Document {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a heading; level 1 is the title.
    pub fn heading(&mut self, level: u8, text: impl Into<String>) -> &mut Self {
        self.push(Block::Heading(level, text.into()))
    }

    /// Adds a paragraph of one line.
    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Block::Text(text.into()))
    }

    /// Adds facts: a name and a value each.
    pub fn facts<N: Into<String>, V: Into<String>>(
        &mut self,
        facts: impl IntoIterator<Item = (N, V)>,
    ) -> &mut Self {
        self.push(Block::Facts(facts.into_iter().map(|(n, v)| (n.into(), v.into())).collect()))
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.push(Block::Table(table))
    }

    /// Adds a checklist.
    pub fn checks(&mut self, checks: Vec<Check>) -> &mut Self {
        self.push(Block::Checks(checks))
    }

    /// Adds a list of sentences.
    pub fn list<S: Into<String>>(&mut self, items: impl IntoIterator<Item = S>) -> &mut Self {
        self.push(Block::List(items.into_iter().map(Into::into).collect()))
    }

    /// Adds lines that are to be read character by character, such as commands or a value of many lines.
    pub fn code(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Block::Code(text.into()))
    }

    /// Adds a chart: drawn in HTML, in characters elsewhere.
    pub fn chart(&mut self, chart: Chart) -> &mut Self {
        self.push(Block::Chart(chart))
    }

    /// Adds everything of another report.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.blocks.extend(other.blocks);
        self
    }

    fn push(&mut self, block: Block) -> &mut Self {
        self.blocks.push(block);
        self
    }

    /// The report as Markdown, ending in one line feed.
    pub fn markdown(&self) -> String {
        markdown::render(&self.blocks)
    }

    /// The report as one HTML file that needs nothing else: no script, no font, no network.
    pub fn html(&self) -> String {
        html::render(&self.blocks)
    }

    /// The report for a terminal, ending in one line feed.
    pub fn terminal(&self, style: Style) -> String {
        terminal::render(&self.blocks, style)
    }
}

/// A number with `decimals` decimals, or a dash where there is none.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.decimals$}"))
}

/// A percentage with one decimal, or a dash where there is none.
pub fn percentage(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.1} %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Document {
        let mut table = Table::new([("stratum", Align::Left), ("n", Align::Right)]);
        table.row(["docs | low", "3"]);
        table.row(["tests", "12"]);
        let mut document = Document::new();
        document.heading(1, "Title").text("One line.").facts([("a", "1"), ("long name", "2")]);
        document.heading(2, "Part").table(table).checks(vec![
            Check { claim: "rows add up".into(), met: true, measured: "3 = 3".into() },
            Check { claim: "few truncations".into(), met: false, measured: "12.0 %".into() },
        ]);
        document
    }

    #[test]
    fn markdown() {
        assert_eq!(
            sample().markdown(),
            "# Title\n\nOne line.\n\n- a: 1\n- long name: 2\n\n## Part\n\n\
             | stratum    |  n |\n|:-----------|---:|\n| docs \\| low |  3 |\n| tests      | 12 |\n\n\
             - [x] rows add up: 3 = 3\n- [ ] few truncations: 12.0 %\n"
        );
    }

    #[test]
    fn terminal_without_colour_is_plain() {
        assert_eq!(
            sample().terminal(Style { colour: false }),
            "Title\n=====\n\nOne line.\n\n  a          1\n  long name  2\n\nPart\n----\n\n\
             \u{20}\u{20}stratum      n\n  ----------  --\n  docs | low   3\n  tests       12\n\n\
             \u{20}\u{20}met      rows add up: 3 = 3\n  not met  few truncations: 12.0 %\n"
        );
        assert!(sample().terminal(Style { colour: true }).contains("\u{1b}[1m"));
    }

    #[test]
    fn what_must_be_read_exactly_is_marked_as_code() {
        let mut table = Table::new([("value", Align::Code)]);
        table.row(["a|b <i>"]).row(["`tick`"]).row([""]);
        let mut document = Document::new();
        document.list(["one", "two"]).table(table).code("run it\n```\n");
        assert_eq!(
            document.markdown(),
            "- one\n- two\n\n| value        |\n|:-------------|\n| `a\\|b <i>`   |\n| `` `tick` `` |\n|              |\n\n\
             ````\nrun it\n```\n````\n"
        );
        assert_eq!(
            document.terminal(Style { colour: false }),
            "  - one\n  - two\n\n  value\n  -------\n  a|b <i>\n  `tick`\n\n\n    run it\n    ```\n"
        );
    }

    #[test]
    fn missing_numbers_are_dashes() {
        assert_eq!(number(None, 1), "–");
        assert_eq!(number(Some(2.485_7), 2), "2.49");
        assert_eq!(percentage(Some(16.0)), "16.0 %");
    }
}
