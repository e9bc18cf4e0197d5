//! HTML entities in text that is no HTML: decoded where the whole text was escaped, and left where it speaks of them.
//!
//! Escaped text has no bare `&`, `<` or `>`. Where one stands, or where the text is code, nothing is certain.

/// What the entities of a text are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Escaped {
    /// None, or text that must be left as it is.
    No,
    /// All of the text was escaped; this is what it was.
    Yes(String),
    /// Some of it may have been; this is what it would become.
    Perhaps(String),
}

/// Signs of code, in which entities are spelled on purpose.
const CODE: &[&str] =
    &["`", "</", "/>", "<!--", "();", "){", ") {", "};", "==", "=>", "->", "&&", "#include", "::", "\\n"];

/// Decodes the entities of `text`.
pub(super) fn decode(text: &str) -> Escaped {
    if !text.contains('&') || CODE.iter().any(|sign| text.contains(sign)) {
        return Escaped::No;
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    let (mut found, mut is_certain) = (false, !text.contains(['<', '>']));
    while let Some(at) = rest.find('&') {
        let before = rest.as_bytes().get(at.wrapping_sub(1)).copied();
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((c, length)) = entity(rest) {
            let after = rest.as_bytes().get(length).copied();
            if before == after && matches!(before, Some(b'"' | b'\'')) {
                return Escaped::No;
            }
            decoded.push(c);
            rest = &rest[length..];
            found = true;
        } else {
            decoded.push('&');
            rest = &rest[1..];
            is_certain = false;
        }
    }
    decoded.push_str(rest);
    match (found, is_certain) {
        (false, _) => Escaped::No,
        (true, true) => Escaped::Yes(decoded),
        (true, false) => Escaped::Perhaps(decoded),
    }
}

/// The character of the entity that `text` starts with, and the length of the entity.
fn entity(text: &str) -> Option<(char, usize)> {
    const LENGTH_MAX: usize = 12;
    let end = text.bytes().take(LENGTH_MAX).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let c = match name.strip_prefix('#') {
        Some(number) => numbered(number)?,
        None => named(name)?,
    };
    Some((c, end + 1))
}

fn numbered(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) if !hex.starts_with('+') => u32::from_str_radix(hex, 16).ok()?,
        None if !number.starts_with('+') => number.parse().ok()?,
        _ => return None,
    };
    let c = match u8::try_from(code) {
        // Browsers take these for Windows characters.
        Ok(byte @ 0x80..=0x9F) => super::codec::Codec::Cp1252.decode(byte),
        _ => char::from_u32(code)?,
    };
    (!c.is_control() || matches!(c, '\t' | '\n' | '\r')).then_some(c)
}

/// Names of U+00A0 to U+00FF, in their order.
const LATIN: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 \
    sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml \
    Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml \
    times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave \
    eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute \
    ucirc uuml yacute thorn yuml";

/// Names of other characters.
const OTHERS: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("hellip", '…'),
    ("bull", '•'),
    ("prime", '′'),
    ("Prime", '″'),
    ("dagger", '†'),
    ("Dagger", '‡'),
    ("permil", '‰'),
    ("euro", '€'),
    ("trade", '™'),
    ("larr", '←'),
    ("uarr", '↑'),
    ("rarr", '→'),
    ("darr", '↓'),
    ("harr", '↔'),
    ("minus", '−'),
    ("ne", '≠'),
    ("le", '≤'),
    ("ge", '≥'),
    ("asymp", '≈'),
    ("infin", '∞'),
    ("radic", '√'),
    ("sum", '∑'),
    ("hearts", '♥'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
    ("zwnj", '\u{200C}'),
    ("zwj", '\u{200D}'),
    ("lrm", '\u{200E}'),
    ("rlm", '\u{200F}'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("fnof", 'ƒ'),
    ("circ", 'ˆ'),
    ("tilde", '˜'),
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("lambda", 'λ'),
    ("mu", 'μ'),
    ("pi", 'π'),
    ("sigma", 'σ'),
    ("omega", 'ω'),
    ("Delta", 'Δ'),
    ("Sigma", 'Σ'),
    ("Omega", 'Ω'),
];

fn named(name: &str) -> Option<char> {
    if let Some((_, c)) = OTHERS.iter().find(|(other, _)| *other == name) {
        return Some(*c);
    }
    let place = LATIN.split_ascii_whitespace().position(|latin| latin == name)?;
    char::from_u32(0xA0 + u32::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_is_decoded_once() {
        for (text, decoded) in [
            ("Fish &amp; chips", "Fish & chips"),
            ("&quot;quoted&quot; &#8217;s &#x2019;", "\"quoted\" ’s ’"),
            ("caf&eacute; &yuml; &nbsp;|", "café ÿ \u{A0}|"),
            ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
            ("&lt;b&gt;", "<b>"),
            ("it&#146;s", "it’s"),
        ] {
            assert_eq!(decode(text), Escaped::Yes(decoded.to_owned()), "{text}");
        }
        assert_eq!(LATIN.split_ascii_whitespace().count(), 96);
    }

    #[test]
    fn text_that_was_not_escaped_as_a_whole_is_left() {
        for text in [
            "AT&T",
            "R & D",
            "a && b",
            "?a=1&b=2",
            "write `&amp;` for an ampersand",
            "replace('&amp;', '-')",
            "<p>Fish &amp; chips</p>",
            "&unknown; &#0; &#x1F; &;",
            "&#xD800;",
        ] {
            assert_eq!(decode(text), Escaped::No, "{text}");
        }
        assert_eq!(decode("AT&T &amp; Co"), Escaped::Perhaps("AT&T & Co".to_owned()));
        assert_eq!(decode("5 > 3 &amp; 2"), Escaped::Perhaps("5 > 3 & 2".to_owned()));
    }
}
