//! Paths: the folders vary, the last part identifies.
//!
//! A word with a slash is a path only when something says so: where it begins, the end of its last part, a folder that
//! every repository has. `and/or` and `input/output` stay.

use super::super::normalise::pass;
use super::super::scan::{self, Here};
use super::super::words;
use super::{Found, Rule};

/// Letters that no extension of a file name exceeds.
const EXTENSION_MAX: usize = 8;

/// `C:\dir\file`, `C:/dir/file`, `\\server\share\file`, `.\file`.
pub(super) fn windows(here: &Here<'_>) -> Option<Found> {
    if !here.starts_word() {
        return None;
    }
    let bytes = here.rest.as_bytes();
    let has_drive = bytes.len() > 2
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && matches!(bytes[2], b'\\' | b'/')
        && !here.rest[2..].starts_with("//");
    let is_share = here.rest.starts_with(r"\\") && bytes.get(2).is_some_and(u8::is_ascii_alphanumeric);
    let is_relative = here.rest.starts_with(r".\") || here.rest.starts_with(r"..\");
    if !(has_drive || is_share || is_relative) || !here.starts_path() {
        return None;
    }
    let body = if has_drive { 2 } else { 0 };
    let fits = |c: char| !c.is_whitespace() && !":;,|<>\"'`()*?[]{}".contains(c);
    let mut end = body + scan::run(&here.rest[body..], fits);
    // A folder with a blank in its name: what follows the blank has another separator.
    while let Some(next) = here.rest[end..].strip_prefix(' ') {
        let more = scan::run(next, fits);
        if !next[..more].contains('\\') || next[..more].starts_with('\\') || has_drive_at(next) {
            break;
        }
        end += 1 + more;
    }
    taken(here.rest, end)
}

fn has_drive_at(text: &str) -> bool {
    text.as_bytes().get(1) == Some(&b':')
}

/// `/dir/file`, `~/file`, `./file`, `../file`.
pub(super) fn absolute(here: &Here<'_>) -> Option<Found> {
    let start = ["/", "~/", "./", "../"].iter().find(|start| here.rest.starts_with(**start))?;
    if !here.starts_path() || here.rest.starts_with("//") {
        return None;
    }
    let end = scan::run(here.rest, in_path);
    let has_name = here.rest[start.len()..end].contains(char::is_alphanumeric);
    has_name.then(|| taken(here.rest, end)).flatten()
}

/// `tests/a/b.py`, `src\lib\x.rs`, `example.com/page`.
pub(super) fn relative(here: &Here<'_>) -> Option<Found> {
    if !here.starts_word() || here.before.is_some_and(|c| "/\\.".contains(c)) {
        return None;
    }
    let end = scan::run(here.rest, |c| in_path(c) || c == '\\');
    let piece = here.rest[..end].trim_end_matches(['.', '!', '?']);
    let parts: Vec<&str> = piece.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    let [first, .., last] = parts[..] else { return None };
    let is_host = first
        .rsplit_once('.')
        .is_some_and(|(name, end)| !name.is_empty() && words::DOMAINS.contains(&end.to_lowercase().as_str()));
    if is_host && piece.contains('/') {
        return Some(Found::new(piece.len(), Rule::Url, "<url>"));
    }
    let has_folder = words::FOLDERS.contains(&first.to_lowercase().as_str())
        || parts[..parts.len() - 1].iter().any(|part| part.contains('_') || part.starts_with('.'));
    let is_path = has_extension(last) || (has_folder && piece.contains('/'));
    (is_path && !piece.starts_with('-')).then(|| taken(here.rest, end)).flatten()
}

/// What may stand in a path; a `:` ends it, because a line number follows.
fn in_path(c: char) -> bool {
    c.is_alphanumeric() || "_./-+@%~#$=".contains(c)
}

/// A path of `end` bytes at most, as its token.
fn taken(rest: &str, end: usize) -> Option<Found> {
    let piece = rest[..end].trim_end_matches(['.', '!', '?', ',', '=', '-']);
    (!piece.is_empty()).then(|| Found::new(piece.len(), Rule::Path, token(piece)))
}

/// What stands for a path: its last part, where that is a name. A file with an extension stands for itself, so that
/// it is the same with and without its folders.
pub(in crate::fingerprint) fn token(path: &str) -> String {
    let parts: Vec<&str> =
        path.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | ".." | "~")).collect();
    let Some((last, folders)) = parts.split_last() else { return "<path>".to_owned() };
    let is_home = folders
        .last()
        .is_some_and(|folder| folder.eq_ignore_ascii_case("home") || folder.eq_ignore_ascii_case("users"));
    let is_drive = last.len() == 2 && last.ends_with(':');
    if is_home && !has_extension(last) || is_drive {
        return "<path>".to_owned();
    }
    if is_temporary(last) {
        return "<path>/<id>".to_owned();
    }
    let name = pass(last, &[], 1).template;
    if has_extension(last) { name } else { format!("<path>/{name}") }
}

/// `b.py`, not `2.0` and not `e.g.`.
pub(in crate::fingerprint) fn has_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=EXTENSION_MAX).contains(&extension.len())
            && extension.starts_with(|c: char| c.is_ascii_alphabetic())
            && extension.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// Names that libraries make up for temporary files.
fn is_temporary(name: &str) -> bool {
    let tail = |prefix: &str| name.strip_prefix(prefix).filter(|tail| tail.chars().all(scan::is_word));
    tail("tmp").is_some_and(|tail| tail.len() == 8)
        || tail(".tmp").is_some_and(|tail| tail.len() == 6)
        || tail("tmp.").is_some_and(|tail| tail.len() == 10)
}
