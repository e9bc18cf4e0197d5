//! How odd two neighbouring characters are in text that nothing happened to, and how likely a character is at all.
//!
//! This is what tells `CAFÉ»` from `cafÃ©`: both decode, but only the second has neighbours that no language puts
//! together. The rules are about classes of characters, never about single damaged strings.

/// What a character is to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// White space, ends of the text, and ASCII punctuation: goes with everything.
    Plain,
    Digit,
    Letter,
    /// Quotation marks, each of which opens in one language and closes in another.
    Quote,
    /// Marks that only open.
    Open,
    Dots,
    Dash,
    /// What is set behind a word or number without a blank.
    Mark,
    /// What is set before words, with or without a blank.
    Bullet,
    Currency,
    Operator,
    /// What operators stand between.
    Operand,
    Fraction,
    /// Lines and blocks that frames are drawn with.
    Frame,
    /// What people hardly type.
    Stray,
    /// Everything else.
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Digit,
        '\0'..='\u{7F}' | '\u{A0}' => Class::Plain,
        '“' | '”' | '‘' | '’' | '«' | '»' | '‹' | '›' => Class::Quote,
        '„' | '‚' | '¿' | '¡' => Class::Open,
        '…' => Class::Dots,
        '–' | '—' => Class::Dash,
        '®' | '™' | '©' | '°' | '²' | '³' | '¹' | 'ª' | 'º' | '†' | '‡' | '·' | '∙' => {
            Class::Mark
        }
        '•' | '§' | '¶' => Class::Bullet,
        '€' | '£' | '¥' | '¢' => Class::Currency,
        '±' | '≠' | '≤' | '≥' | '≈' | '÷' | '×' | '¬' | '◊' | '∩' | '≡' => Class::Operator,
        '∞' | 'π' | 'Ω' | 'µ' | '∆' | '∂' | '∑' | '∏' | '∫' | '√' | 'ƒ' => Class::Operand,
        '¼' | '½' | '¾' | '‰' => Class::Fraction,
        '\u{2500}'..='\u{25FF}' => Class::Frame,
        '\u{80}'..='\u{9F}' | '¤' | '¦' | '¨' | '\u{AD}' | '¯' | '´' | '¸' | '\u{2C0}'..='\u{2DF}' => {
            Class::Stray
        }
        '⁄' | '⌐' | '₧' | '⌠' | '⌡' | 'ⁿ' | '‗' | 'ﬁ' | 'ﬂ' | '\u{F8FF}' => Class::Stray,
        c if c.is_alphabetic() => Class::Letter,
        _ => Class::Other,
    }
}

/// Letters outside of ASCII that may touch in one language, in lower case. `œ` touches none.
const ALPHABETS: [&str; 22] = [
    "àâæçéèêëîïôùûüÿ",
    "äöüß",
    "äöüõåšž",
    "áðéíóúýþæöø",
    "æøåéèêóòôä",
    "áäčďéěíĺľňóôŕřšťúůýž",
    "àáâãçéêíóôõúü",
    "áéíóúñüç",
    "áéíóöőúüű",
    "âçğıîöşüû",
    "áčđŋšŧžäöåøæï",
    "àáâèéêìíîòóôùúûŵŷëïö",
    "ăâîșțşţ",
    "čćžšđ",
    "ąćęłńóśźż",
    "àçéèíïòóúü",
    "āčēģīķļņšūž",
    "ąčęėįšųūž",
    "ċġħżàèìòù",
    "àáâãèéêìíòóôõùúýăđĩũơư",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґў",
    "абвгдежзиклмнопрстуфхцчшђјљњћџѓќѕё",
];

#[derive(PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Other,
}

fn script(c: char) -> Script {
    match c {
        '\0'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => Script::Latin,
        '\u{370}'..='\u{3FF}' => Script::Greek,
        '\u{400}'..='\u{52F}' => Script::Cyrillic,
        _ => Script::Other,
    }
}

fn lower(c: char) -> char {
    let mut folded = c.to_lowercase();
    folded.next().filter(|_| folded.next().is_none()).unwrap_or(c)
}

fn shares_alphabet(a: char, b: char) -> bool {
    let (a, b) = (lower(a), lower(b));
    a == b || script(a) == Script::Greek || ALPHABETS.iter().any(|set| set.contains(a) && set.contains(b))
}

/// Points of a letter beside a letter.
fn letters(a: char, b: char) -> u32 {
    if a.is_ascii() && b.is_ascii() {
        return 0;
    }
    let is_hump = a.is_lowercase() && b.is_uppercase() && !b.is_ascii();
    let is_mixed = script(a) != script(b);
    let is_foreign = !a.is_ascii() && !b.is_ascii() && !shares_alphabet(a, b);
    if is_hump || is_mixed || is_foreign { ODD } else { 0 }
}

