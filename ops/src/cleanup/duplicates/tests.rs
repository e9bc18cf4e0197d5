//! Clusters of whole tables, and what must hold for every table.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{
    Cause, Cell, Clash, Column, Dataset, Duplicates, Kind, Policy, Scoring, Slug, Survivor, slug,
};
use super::*;

type Table = Vec<[&'static str; 4]>;

/// Rows of id, owner, name and text.
fn dataset(duplicates: Duplicates) -> Dataset {
    let column = |name: &str| Column {
        name: name.to_owned(),
        kind: Kind::Text,
        without: Vec::new(),
        title: None,
        placeholders: Vec::new(),
        fill: None,
    };
    Dataset {
        name: "test".to_owned(),
        table: "test".to_owned(),
        sheet_last: Vec::new(),
        key: vec!["id".to_owned()],
        columns: ["id", "owner", "name", "text"].map(column).to_vec(),
        slug: Some(Slug {
            from: "name".to_owned(),
            to: "slug".to_owned(),
            max_chars: 120,
            clash: Clash::Merge,
        }),
        duplicates,
        score: Scoring::default(),
        artifacts: crate::cleanup::Artifacts::default(),
    }
}

fn all(merge: &[Cause]) -> Duplicates {
    Duplicates {
        within: vec!["owner".to_owned()],
        near: vec!["text".to_owned()],
        merge: merge.to_vec(),
        ..Duplicates::default()
    }
}

fn cells<'a>(row: &[&'a str]) -> Vec<Cell<'a>> {
    row.iter()
        .map(|text| if text.is_empty() { Cell::Null } else { Cell::Text(Cow::Borrowed(text)) })
        .collect()
}

fn found<R: AsRef<[&'static str]>>(dataset: &Dataset, rows: &[R], memory: usize) -> (Vec<Cluster>, Skipped) {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Keys::new(dataset);
    let mut finder = Finder::new(dataset, dir.path(), memory);
    for (ordinal, row) in rows.iter().enumerate() {
        let cells = cells(row.as_ref());
        let slug = slug::slug(cells[2].text().unwrap_or_default(), 120);
        let mut keyed = Keyed::default();
        keys.add(ordinal as u64, (&cells, slug.as_deref(), 0.5), &mut keyed);
        finder.add(&keyed).unwrap();
    }
    let mut clusters = finder.finish().unwrap();
    let mut out = Vec::new();
    while let Some(cluster) = clusters.next().unwrap() {
        out.push(cluster);
    }
    let members: BTreeSet<u64> = out.iter().flat_map(|cluster| cluster.members.iter().copied()).collect();
    for ordinal in 0..rows.len() as u64 + 65 {
        assert_eq!(clusters.has(ordinal), members.contains(&ordinal));
    }
    (out, clusters.skipped())
}

fn summary(clusters: &[Cluster]) -> Vec<(bool, Vec<Cause>, Vec<u64>)> {
    clusters.iter().map(|c| (c.merged, c.causes.clone(), c.members.clone())).collect()
}

const HARBOR: &str = "Mist over the harbor at dawn, thick and slow to lift from the cold grey water today.";
const HARBOR_AGAIN: &str =
    "Mist over the harbor at dawn, thick and slow to lift from the cold grey water now.";
const HARBOR_TURNED: &str =
    "Over the harbor at dawn: MIST, thick and slow to lift — from the cold grey water today";

fn table() -> Table {
    vec![
        ["1", "ann", "Half-lit Harbor", HARBOR],
        ["2", "ann", "half lit harbor!", "Something else altogether, with words of its own."],
        ["3", "bob", "Half-lit Harbor", HARBOR],
        ["4", "ann", "Another", HARBOR_AGAIN],
        ["5", "ann", "Third", HARBOR_TURNED],
        ["6", "ann", "\u{1F525}", ""],
        ["7", "ann", "\u{1F4A1}", ""],
        ["8", "bob", "Half-lit Harbor", HARBOR],
    ]
}

#[test]
fn each_cause_makes_its_own_proposals() {
    let (clusters, skipped) = found(&dataset(all(&[])), &table(), 1 << 20);
    assert_eq!(
        summary(&clusters),
        [
            (false, vec![Cause::Slug], vec![0, 1]),
            (false, vec![Cause::Near], vec![0, 3, 4]),
            // Equal rows have equal slugs and words, which says nothing new.
            (false, vec![Cause::Exact], vec![2, 7]),
        ]
    );
    assert_eq!(skipped, Skipped::default());
}

#[test]
fn declared_causes_are_merged_together() {
    let (clusters, _) = found(&dataset(all(&[Cause::Slug, Cause::Near])), &table(), 1 << 20);
    assert_eq!(
        summary(&clusters),
        [
            (true, vec![Cause::Slug, Cause::Near], vec![0, 1, 3, 4]),
            (true, vec![Cause::Slug, Cause::Near], vec![2, 7])
        ]
    );
}

#[test]
fn rows_without_words_and_letters_are_like_no_other() {
    let rows = [["1", "", "", ""], ["2", "", "", ""], ["3", "", "—", "…"], ["4", "", "?!", "\u{1F525}"]];
    assert_eq!(found(&dataset(all(&[Cause::Exact])), &rows, 1 << 20).0, []);
}

