//! Text of any content inside HTML: nothing in it can end the text, and nothing in it is invisible.

/// Text for the content of an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if is_hidden(c) => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Characters that show nothing or turn the order of what follows, but are no part of a written word.
fn is_hidden(c: char) -> bool {
    let is_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_invisible = matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    // Some code points may not stand in HTML at all.
    let is_no_character = u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    c.is_control() || is_direction || is_invisible || is_no_character
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_text_and_nothing_hides() {
        assert_eq!(
            escape("</script><b a=\"x\" b='y'>&"),
            "&lt;/script&gt;&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;"
        );
        assert_eq!(escape("a\u{202e}b\u{0}c\u{feff}\u{ffff}"), "a⟨U+202E⟩b⟨U+0000⟩c⟨U+FEFF⟩⟨U+FFFF⟩");
        // A joiner is part of words and of pictures.
        assert_eq!(escape("👩\u{200d}💻 می\u{200c}خواهم\n"), "👩\u{200d}💻 می\u{200c}خواهم\n");
    }
}
