//! The commands that lead on from a plan, spelled in one place for plans, refusals and reports.

use super::manifest::Manifest;

/// Commands, as a person types them beside the plan's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// Look at it.
    pub show: Vec<String>,
    /// Dry run, rehearsal, and apply.
    pub apply: Vec<String>,
    /// Take it back.
    pub rollback: Vec<String>,
}

impl Commands {
    /// The commands for a plan.
    pub fn of(manifest: &Manifest) -> Self {
        let folder = format!("plan-{}", manifest.short);
        let approve = approve(manifest);
        let script = match manifest.plan.target.driver.as_str() {
            "sqlite" => format!("sqlite3 DATABASE < {folder}/apply/rollback.sql"),
            _ => format!("psql -X -v ON_ERROR_STOP=1 -f {folder}/apply/rollback.sql DATABASE"),
        };
        let is_file = manifest.plan.target.driver == "sqlite";
        let scratch = if is_file { "" } else { " --scratch postgres://HOST/ANOTHER-DATABASE" };
        Self {
            show: vec![
                format!("cargo xtask plan diff --plan {folder} KEY"),
                format!("cargo xtask plan check --plan {folder}"),
                format!("cargo xtask plan select --plan {folder} --keys FILE"),
            ],
            apply: vec![
                format!("cargo xtask upsert --plan {folder}"),
                format!("cargo xtask rehearse --plan {folder} --crash-at all{scratch}"),
                format!("cargo xtask upsert --plan {folder} --apply {approve}"),
            ],
            rollback: vec![format!("cargo xtask rollback --plan {folder} --apply {approve}"), script],
        }
    }
}

/// The options that approve a plan: its id, and for a production database its lineage as well.
pub fn approve(manifest: &Manifest) -> String {
    let option = manifest.plan.kind.approval_option();
    let lineage = manifest.plan.target.lineage.as_ref().filter(|lineage| lineage.purpose == "production");
    let lineage = lineage.map(|lineage| format!(" --lineage {}", lineage.id)).unwrap_or_default();
    format!("{option} {}{lineage}", manifest.short)
}
