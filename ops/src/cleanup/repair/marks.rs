//! Characters that nobody sees: control characters, invisible ones, and those that turn the direction of text.
//!
//! Each rule keeps what a script or an emoji is made of. None joins two words: where a control character stood between
//! them, a blank stands after.

/// Whether the rule for invisible characters looks at `c`.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{206A}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{E0001}'
            | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}'
    )
}

/// Whether `c` is what a byte of UTF-8 becomes in an encoding of single bytes: no other character that these rules take
/// away can be evidence of what a text was.
fn is_byte(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9F}' | '\u{AD}')
}

/// Without invisible characters that mean nothing where they stand, `spares_bytes` but for what may have been a byte of
/// UTF-8; `None` when there are none.
pub(super) fn without_invisible(text: &str, spares_bytes: bool) -> Option<String> {
    let is_invisible = |c| is_invisible(c) && !(spares_bytes && is_byte(c));
    if !text.chars().any(is_invisible) {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !is_invisible(c) || means_something(kept.chars().next_back(), c, chars.peek().copied()) {
            kept.push(c);
        }
    }
    (kept.len() < text.len()).then_some(kept)
}

/// Whether the invisible `c` does something between these neighbours.
fn means_something(before: Option<char>, c: char, after: Option<char>) -> bool {
    let near = |is: fn(char) -> bool| before.is_some_and(is) || after.is_some_and(is);
    match c {
        '\u{200B}' => near(is_written_without_blanks),
        '\u{200C}' => before.is_some_and(joins),
        '\u{200D}' => {
            near(joins) || (before.is_some_and(is_pictographic) && after.is_some_and(is_pictographic))
        }
        '\u{180E}' => before.is_some_and(|c| matches!(c, '\u{1800}'..='\u{18AF}')),
        '\u{FE00}'..='\u{FE0F}' => {
            before.is_some_and(|c| !c.is_ascii_alphabetic() && !c.is_whitespace() && !is_invisible(c))
        }
        '\u{E0100}'..='\u{E01EF}' => before.is_some_and(is_ideograph),
        '\u{E0020}'..='\u{E007F}' => {
            before.is_some_and(|c| matches!(c, '\u{1F3F4}' | '\u{E0020}'..='\u{E007E}'))
        }
        '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' => {
            near(|c| matches!(c, '\u{1100}'..='\u{11FF}' | '\u{3131}'..='\u{3163}' | '\u{FFA1}'..='\u{FFDC}'))
        }
        _ => false,
    }
}

/// Scripts of South-East Asia, where a zero-width space shows where a line may break.
fn is_written_without_blanks(c: char) -> bool {
    matches!(c, '\u{E00}'..='\u{FFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{1950}'..='\u{19DF}' | '\u{1A20}'..='\u{1AAF}' | '\u{1B00}'..='\u{1B7F}' | '\u{A980}'..='\u{A9FF}' | '\u{AA60}'..='\u{AA7F}')
}

