//! The prompt of a phase: what to do, what to deliver and how, and what may be read.

use std::path::Path;

use crate::files;
use crate::phases::Claim;

/// A file that is longer is not shown; the prompt says so.
const CONTEXT_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that make a token at least, so that the count is rather too high: code has about four, prose more.
const BYTES_PER_TOKEN: u64 = 3;

/// The prompt. Files that may be read are looked for below `context`.
pub(super) fn of(claim: &Claim, context: &Path) -> String {
    let scope = &claim.scope;
    let mut text = format!("# {}\n\n{}\n", claim.name, claim.description);
    for (name, value) in [("Category", &claim.category), ("Complexity", &claim.complexity)] {
        if !value.is_empty() {
            text.push_str(&format!("\n{name}: {value}"));
        }
    }
    text.push_str("\n\n## Deliver\n\n");
    for path in &scope.deliverables {
        text.push_str(&format!("- {path}\n"));
    }
    text.push_str(
        "\nAnswer with every one of these files, whole, and no other, each in this form, its two lines alone:\n\n\
         <file path=\"the/path\">\nits content\n</file>\n",
    );
    for path in &scope.read_only_context {
        let file = context.join(path);
        let size = std::fs::metadata(&file).ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        match size {
            Some(size) if size <= CONTEXT_BYTES_MAX => match files::read_text(&file) {
                Ok(read) => text.push_str(&format!("\n## {path}, to read\n\n{read}\n")),
                Err(_) => text.push_str(&format!("\n## {path} is not text\n")),
            },
            Some(_) => text.push_str(&format!("\n## {path} is too long to be shown\n")),
            None => text.push_str(&format!("\n## {path} is not there\n")),
        }
    }
    text
}

/// How many tokens a prompt has, rather too many than too few.
pub(super) fn tokens(prompt: &str) -> u64 {
    (prompt.len() as u64).div_ceil(BYTES_PER_TOKEN)
}
