//! Fingerprints against a labelled corpus of error texts: how many pairs are rightly together, and how many are missed.

#![expect(clippy::print_stdout, reason = "the figures are what this test shows")]

use std::collections::BTreeMap;

use ops::fingerprint::{VERSION, id, normalise, normalise_first, rekey};

const CORPUS: &str = include_str!("../fixtures/fingerprint/corpus/texts.tsv");

/// Label and text of each line.
fn corpus() -> Vec<(&'static str, String)> {
    let line = |line: &'static str| {
        let (label, text) = line.split_once('\t').expect("label, tab, text");
        (label, text.replace("\\n", "\n").replace("\\\\", "\\"))
    };
    CORPUS.lines().map(line).collect()
}

fn template(text: &str) -> String {
    normalise(text, &[]).template
}

/// Pairs that are rightly together, all pairs that are together, all pairs that should be.
fn pairs(keys: &[(&str, String)]) -> (u64, u64, u64) {
    let choose = |n: u64| n * n.saturating_sub(1) / 2;
    let (mut both, mut found, mut labelled) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (label, key) in keys {
        *both.entry((*label, key.clone())).or_insert(0_u64) += 1;
        *found.entry(key.clone()).or_insert(0_u64) += 1;
        *labelled.entry(*label).or_insert(0_u64) += 1;
    }
    (
        both.values().copied().map(choose).sum(),
        found.values().copied().map(choose).sum(),
        labelled.values().copied().map(choose).sum(),
    )
}

fn measure(name: &str, keys: &[(&str, String)]) -> (f64, f64) {
    let (right, together, labelled) = pairs(keys);
    let (precision, recall) = (right as f64 / together as f64, right as f64 / labelled as f64);
    println!(
        "{name}: {} texts, precision {precision:.4} ({right}/{together}), recall {recall:.4} ({right}/{labelled})",
        keys.len()
    );
    (precision, recall)
}

#[test]
fn the_corpus_is_clustered_as_labelled() {
    let corpus = corpus();
    assert!(corpus.len() >= 200, "{} texts", corpus.len());
    let keys: Vec<(&str, String)> = corpus.iter().map(|(label, text)| (*label, template(text))).collect();
    let first: Vec<(&str, String)> =
        corpus.iter().map(|(label, text)| (*label, normalise_first(text))).collect();
    measure("version 1", &first);
    let (precision, recall) = measure("version 2", &keys);
    let mut by_label: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (label, key) in &keys {
        by_label.entry(label).or_default().push(key);
        by_key.entry(key).or_default().push(label);
    }
    for (label, keys) in &mut by_label {
        keys.dedup();
        if keys.len() > 1 {
            println!("apart: {label}: {keys:?}");
        }
    }
    for (key, labels) in &mut by_key {
        labels.dedup();
        if labels.len() > 1 {
            println!("together: {labels:?}: {key}");
        }
    }
    assert!(precision > 0.95 && recall > 0.95, "precision {precision}, recall {recall}");
}

#[test]
fn keying_anew_says_what_split_and_what_became_one() {
    let failures =
        corpus().into_iter().map(|(_, text)| (id(1, &normalise_first(&text)), id(VERSION, &template(&text))));
    let rekeyed = rekey(failures);
    assert_eq!(rekeyed.mappings.iter().map(|m| m.failures).sum::<u64>(), corpus().len() as u64);
    assert!(rekeyed.split > 0 && rekeyed.merged > 0, "{rekeyed:?}");
    let same = rekey([("a".to_owned(), "x".to_owned()), ("a".to_owned(), "x".to_owned())]);
    assert_eq!((same.mappings.len(), same.split, same.merged), (1, 0, 0));
}
