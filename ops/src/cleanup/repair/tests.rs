//! Whole cells through all rules.

use super::*;

pub(super) fn dataset() -> Dataset {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
        without: Vec::new(),
        title: None,
        placeholders: Vec::new(),
        fill: None,
    };
    Dataset {
        name: "test".to_owned(),
        table: "test".to_owned(),
        sheet_last: Vec::new(),
        key: Vec::new(),
        columns: vec![column("text", Kind::Text), column("id", Kind::Id), column("list", Kind::List)],
        slug: None,
        duplicates: crate::cleanup::Duplicates::default(),
        score: crate::cleanup::Scoring::default(),
        artifacts: super::super::Artifacts::default(),
    }
}

/// Repairs the cells of one column, which have heard each other.
fn repaired(cells: &[&str]) -> Vec<String> {
    let mut vote = Vote::new();
    for cell in cells {
        vote.observe(0, cell);
    }
    let dataset = dataset();
    let repairer = Repairer::new(&dataset, &vote.decide(&dataset));
    let mut notes = Vec::new();
    cells
        .iter()
        .map(|cell| repairer.repair(0, cell, &mut notes).unwrap_or_else(|| (*cell).to_owned()))
        .collect()
}

#[test]
fn one_cell_alone() {
    for (seen, correct) in [
        ("itâ€™s ok", "it’s ok"),
        ("it\u{E2}\u{80}\u{99}s ok", "it’s ok"),
        ("â€”dashâ€”", "—dash—"),
        ("cafÃ©, naÃ¯ve", "café, naïve"),
        ("â€¢ dot", "• dot"),
        ("ðŸ’¡", "\u{1F4A1}"),
        ("caf√©", "café"),
        ("S\u{307}", "\u{1E60}"),
    ] {
        assert_eq!(repaired(&[seen]), [correct], "{seen}");
    }
}
