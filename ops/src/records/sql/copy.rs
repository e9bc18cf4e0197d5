//! Rows behind `COPY … FROM stdin`: one a line, cells between tabs, PostgreSQL's escapes.

use super::super::error::Fault;
use super::super::scan::Stop;
use super::super::{Form, Span};
use super::constant::postgres_escape;
use super::lex::line_end;
use super::value::Values;

/// The line at `from`: its end without and with its line end.
pub(super) fn line(bytes: &[u8], from: usize) -> Result<(usize, usize), Stop> {
    let end = line_end(bytes, from)?;
    Ok((end - usize::from(bytes[from..end].ends_with(b"\r")), end + 1))
}

/// Reads the cells of one line, which begins at `from` and ends at `to` without its line end.
pub(super) fn cells(bytes: &[u8], from: usize, to: usize, values: &mut Values) -> Result<(), Fault> {
    values.clear();
    let mut at = from;
    loop {
        let end = memchr::memchr(b'\t', &bytes[at..to]).map_or(to, |length| at + length);
        let cell = &bytes[at..end];
        let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 4 GiB");
        if cell == b"\\N" {
            values.push_null();
        } else if memchr::memchr(b'\\', cell).is_none() {
            values.spans.push(Span { from: offset(at - from), to: offset(end - from), form: Form::Quoted });
        } else {
            let start = values.made.len();
            let mut next = at;
            while let Some(length) = memchr::memchr(b'\\', &bytes[next..end]) {
                values.made.extend_from_slice(&bytes[next..next + length]);
                next += length + 1;
                if next == end {
                    return Err(Fault::new(next - 1, "a backslash without its letter"));
                }
                // COPY has no \u; such a letter stands for itself.
                if matches!(bytes[next], b'u' | b'U') {
                    values.made.push(bytes[next]);
                    next += 1;
                    continue;
                }
                next = postgres_escape(bytes, next, end, &mut values.made)
                    .map_err(|what| Fault::new(next - 1, what))?;
            }
            values.made.extend_from_slice(&bytes[next..end]);
            let to = offset(values.made.len());
            values.spans.push(Span { from: offset(start), to, form: Form::MadeText });
        }
        if end == to {
            return Ok(());
        }
        at = end + 1;
    }
}