/// Scripts whose letters change their form beside others.
fn joins(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{8FF}' | '\u{900}'..='\u{DFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{18AF}' | '\u{A840}'..='\u{A8FF}' | '\u{FB50}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' | '\u{10A00}'..='\u{11FFF}' | '\u{1E900}'..='\u{1E95F}')
}

fn is_pictographic(c: char) -> bool {
    matches!(c, '\u{FE0F}' | '\u{20E3}' | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Whether the rule for control characters replaces `c`; TAB and ends of lines are text.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// Without control characters, `spares_bytes` but for what may have been a byte of UTF-8: one blank for a run of them,
/// none where there is white space already.
pub(super) fn without_control(text: &str, spares_bytes: bool) -> Option<String> {
    let is_control = |c| is_control(c) && !(spares_bytes && is_byte(c));
    if !text.chars().any(is_control) {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !is_control(c) {
            kept.push(c);
            continue;
        }
        while chars.peek().copied().is_some_and(is_control) {
            chars.next();
        }
        let is_between = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
        if is_between(kept.chars().next_back()) && is_between(chars.peek().copied()) {
            kept.push(' ');
        }
    }
    Some(kept)
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{61C}')
}

fn is_embedding(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{61B}' | '\u{61D}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
}

/// Without characters that turn the direction of text for nothing, or to deceive. Text with letters that run from
/// right to left keeps its marks, and what is opened and closed properly.
pub(super) fn without_bidi(text: &str) -> Option<String> {
    let has_right_to_left = text.chars().any(is_right_to_left);
    let keeps_embeddings = has_right_to_left && is_balanced(text);
    let goes = |c: char| (is_mark(c) && !has_right_to_left) || (is_embedding(c) && !keeps_embeddings);
    text.chars().any(goes).then(|| text.chars().filter(|c| !goes(*c)).collect())
}

/// Whether every embedding is closed in its paragraph, and none overrides the direction of letters.
fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    for c in text.chars() {
        let is_closed = match c {
            '\u{202D}' | '\u{202E}' => return false,
            '\u{202A}' | '\u{202B}' => {
                open.push('\u{202C}');
                true
            }
            '\u{2066}'..='\u{2068}' => {
                open.push('\u{2069}');
                true
            }
            '\u{202C}' | '\u{2069}' => open.pop() == Some(c),
            '\n' => open.is_empty(),
            _ => true,
        };
        if !is_closed {
            return false;
        }
    }
    open.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_and_emoji_are_made_of_stays() {
        for text in [
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
            "\u{2764}\u{FE0F}\u{200D}\u{1F525}",
            "1\u{FE0F}\u{20E3}",
            "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "ภาษา\u{200B}ไทย",
            "葛\u{E0100}城市",
        ] {
            assert_eq!(without_invisible(text, false), None, "{text:?}");
        }
    }

    #[test]
    fn what_means_nothing_goes() {
        for (text, clean) in [
            ("zero\u{200B}width", "zerowidth"),
            ("\u{FEFF}start", "start"),
            ("soft\u{AD}hyphen", "softhyphen"),
            ("a\u{200C}b\u{200D}c", "abc"),
            ("hidden\u{E0041}\u{E0042}", "hidden"),
            ("a\u{FE0F} \u{FE0F}b", "a b"),
            ("\u{2060}\u{3164}", ""),
        ] {
            assert_eq!(without_invisible(text, false).as_deref(), Some(clean), "{text:?}");
        }
    }

    #[test]
    fn control_characters_never_join_words() {
        for (text, clean) in [
            ("one\0two", "one two"),
            ("one\u{1}\u{2}\u{7F}two", "one two"),
            ("one \u{8}two", "one two"),
            ("\u{85}one\u{9F}", "one"),
            ("tab\tline\n\u{C}page", "tab\tline\npage"),
        ] {
            assert_eq!(without_control(text, false).as_deref(), Some(clean), "{text:?}");
        }
        assert_eq!(without_control("tab\tline\r\n", false), None);
        // What may be a byte of UTF-8 can be spared, and nothing else is.
        assert_eq!(without_control("\u{0}Ã\u{81}\u{0}", true).as_deref(), Some("Ã\u{81}"));
        assert_eq!(without_invisible("Ã\u{AD}\u{200B}", true).as_deref(), Some("Ã\u{AD}"));
        assert_eq!(without_control("Ã\u{81}", true), None);
    }

    #[test]
    fn direction_is_kept_where_text_runs_from_right_to_left() {
        assert_eq!(without_bidi("invoice\u{202E}fdp.exe").as_deref(), Some("invoicefdp.exe"));
        assert_eq!(without_bidi("plain\u{200E} text").as_deref(), Some("plain text"));
        assert_eq!(without_bidi("עברית\u{200F}! C++\u{200E}"), None);
        assert_eq!(without_bidi("\u{2067}שלום\u{2069} world"), None);
        assert_eq!(without_bidi("\u{2067}שלום world").as_deref(), Some("שלום world"));
        assert_eq!(without_bidi("שלום \u{202E}dlrow\u{202C}").as_deref(), Some("שלום dlrow"));
    }
}
