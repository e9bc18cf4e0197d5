//! Predictions and budgets of recorded tasks.

use proptest::prelude::*;

use super::*;
use Complexity::{High, Low, Maintenance, Medium};

fn predict(deliverables: &[&str], category: &str, complexity: Complexity) -> Estimate {
    predict_with_scope(deliverables, category, complexity, 0)
}

fn predict_with_scope(
    deliverables: &[&str],
    category: &str,
    complexity: Complexity,
    scope_path_count: usize,
) -> Estimate {
    let deliverables: Vec<String> = deliverables.iter().map(|&d| d.to_owned()).collect();
    let input =
        EstimateInput { deliverables: &deliverables, files: &[], category, complexity, scope_path_count };
    estimate(&Coefficients::default(), &input)
}

#[track_caller]
fn assert_estimate(actual: &Estimate, tokens: u64, category: &str, confidence: f64, budget: u64) {
    assert_eq!(
        (actual.output_tokens, actual.category.as_str(), actual.selected_budget),
        (tokens, category, budget)
    );
    assert!((actual.confidence - confidence).abs() < 1e-4, "{actual:?}");
}

#[test]
fn without_deliverables_the_complexity_decides() {
    assert_estimate(&predict(&[], "anything", Low), 8192, "anything", 0.5, 11468);
    assert_estimate(&predict(&[" "], "anything", Medium), 12288, "anything", 0.5, 17203);
    assert_estimate(&predict(&[], "anything", High), 16384, "anything", 0.5, 22937);
    assert_estimate(&predict(&[], "anything", Maintenance), 8192, "anything", 0.5, 11468);
}

#[test]
fn one_deliverable() {
    for (deliverable, category, complexity, tokens, out, confidence, budget) in [
        ("Create src/autopack/new_module.py", "backend", Medium, 6500, "backend", 1.0, 12288),
        ("src/a.py", "implementation", Low, 3424, "implementation", 0.8, 8192),
        ("src/a.py", "implementation", Medium, 4128, "implementation", 0.8, 12288),
        ("src/a.py", "implementation", High, 9100, "implementation", 0.8, 16384),
        ("src/a.py", "IMPLEMENT_FEATURE", Medium, 4128, "implementation", 0.8, 12288),
        ("src/a.py", "integration", High, 10400, "integration", 0.8, 16640),
        ("tests/test_a.py", "tests", Low, 3009, "tests", 0.8, 6144),
        ("tests/test_a.py", "testing", Low, 3009, "tests", 0.8, 6144),
        ("tests/test_a.py", "testing", Medium, 5070, "tests", 0.8, 8192),
        ("docs/readme.md", "docs", Low, 2600, "docs", 0.8, 4096),
        ("docs/readme.md", "implementation", Low, 2600, "docs", 0.8, 4096),
        ("docs/API_REFERENCE.md", "docs", Low, 5915, "doc_synthesis", 0.75, 13013),
        ("BUILD_HISTORY.md", "docs", Low, 5245, "doc_sot_update", 0.7, 11539),
        ("a.tsx", "frontend", Medium, 8190, "frontend", 0.8, 12288),
        ("config/x.yaml", "configuration", Medium, 3250, "configuration", 0.8, 12288),
        ("schema.sql", "database", Low, 4550, "database", 0.8, 8192),
    ] {
        assert_estimate(&predict(&[deliverable], category, complexity), tokens, out, confidence, budget);
    }
}

