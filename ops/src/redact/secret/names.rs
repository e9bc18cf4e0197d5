//! Which names announce a secret, in the spellings of code, configuration, headers and prose.

/// Longer names are none.
const NAME_MAX: usize = 64;

/// What a name announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anything a person could have chosen.
    Password,
    /// What a program made: longer, and rarely a word.
    Token,
    /// A scheme and credentials.
    Authorization,
    /// Everything to the end of the line.
    Cookie,
}

/// Ends of names, in lower case without separators, with what they announce.
const ENDINGS: [(&str, Class); 31] = [
    ("password", Class::Password),
    ("passwd", Class::Password),
    ("passphrase", Class::Password),
    ("passcode", Class::Password),
    ("passwort", Class::Password),
    ("kennwort", Class::Password),
    ("pwd", Class::Password),
    ("passwordhash", Class::Password),
    ("secret", Class::Token),
    ("token", Class::Token),
    ("apikey", Class::Token),
    ("accesskey", Class::Token),
    ("accesskeyid", Class::Token),
    ("secretkey", Class::Token),
    ("privatekey", Class::Token),
    ("signingkey", Class::Token),
    ("encryptionkey", Class::Token),
    ("masterkey", Class::Token),
    ("authkey", Class::Token),
    ("rolekey", Class::Token),
    ("anonkey", Class::Token),
    ("licensekey", Class::Token),
    ("supabasekey", Class::Token),
    ("openaikey", Class::Token),
    ("anthropickey", Class::Token),
    ("stripekey", Class::Token),
    ("credential", Class::Token),
    ("credentials", Class::Token),
    ("amzsignature", Class::Token),
    ("authorization", Class::Authorization),
    ("cookie", Class::Cookie),
];
/// Words that make `key` behind them the name of a secret.
const KEYS: [&str; 8] = ["api", "access", "secret", "private", "auth", "signing", "encryption", "license"];

/// The end of the name that begins at `at`: letters, digits, underscores and hyphens inside.
pub(crate) fn end(text: &str, at: usize) -> usize {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let run = text.as_bytes()[at..].iter().take(NAME_MAX).take_while(|b| is_name(b)).count();
    at + text[at..at + run].trim_end_matches('-').len()
}

/// The name in lower case, without separators and without a number at its end.
pub(crate) fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_'));
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    plain.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

/// What the name between `at` and `end` announces, with the word before it.
pub(crate) fn class(text: &str, at: usize, end: usize) -> Option<Class> {
    // Almost all words end otherwise; this spares them the copy.
    let last = text.as_bytes()[..end].iter().rev().find(|b| !b.is_ascii_digit())?.to_ascii_lowercase();
    if end - at >= NAME_MAX || !b"dtyhesn".contains(&last) {
        return None;
    }
    let name = plain(&text[at..end]);
    if name == "key" {
        let before = text[..at].strip_suffix(' ')?;
        let word = before.len() - before.bytes().rev().take(12).take_while(u8::is_ascii_alphabetic).count();
        let word = before[word..].to_ascii_lowercase();
        return KEYS.contains(&word.as_str()).then_some(Class::Token);
    }
    ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, class)| *class)
}