#[test]
fn the_survivor_is_the_declared_one() {
    let rows = [
        ["1", "", "a b", "short text"],
        ["2", "", "a b", "a longer text"],
        ["3", "", "A B", "a longer text"],
    ];
    for (survivor, expected) in
        [(Survivor::First, 0), (Survivor::Longest("text".to_owned()), 1), (Survivor::Best, 0)]
    {
        let duplicates = Duplicates { survivor, merge: vec![Cause::Slug], ..Duplicates::default() };
        let (clusters, _) = found(&dataset(duplicates), &rows, 1 << 20);
        assert_eq!((clusters[0].survivor, clusters[0].members.len()), (expected, 3));
    }
}

#[test]
fn a_phrase_that_all_rows_share_is_not_compared_without_end() {
    let texts: Vec<String> = (0..3000).map(|n| format!("where light meets water {n}")).collect();
    let rows: Vec<Vec<&'static str>> =
        texts.into_iter().map(|text| vec!["", "", "", &*Box::leak(text.into_boxed_str())]).collect();
    let duplicates = Duplicates { near: vec!["text".to_owned()], similarity: 0.9, ..Duplicates::default() };
    let (clusters, skipped) = found(&dataset(duplicates), &rows, 1 << 20);
    assert_eq!(clusters, []);
    assert_eq!(skipped.biggest, 3000);
    assert!(skipped.pairs > 1_000_000, "{skipped:?}");
}

#[test]
fn gaps_are_filled_and_nothing_is_replaced() {
    let mut dataset = dataset(all(&[]));
    dataset.columns[2].kind = Kind::List;
    dataset.columns[3].placeholders = vec!["import*".to_owned()];
    let json = |text: &'static str| Cell::Text(Cow::Borrowed(text));
    let rows = [
        vec![json("1"), Cell::Null, json(r#"["tide","harbor"]"#), json("Import 7")],
        vec![json("2"), json(" "), json(r#"["fog","tide"]"#), json("second")],
        vec![json("3"), json("ann"), Cell::Absent, json("third")],
    ];
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(Vec::as_slice).collect();
    let merged = merge(&dataset, &rows, 0);
    assert_eq!(merged.cells, [json("1"), json("ann"), json(r#"["tide","harbor","fog"]"#), json("second")]);
    assert_eq!(merged.from, [vec![0], vec![2], vec![0, 1], vec![1]]);
    dataset.duplicates.policy = Policy::Keep;
    let kept = merge(&dataset, &rows, 1);
    assert_eq!(kept.cells, rows[1]);
    assert_eq!(kept.from, [vec![1], vec![], vec![1], vec![1]]);
}

/// Few words, so that rows are often alike.
fn any_row() -> impl Strategy<Value = [&'static str; 4]> {
    let text = prop::sample::select(vec![
        "",
        "a",
        "b",
        "A!",
        "ä",
        "a b c d e f g h",
        "a b c d e f g x",
        "h g f e d c b a",
        "b c d e f g h a",
        HARBOR,
        HARBOR_AGAIN,
        HARBOR_TURNED,
    ]);
    let id = prop::sample::select(vec!["1", "2", "3", "4", "5"]);
    (id, prop::sample::select(vec!["", "ann"]), text.clone(), text)
        .prop_map(|(id, owner, name, text)| [id, owner, name, text])
}

/// A cluster with its rows' contents instead of their places.
type Content = (String, bool, Vec<Cause>, Vec<[&'static str; 4]>);

fn contents(clusters: &[Cluster], rows: &[[&'static str; 4]]) -> BTreeSet<Content> {
    clusters
        .iter()
        .map(|cluster| {
            let mut members: Vec<_> =
                cluster.members.iter().map(|at| rows[usize::try_from(*at).unwrap()]).collect();
            members.sort_unstable();
            (cluster.id.clone(), cluster.merged, cluster.causes.clone(), members)
        })
        .collect()
}

fn any_causes() -> impl Strategy<Value = Vec<Cause>> {
    prop::sample::subsequence(vec![Cause::Exact, Cause::Slug, Cause::Near], 0..=3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn clusters_do_not_depend_on_the_order_of_rows(
        (rows, shuffled) in prop::collection::vec(any_row(), 0..40).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        merge in any_causes(),
    ) {
        let dataset = dataset(all(&merge));
        let (straight, _) = found(&dataset, &rows, 1 << 20);
        // Hardly any memory: all is sorted on disk.
        let (mixed, _) = found(&dataset, &shuffled, 4000);
        prop_assert_eq!(contents(&straight, &rows), contents(&mixed, &shuffled));
    }

    #[test]
    fn rows_in_are_rows_out_and_merged(rows in prop::collection::vec(any_row(), 0..40), merge in any_causes()) {
        let (clusters, _) = found(&dataset(all(&merge)), &rows, 1 << 20);
        let mut taken = BTreeMap::new();
        let mut firsts = Vec::new();
        for cluster in &clusters {
            prop_assert!(cluster.members.len() > 1 && cluster.members.is_sorted());
            prop_assert!(cluster.members.contains(&cluster.survivor));
            prop_assert_eq!(cluster.merged, cluster.causes.iter().any(|cause| merge.contains(cause)));
            firsts.push(cluster.members[0]);
            for member in cluster.members.iter().filter(|_| cluster.merged) {
                prop_assert!(taken.insert(*member, cluster.survivor).is_none(), "in two clusters");
            }
        }
        prop_assert!(firsts.is_sorted());
        let merged_away = taken.iter().filter(|(row, survivor)| row != survivor).count();
        let out = (0..rows.len() as u64).filter(|row| taken.get(row).is_none_or(|survivor| survivor == row)).count();
        prop_assert_eq!(rows.len(), out + merged_away);
    }
}