/// Not to be found in text that nothing happened to.
pub(super) const ODD: u32 = 2;
const RARE: u32 = 1;

/// How odd it is that `b` follows `a`, where `before` stands before `a`: 0, [`RARE`] or [`ODD`].
pub(super) fn odd(before: [char; 2], b: char) -> u32 {
    let [first, a] = before;
    let (left, right) = (class_beside(a, b), class_beside(b, a));
    if left == Class::Stray || right == Class::Stray {
        return ODD;
    }
    if left == Class::Letter {
        return if right == Class::Letter { letters(a, b) } else { behind_letter(first, a, b, right) };
    }
    if right == Class::Letter {
        return before_letter(first, a, b, left);
    }
    symbols(a, left, b, right)
}

/// The class of `c`; letters that are also signs of mathematics are letters beside letters.
fn class_beside(c: char, neighbour: char) -> Class {
    let is_letter_too = matches!(c, 'π' | 'Ω' | 'µ') && script(neighbour) == Script::Greek;
    if is_letter_too { Class::Letter } else { class(c) }
}

fn behind_letter(first: char, a: char, b: char, right: Class) -> u32 {
    let is_word = first.is_alphabetic();
    match right {
        Class::Open | Class::Bullet | Class::Fraction | Class::Frame => ODD,
        Class::Mark if matches!(b, '©' | '°') && !a.is_ascii() => ODD,
        Class::Currency | Class::Operator | Class::Operand if !a.is_ascii() => ODD,
        Class::Operator | Class::Operand if is_word || b == '¬' => ODD,
        Class::Currency | Class::Operator | Class::Operand => RARE,
        _ => 0,
    }
}

fn before_letter(first: char, a: char, b: char, left: Class) -> u32 {
    match left {
        Class::Quote if !matches!(a, '’' | '‘') && class(first) == Class::Letter => ODD,
        Class::Mark => match a {
            '°' if b.is_ascii() => 0,
            '†' | '‡' => 0,
            '·' | '∙' => u32::from(class(first) != Class::Letter) * RARE,
            'ª' | 'º' => RARE,
            _ => ODD,
        },
        Class::Currency | Class::Operator | Class::Operand | Class::Fraction if !b.is_ascii() => ODD,
        Class::Operand if a == '∞' => RARE,
        Class::Currency | Class::Fraction | Class::Frame => RARE,
        Class::Digit if !b.is_ascii() => RARE,
        _ => 0,
    }
}

/// Points where neither is a letter.
fn symbols(a: char, left: Class, b: char, right: Class) -> u32 {
    use Class::{Bullet, Currency, Dash, Digit, Fraction, Frame, Mark, Open, Operand, Operator, Quote};
    match (left, right) {
        (Digit, Operator) if b == '¬' => ODD,
        (Operand, Operator | Mark | Currency) if a == '√' => ODD,
        (Operator, Operator) if b != '¬' => ODD,
        (Operator, Currency) if a == '¬' => ODD,
        (Quote, Open) if matches!(a, '’' | '”' | '»' | '›') => ODD,
        (Frame, Mark | Currency | Open | Operator | Operand | Fraction)
        | (Operator | Open, Mark | Bullet)
        | (Currency, Mark | Open | Bullet | Operator | Fraction)
        | (Mark, Open) => ODD,
        (Operator, Operand) if a == '¬' && b == '∞' => RARE,
        (Operand, Mark) if matches!(b, '®' | '™' | '©') => RARE,
        (Quote | Dash, Mark | Operator | Bullet)
        | (Open, Open | Operator)
        | (Mark, Mark | Currency | Operand | Digit)
        | (Currency | Operator, Currency) => RARE,
        _ => 0,
    }
}

/// Points of a letter that no language has as a word, where it stands alone: `Â` between blanks. In quotation marks
/// or brackets it is spoken about.
pub(super) fn alone(before: char, lead: char, next: char) -> u32 {
    let is_word = before.is_alphanumeric() && !before.is_ascii_digit();
    let is_quoted =
        matches!(class(before), Class::Quote | Class::Open) || matches!(before, '"' | '\'' | '(' | '[' | '`');
    if is_word || is_quoted || class(next) == Class::Letter {
        return 0;
    }
    if matches!(lead, 'Â' | 'Ã' | 'â' | 'ã' | 'ð' | 'Ð' | 'Î' | 'Ï' | 'Ù' | 'Ă' | 'Ĺ') {
        ODD
    } else {
        0
    }
}

