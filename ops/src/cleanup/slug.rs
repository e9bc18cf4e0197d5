//! The address that is made of a title.
//!
//! A stand-in: the form is settled, the transliteration is not in it.

/// Letters and digits in lower case, everything between them one `_`; none when nothing is left.
pub fn slug(text: &str, max_chars: usize) -> Option<String> {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    let end = slug.char_indices().nth(max_chars).map_or(slug.len(), |(at, _)| at);
    slug.truncate(slug[..end].trim_end_matches('_').len());
    (!slug.is_empty()).then_some(slug)
}