#[test]
fn several_deliverables() {
    let files: Vec<String> = (1..=8).map(|i| format!("src/file{i}.py")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_estimate(&predict(&files, "backend", High), 27300, "backend", 0.8, 43680);
    let sentences = ["Implement user authentication", "Add error handling", "Update documentation"];
    assert_estimate(&predict(&sentences, "backend", Medium), 11700, "backend", 0.6333, 16379);
    let guide = ["OVERVIEW", "USAGE_GUIDE", "API_REFERENCE", "EXAMPLES", "FAQ"]
        .map(|name| format!("docs/token_estimator/{name}.md"));
    let guide = guide.each_ref().map(String::as_str);
    assert_estimate(&predict(&guide, "documentation", Low), 12818, "doc_synthesis", 0.75, 28199);
}

#[test]
fn context_saves_investigation() {
    let update = |paths| predict_with_scope(&["BUILD_HISTORY.md"], "docs", Low, paths).output_tokens;
    assert_eq!((update(0), update(1), update(10), update(11)), (5245, 4205, 4205, 3295));
    let update = predict_with_scope(&["BUILD_HISTORY.md"], "docs", Low, 1);
    assert_estimate(&update, 4205, "doc_sot_update", 0.7, 9251);
}

#[test]
fn an_existing_file_costs_less() {
    let deliverables = ["src/plain.py".to_owned()];
    let tiny = [Some(FileFeatures { lines: 10, imports: 1, max_indent: 4 })];
    let input = EstimateInput {
        deliverables: &deliverables,
        files: &tiny,
        category: "backend",
        complexity: Low,
        scope_path_count: 0,
    };
    assert_eq!(estimate(&Coefficients::default(), &input).output_tokens, 3114);
}

#[test]
fn the_file_of_a_deliverable_keeps_its_index_past_blank_ones() {
    let deliverables = [String::new(), "src/a.py".to_owned(), "src/b.py".to_owned()];
    let ordinary = Some(FileFeatures { lines: 100, imports: 10, max_indent: 10 });
    let input = EstimateInput {
        deliverables: &deliverables,
        files: &[None, ordinary],
        category: "backend",
        complexity: Low,
        scope_path_count: 0,
    };
    assert_eq!(estimate(&Coefficients::default(), &input).output_tokens, 6110); // (2000 + 700 + 2000) × 1.3
}

#[test]
fn only_base_names_make_a_synthesis() {
    for (deliverables, category) in [
        (&["docs/EXAMPLES.md", "docs/USAGE_GUIDE.md"][..], "doc_synthesis"),
        (&["docs/examples.md", "docs/research-notes.md"], "doc_synthesis"),
        (&["docs/api-reference.md"], "doc_synthesis"),
        (&["docs/examples/USAGE_GUIDE.md"], "docs"),
        (&["docs/examples.md"], "docs"),
        (&["docs/api_references_index.md"], "docs"),
        (&["docs/API_REFERENCE.md", "src/a.py"], "implementation"),
        (&["docs/history_of_changes.md"], "docs"),
    ] {
        assert_eq!(predict(deliverables, "implementation", Low).category, category, "{deliverables:?}");
    }
}

#[test]
fn budgets() {
    for (tokens, deliverables, category, complexity, confidence, budget) in [
        (2000, 1, "docs", Low, 0.8, 4096),
        (2000, 1, "documentation", Low, 0.8, 4096),
        (5000, 1, "docs", Low, 0.8, 6000),
        (2500, 1, "tests", Low, 0.8, 6144),
        (2000, 1, "doc_synthesis", Low, 0.8, 8192),
        (3000, 1, "implementation", Low, 0.8, 8192),
        (3000, 1, "unknown_category", Low, 0.8, 8192),
        (20000, 10, "backend", Medium, 0.8, 32000),
        (60000, 50, "backend", High, 0.9, 64000),
        (10000, 1, "backend", Medium, 0.69, 14000),
        (10000, 1, "backend", Medium, 0.70, 12288),
        (10000, 8, "backend", Medium, 0.9, 16000),
        (12000, 1, "implementation", High, 0.9, 16384),
        (u64::MAX, 1, "implementation", High, 0.9, 64000),
    ] {
        let selected =
            select_budget(&Coefficients::default(), tokens, deliverables, category, complexity, confidence);
        assert_eq!(selected, budget, "{tokens} {deliverables} {category} {complexity:?} {confidence}");
    }
}

#[test]
fn coefficients_are_known_by_their_digest() {
    let coefficients = Coefficients::default();
    let json = serde_json::to_string(&coefficients).unwrap();
    assert_eq!(serde_json::from_str::<Coefficients>(&json).unwrap(), coefficients);
    assert_eq!(coefficients.digest(), crate::ids::sha256(json.as_bytes())[..12]);
    assert_eq!(coefficients.digest(), "274df42d3c1a", "new defaults are a decision: pin their digest here");
    let mut changed = coefficients.clone();
    changed.marginals.source.new += 1;
    assert_ne!(changed.digest(), coefficients.digest());
}

#[test]
fn overheads_under_an_alias_are_found() {
    let json = serde_json::to_string(&Coefficients::default()).unwrap();
    let alias = json.replacen("\"tests\":", "\"testing\":", 1);
    assert_ne!(alias, json);
    assert_eq!(serde_json::from_str::<Coefficients>(&alias).unwrap(), Coefficients::default());
    let twice = json.replace("\"overhead\":{", "\"overhead\":{\"testing\":{\"low\":1},");
    let error = serde_json::from_str::<Coefficients>(&twice).unwrap_err().to_string();
    assert!(error.starts_with("two overheads for the category `tests`"), "{error}");
}

proptest! {
    #[test]
    fn more_work_is_never_predicted_to_be_less(
        names in prop::collection::vec("(src|docs|tests)/[a-z]{1,8}\\.(py|md|sql)", 1..6),
        extra in "src/[a-z]{1,8}\\.py",
    ) {
        let fewer: Vec<&str> = names.iter().map(String::as_str).chain(["src/base.py"]).collect();
        let more: Vec<&str> = fewer.iter().copied().chain([extra.as_str()]).collect();
        let (fewer, more) = (predict(&fewer, "backend", Medium), predict(&more, "backend", Medium));
        prop_assert!(more.output_tokens > fewer.output_tokens);
        prop_assert!(more.selected_budget >= fewer.selected_budget);
        prop_assert!((0.5..=1.0).contains(&more.confidence));
        prop_assert!(more.selected_budget <= Coefficients::default().budget.ceiling);
    }

    #[test]
    fn any_text_can_be_a_deliverable(text in "\\PC{0,40}", category in "\\PC{0,12}") {
        let estimate = predict(&[&text], &category, Low);
        prop_assert!(estimate.output_tokens > 0);
    }

    #[test]
    fn every_spelling_predicts_the_same(
        alias in prop::sample::select(vec![
            ("tests", "testing"), ("tests", "test"), ("docs", "documentation"), ("docs", "doc_write"),
            ("implementation", "implement_feature"), ("implementation", "feature"), ("bugfix", "bug_fix"),
            ("refactoring", "refactor"), ("configuration", "config"),
        ]),
        upper: bool,
        joint in prop::sample::select(vec!["_", "-", " "]),
        suffix in prop::sample::select(vec!["", "_complexity", "-level", "_mode", " task", "_tier"]),
        at in 0_usize..4,
    ) {
        let spell = |word: &str| {
            let word = word.replace('_', joint);
            if upper { word.to_uppercase() } else { format!("  {word} ") }
        };
        let complexity = Complexity::ALL[at];
        let spelled = Complexity::parse(&spell(&format!("{}{suffix}", complexity.as_str())));
        prop_assert_eq!(spelled, Some(complexity));
        let with = |category: &str| predict(&["src/a.py", "tests/test_a.py"], category, complexity);
        prop_assert_eq!(with(&spell(alias.1)), with(alias.0));
    }

    #[test]
    fn features_are_enough_to_predict_again(
        names in prop::collection::vec("(src|docs|tests|add|update)?[ /][a-zA-Z]{1,8}\\.(py|md|sql|tsx|yaml)", 0..6),
        sizes in prop::collection::vec(proptest::option::of((0_u64..2000, 0_u64..40, 0_u64..60)), 6),
        scope_path_count in 0_usize..14,
    ) {
        let files: Vec<Option<FileFeatures>> = sizes
            .into_iter()
            .map(|s| s.map(|(lines, imports, max_indent)| FileFeatures { lines, imports, max_indent }))
            .collect();
        let input = EstimateInput { deliverables: &names, files: &files, category: "backend", complexity: High, scope_path_count };
        let coefficients = Coefficients::default();
        let read = Features::parse(&Features::of(&input).json()).unwrap();
        prop_assert_eq!(read.estimate(&coefficients), estimate(&coefficients, &input));
        let explained = Explanation::new(&coefficients, read.clone()).document("x", "y").markdown();
        prop_assert!(explained.contains("selected budget"));
        if let Some(shares) = read.parameters(&coefficients) {
            let sum: f64 = shares.iter().map(|(p, n)| n * p.of(&coefficients) as f64).sum();
            let exact = read.output_tokens(&coefficients) as f64 / coefficients.safety;
            prop_assert!((sum - exact).abs() <= read.deliverables() as f64 + 1.0);
        }
    }
}
