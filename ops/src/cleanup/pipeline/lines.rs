//! The lists of what happened to rows, one JSON object a line: changes, findings, rejects, rows in quarantine.
//!
//! A row is named by its place in the input and by its key. Everything needed to undo a change stands in its line.

use super::layout::Layout;
use super::render::json_compact;
use crate::cleanup::{Edit, Finding, Row, Rule};
use crate::records::Reject;
use crate::value::{write_json_int, write_json_string};

/// Appends `{"row":7,"key":{"id":"…"}`, with which every line about a row begins.
pub(super) fn name(out: &mut Vec<u8>, layout: &Layout, row: &Row<'_>) {
    out.extend_from_slice(b"{\"row\":");
    write_json_int(row.ordinal, out);
    out.extend_from_slice(b",\"key\":");
    key(out, layout, row);
}

/// Appends the key of a row as an object.
pub(super) fn key(out: &mut Vec<u8>, layout: &Layout, row: &Row<'_>) {
    out.push(b'{');
    for (index, place) in layout.key.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&layout.quoted[*place]);
        out.push(b':');
        json_compact(out, &row.cells[*place]);
    }
    out.push(b'}');
}

/// Appends a change of a cell, `start` being the name of its row and `column` the quoted name of its column.
pub(super) fn edit(out: &mut Vec<u8>, start: &[u8], column: &[u8], edit: &Edit) {
    edit_of(out, start, &head(column, edit.rule), edit);
}

/// Column and rule as the line of a change has them, behind the name of its row.
pub(super) fn head(column: &[u8], by: Rule) -> Vec<u8> {
    let mut head = [b",\"column\":", column].concat();
    rule(&mut head, by);
    head
}

/// Appends a change of a cell, `start` being the name of its row and `head` its column and rule.
pub(super) fn edit_of(out: &mut Vec<u8>, start: &[u8], head: &[u8], edit: &Edit) {
    out.extend_from_slice(start);
    out.extend_from_slice(head);
    if !edit.before.is_empty() {
        out.extend_from_slice(b",\"before\":");
        out.extend_from_slice(edit.before.as_bytes());
    }
    if !edit.after.is_empty() {
        out.extend_from_slice(b",\"after\":");
        out.extend_from_slice(edit.after.as_bytes());
    }
    member(out, b",\"evidence\":", &edit.evidence);
    out.extend_from_slice(b"}\n");
}

/// Appends a remark, `start` being the name of its row and `column` the quoted name of its column.
pub(super) fn finding(out: &mut Vec<u8>, start: &[u8], column: Option<&[u8]>, finding: &Finding) {
    out.extend_from_slice(start);
    if let Some(column) = column {
        out.extend_from_slice(b",\"column\":");
        out.extend_from_slice(column);
    }
    rule(out, finding.rule);
    member(out, b",\"detail\":", &finding.detail);
    if let Some(candidate) = &finding.candidate {
        member(out, b",\"candidate\":", candidate);
    }
    out.extend_from_slice(b"}\n");
}

/// Appends a record that is no row.
pub(super) fn reject(out: &mut Vec<u8>, reject: &Reject) {
    let Reject { ordinal, at, length, line, wrong_at, reason, snippet } = reject;
    out.extend_from_slice(
        format!(
            "{{\"row\":{ordinal},\"line\":{line},\"at\":{at},\"length\":{length},\"wrong_at\":{wrong_at}"
        )
        .as_bytes(),
    );
    member(out, b",\"reason\":", reason);
    member(out, b",\"snippet\":", snippet);
    out.extend_from_slice(b"}\n");
}

fn rule(out: &mut Vec<u8>, rule: Rule) {
    out.extend_from_slice(b",\"rule\":\"");
    out.extend_from_slice(rule.id.as_bytes());
    out.push(b'@');
    write_json_int(u64::from(rule.version), out);
    out.push(b'"');
}

/// Appends a text behind the name of its member, which is spelled as the line has it.
fn member(out: &mut Vec<u8>, name: &'static [u8], text: &str) {
    out.extend_from_slice(name);
    write_json_string(text, out);
}

/// Appends why a row is not among the cleaned ones, up to the name of the member that holds it.
pub(super) fn gone(out: &mut Vec<u8>, why: Rule, evidence: &str, member_name: &str) {
    rule(out, why);
    member(out, b",\"evidence\":", evidence);
    out.extend_from_slice(format!(",\"{member_name}\":").as_bytes());
}
