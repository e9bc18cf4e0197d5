//! Fields, titles and scores of cleanup by its public interface, with the datasets that are shipped.

#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "scoring/cases.rs"]
mod cases;
#[path = "scoring/debris.rs"]
mod debris;
#[path = "scoring/grading.rs"]
mod grading;
#[path = "scoring/kit.rs"]
mod kit;
#[path = "scoring/laws.rs"]
mod laws;
/// What this binary takes from `tests/support/`.
mod support {
    #[path = "../support/cases.rs"]
    pub(crate) mod cases;
    #[path = "../support/golden.rs"]
    pub(crate) mod golden;

    /// The root of the repository.
    pub(crate) fn root() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
    }
}
