//! Reads Rust source just well enough for the rules: what is code, where a function ends, what is used.
//!
//! It is no parser. It must understand strings, comments and character literals, so that a brace or a name in
//! one of them is never mistaken for code.

/// A source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path below the root of the repository, with `/`.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The file with comments, strings and character literals blanked; same length, same lines.
    pub(crate) code: String,
}

/// A path in the code, such as `std::env::var` or `println!`.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) is_use: bool,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        Self { path: path.to_owned(), code: without_tests(&code_of(&text)), text }
    }

    /// The line number, from 1, of a byte offset.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Functions outside test modules: name, first line, number of lines.
    pub(crate) fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let name: String = self.code[at + 2..].trim_start().chars().take_while(|c| is_name(*c)).collect();
            if name.is_empty() {
                continue; // the type of a function pointer
            }
            if let Some(end) = body_end(&self.code, at) {
                let first = self.line(at);
                found.push((name, first, self.line(end) - first + 1));
            }
        }
        found
    }

    /// Every path that the code outside test modules names, `use` groups written out.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        let mut rest = self.code.clone();
        for at in words(&self.code, "use") {
            let Some(length) = self.code[at..].find(';') else { continue };
            let line = self.line(at);
            let tree = use_tree(&self.code[at + 3..at + length]);
            found.extend(tree.into_iter().map(|text| Path { text, line, is_use: true }));
            let blank: String = self.code[at..at + length].chars().map(blank).collect();
            rest.replace_range(at..at + length, &blank);
        }
        let bytes = rest.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let length = path_length(&bytes[at..]);
            if length > 0 {
                let text = rest[at..at + length].to_owned();
                found.push(Path { text, line: self.line(at), is_use: false });
            }
            at += length.max(1);
        }
        found
    }
}

/// Length of the path (`a`, `a::b`, with the `!` of a macro) at the start of `bytes`; 0 where none starts.
fn path_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let name = bytes[length..].iter().take_while(|b| is_name(**b as char)).count();
        if name == 0 {
            return length;
        }
        length += name;
        if !bytes[length..].starts_with(b"::") || !bytes.get(length + 2).is_some_and(|b| is_name(*b as char))
        {
            return length
                + usize::from(bytes.get(length) == Some(&b'!') && bytes.get(length + 1) != Some(&b'='));
        }
        length += 2;
    }
}

/// `a::{b, c::d as e}` as `a::b`, `a::c::d`.
fn use_tree(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.chars().filter(|c| !c.is_whitespace()).collect()];
    };
    let prefix: String = tree[..open].chars().filter(|c| !c.is_whitespace()).collect();
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(use_tree)
        .map(|path| format!("{prefix}{path}").trim_end_matches("::self").to_owned())
        .collect()
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Byte offsets of `word` as a whole word.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let is_free = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(|b| !is_name(*b as char));
    let whole = |at: &usize| is_free(at.checked_sub(1)) && is_free(Some(at + word.len()));
    code.match_indices(word).map(|(at, _)| at).filter(whole).collect()
}

/// Offset of the brace that closes the body of the item at `at`; `None` for an item without a body.
fn body_end(code: &str, at: usize) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            ';' if braces == 0 && others == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && others == 0 {
                    return Some(at + offset);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks items that exist only in tests.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(").map(|at| from + at) {
        let Some(close) = code[at..].find(']').map(|length| at + length) else { break };
        let attribute = &code[at..close];
        from = close;
        if !words(attribute, "test").is_empty() && words(attribute, "not").is_empty() {
            let semicolon = || code[close..].find(';').map(|length| close + length);
            let end = body_end(&code, close + 1).or_else(semicolon).map_or(code.len(), |end| end + 1);
            let blank: String = code[at..end].chars().map(blank).collect();
            code.replace_range(at..end, &blank);
        }
    }
    code
}

/// A blank in place of a character, newlines kept.
fn blank(c: char) -> char {
    if c == '\n' { c } else { ' ' }
}

/// Blanks comments, strings and character literals; every other byte stays where it is.
pub(crate) fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let previous_is_name = at > 0 && is_name(bytes[at - 1] as char);
        let length = literal_length(&bytes[at..], previous_is_name);
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(1);
    }
    for byte in &mut code {
        if !byte.is_ascii() {
            *byte = b' ';
        }
    }
    String::from_utf8(code).expect("only ASCII is left")
}

/// Length of the comment, string or character literal at the start of `bytes`; 0 where none starts.
fn literal_length(bytes: &[u8], previous_is_name: bool) -> usize {
    if bytes.starts_with(b"//") {
        return bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    }
    if bytes.starts_with(b"/*") {
        return block_comment(bytes);
    }
    if !previous_is_name {
        let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|prefix| bytes.starts_with(prefix));
        if let Some(length) = prefix.and_then(|prefix| raw_string(bytes, prefix.len())) {
            return length;
        }
    }
    match bytes {
        [b'"', ..] => quoted(bytes, b'"'),
        [b'\'', b'\\', ..] => quoted(bytes, b'\''),
        [b'\'', rest @ ..] => {
            // One character and a quote, else it is a lifetime.
            let width = rest.first().map_or(1, |b| if b.is_ascii() { 1 } else { b.leading_ones() as usize });
            if rest.get(width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string(bytes: &[u8], prefix: usize) -> Option<usize> {
    let hashes = bytes[prefix..].iter().take_while(|b| **b == b'#').count();
    let open = prefix + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let length = bytes[open + 1..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| open + 1 + length + close.len()))
}