/// Points of a Cyrillic word in small letters that nobody could speak, because it has no vowel: `вњ` between blanks.
pub(super) fn unspeakable(before: char, seen: &str) -> u32 {
    let letters = || seen.chars().take_while(|c| c.is_alphabetic());
    let is_word = letters().count() > 1 && !before.is_alphabetic();
    let is_mute =
        letters().all(|c| script(c) == Script::Cyrillic && c.is_lowercase() && !"аеёиоуыэюяіїєў".contains(c));
    if is_word && is_mute { ODD } else { 0 }
}

/// Whether the character is a line or block of a drawn frame.
pub(super) fn is_frame(c: char) -> bool {
    class(c) == Class::Frame
}

/// Characters of text everywhere, and pictures that people put in front of it.
#[rustfmt::skip]
const EVERYWHERE: &[(char, char)] = &[
    ('\u{A0}', '\u{A0}'), ('–', '—'), ('‘', '’'), ('“', '”'), ('•', '•'), ('…', '…'), ('€', '€'), ('™', '™'),
    ('\u{231A}', '\u{231B}'), ('\u{23E9}', '\u{23F3}'), ('\u{26A0}', '\u{26A1}'), ('\u{2705}', '\u{2705}'),
    ('\u{2728}', '\u{2728}'), ('\u{274C}', '\u{274C}'), ('\u{2753}', '\u{2757}'), ('\u{2764}', '\u{2764}'),
    ('\u{27A1}', '\u{27A1}'), ('\u{2B50}', '\u{2B50}'), ('\u{FE0F}', '\u{FE0F}'), ('\u{1F300}', '\u{1F64F}'),
    ('\u{1F680}', '\u{1F6FF}'), ('\u{1F900}', '\u{1FAFF}'),
];

/// Characters of many languages, and signs. Spacing accents are in the next list.
#[rustfmt::skip]
const OFTEN: &[(char, char)] = &[
    ('¡', '£'), ('¥', '¥'), ('§', '§'), ('©', '®'), ('°', '³'), ('µ', '·'), ('¹', 'ſ'), ('\u{218}', '\u{21B}'),
    ('Δ', 'Δ'), ('Σ', 'Σ'), ('Ω', 'Ω'), ('α', 'ω'), ('\u{200B}', '\u{200F}'), ('\u{2010}', '\u{2027}'), ('\u{202F}', '\u{203A}'), ('\u{20A8}', '\u{20BF}'),
    ('\u{2190}', '\u{22FF}'), ('\u{23CF}', '\u{23FA}'), ('\u{2500}', '\u{27BF}'), ('\u{2B05}', '\u{2B55}'),
    ('\u{FEFF}', '\u{FEFF}'), ('\u{FFFD}', '\u{FFFD}'), ('\u{1F1E6}', '\u{1F1FF}'),
];

/// Characters of one script or trade.
#[rustfmt::skip]
const IN_PLACES: &[(char, char)] = &[
    ('¤', '¤'), ('¦', '¦'), ('¨', '¨'), ('¯', '¯'), ('´', '´'), ('¸', '¸'), ('ƒ', 'ƒ'), ('Ơ', 'ơ'), ('Ư', 'ư'),
    ('ˆ', 'ˆ'), ('˜', '˜'), ('\u{300}', '\u{45F}'), ('Ґ', 'ґ'), ('\u{5D0}', '\u{5EA}'), ('\u{600}', '\u{6FF}'),
    ('\u{900}', '\u{E7F}'), ('\u{10A0}', '\u{10FF}'), ('\u{1E00}', '\u{1EFF}'), ('\u{2070}', '\u{209F}'),
    ('\u{2100}', '\u{218F}'), ('\u{2300}', '\u{23FF}'), ('\u{2460}', '\u{24FF}'), ('\u{3000}', '\u{30FF}'),
    ('\u{4E00}', '\u{9FFF}'), ('\u{AC00}', '\u{D7A3}'), ('\u{FF00}', '\u{FFEF}'), ('\u{1F000}', '\u{1F2FF}'),
    ('\u{1F650}', '\u{1F67F}'), ('\u{1F700}', '\u{1F8FF}'), ('\u{E0020}', '\u{E007F}'),
];

/// How much a character is to be expected in text: 0 hardly, 1 in its language, 2 in many, 3 everywhere.
pub(super) fn expected(c: char) -> u32 {
    let is_in = |ranges: &[(char, char)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c));
    match () {
        () if is_in(EVERYWHERE) => 3,
        () if is_in(OFTEN) => 2,
        () => u32::from(is_in(IN_PLACES)),
    }
}
