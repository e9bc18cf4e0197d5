//! Single-byte encodings that UTF-8 is read as by mistake, and the bytes that their characters were.
//!
//! A table holds what each byte from 0x80 up becomes. Bytes that an encoding leaves open become the control character
//! of the same number, as browsers and most libraries do it.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A single-byte encoding, in the order in which they are preferred where the evidence is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// Windows, Western Europe.
    Cp1252,
    /// ISO 8859-1: every byte is the code point of the same number.
    Latin1,
    /// Classic Mac OS, Western Europe.
    MacRoman,
    /// Windows, Central Europe.
    Cp1250,
    /// Windows, Cyrillic.
    Cp1251,
    /// Windows, Turkish.
    Cp1254,
    /// DOS, United States.
    Cp437,
    /// DOS, Western Europe.
    Cp850,
}

/// How many encodings there are.
pub(super) const CODECS: usize = 8;

impl Codec {
    /// All of them, in order of preference.
    pub const ALL: [Self; CODECS] = [
        Self::Cp1252,
        Self::Latin1,
        Self::MacRoman,
        Self::Cp1250,
        Self::Cp1251,
        Self::Cp1254,
        Self::Cp437,
        Self::Cp850,
    ];

    /// Its name as reports and decisions spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cp1252 => "cp1252",
            Self::Latin1 => "latin1",
            Self::MacRoman => "mac-roman",
            Self::Cp1250 => "cp1250",
            Self::Cp1251 => "cp1251",
            Self::Cp1254 => "cp1254",
            Self::Cp437 => "cp437",
            Self::Cp850 => "cp850",
        }
    }

    fn table(self) -> Option<&'static [&'static str; 4]> {
        match self {
            Self::Latin1 => None,
            Self::Cp1252 => Some(&CP1252),
            Self::MacRoman => Some(&MAC_ROMAN),
            Self::Cp1250 => Some(&CP1250),
            Self::Cp1251 => Some(&CP1251),
            Self::Cp1254 => Some(&CP1254),
            Self::Cp437 => Some(&CP437),
            Self::Cp850 => Some(&CP850),
        }
    }

    /// What the byte becomes; `byte` is 0x80 or more.
    pub(super) fn decode(self, byte: u8) -> char {
        TABLES.decode[self as usize][usize::from(byte - FIRST)]
    }

    /// The byte that became `c`, from 0x80 up; `None` for ASCII and for what the encoding does not have.
    pub(super) fn encode(self, c: char) -> Option<u8> {
        let byte = bytes_of(c)[self as usize];
        (byte != 0).then_some(byte)
    }

    /// Bytes that the encoding has no character for: programs that drop what they cannot show lose them.
    pub(super) fn holes(self) -> impl Iterator<Item = u8> {
        (FIRST..=0xBF).filter(move |byte| self.decode(*byte) == char::from(*byte) && *byte < 0xA0)
    }
}

/// The byte of `c` in each encoding; 0 where it has none.
pub(super) fn bytes_of(c: char) -> [u8; CODECS] {
    let (row, place) = place(c);
    TABLES.rows[row][place]
}

/// Where a character stands in the tables.
fn place(c: char) -> (usize, usize) {
    let code = c as u32;
    let row = TABLES.pages.get((code >> 8) as usize).copied().unwrap_or_default();
    (usize::from(row), (code & 0xFF) as usize)
}

/// A set of encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Codecs(u8);

impl Codecs {
    pub(super) const ALL: Self = Self(u8::MAX);

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, codec: Codec) -> bool {
        self.0 & 1 << codec as u8 != 0
    }

    pub(super) fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

/// What the byte of a character can be to UTF-8, encoding by encoding.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Roles {
    /// Begins a character.
    leads: Codecs,
    /// Goes on with one.
    follows: Codecs,
}

impl Roles {
    pub(super) fn of(c: char) -> Self {
        let (row, place) = place(c);
        TABLES.roles[row][place]
    }

    /// The encodings in which these two can begin a character.
    pub(super) fn may_begin(self, next: Self) -> Codecs {
        Codecs(self.leads.0 & next.follows.0)
    }
}

const FIRST: u8 = 0x80;

struct Tables {
    decode: [[char; 128]; CODECS],
    /// Which of `rows` holds the characters of a page of 256 code points; the first is that of all which have none.
    pages: [u8; 256],
    rows: Vec<[[u8; CODECS]; 256]>,
    /// The same rows.
    roles: Vec<[Roles; 256]>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let none = vec![[[0; CODECS]; 256]];
    let mut tables = Tables { decode: [['\0'; 128]; CODECS], pages: [0; 256], rows: none, roles: Vec::new() };
    for codec in Codec::ALL {
        for byte in FIRST..=u8::MAX {
            let at = usize::from(byte - FIRST);
            let c = match codec.table() {
                None => char::from(byte),
                Some(parts) => parts[at / 32].chars().nth(at % 32).unwrap_or_default(),
            };
            tables.decode[codec as usize][at] = c;
            let page = &mut tables.pages[(c as usize) >> 8];
            if *page == 0 {
                *page = u8::try_from(tables.rows.len()).expect("few pages");
                tables.rows.push([[0; CODECS]; 256]);
            }
            tables.rows[usize::from(*page)][(c as usize) & 0xFF][codec as usize] = byte;
        }
    }
    tables.roles = tables.rows.iter().map(|row| row.map(roles)).collect();
    tables
});

fn roles(bytes: [u8; CODECS]) -> Roles {
    let codecs = |is: fn(u8) -> bool| {
        let bits = bytes.iter().enumerate().map(|(codec, byte)| u8::from(is(*byte)) << codec);
        Codecs(bits.fold(0, |all, bit| all | bit))
    };
    Roles {
        leads: codecs(|byte| matches!(byte, 0xC2..=0xF4)),
        follows: codecs(|byte| matches!(byte, 0x80..=0xBF)),
    }
}

const CP1252: [&str; 4] = [
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ",
    "\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß",
    "àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
];
const MAC_ROMAN: [&str; 4] = [
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü",
    "†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø",
    "¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ",
    "‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
];
const CP1250: [&str; 4] = [
    "€\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź",
    "\u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż",
    "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß",
    "ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
];
const CP1251: [&str; 4] = [
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ",
    "\u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї",
    "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
];
const CP1254: [&str; 4] = [
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ",
    "\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß",
    "àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
];
const CP437: [&str; 4] = [
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ",
    "áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
];
const CP850: [&str; 4] = [
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒ",
    "áíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐",
    "└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀",
    "ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_round_trip_in_every_encoding() {
        for codec in Codec::ALL {
            for byte in FIRST..=u8::MAX {
                let c = codec.decode(byte);
                assert!(!c.is_ascii(), "{codec:?} {byte:x}");
                assert_eq!(codec.encode(c), Some(byte), "{codec:?} {c:?}");
            }
            assert_eq!(codec.encode('a'), None);
            assert_eq!(codec.encode('中'), None);
            assert_eq!(codec.encode('\u{1F4A1}'), None);
        }
    }

    #[test]
    fn known_characters_stand_where_the_standards_have_them() {
        let known = [
            (Codec::Cp1252, 0x80, '€'),
            (Codec::Cp1252, 0x9D, '\u{9D}'),
            (Codec::Latin1, 0x80, '\u{80}'),
            (Codec::MacRoman, 0xF0, '\u{F8FF}'),
            (Codec::MacRoman, 0xA9, '©'),
            (Codec::Cp1250, 0xB3, 'ł'),
            (Codec::Cp1251, 0xC0, 'А'),
            (Codec::Cp1254, 0xFD, 'ı'),
            (Codec::Cp437, 0xE3, 'π'),
            (Codec::Cp850, 0xB5, 'Á'),
        ];
        for (codec, byte, c) in known {
            assert_eq!(codec.decode(byte), c, "{codec:?} {byte:x}");
        }
        assert_eq!(Codec::Cp1252.holes().collect::<Vec<_>>(), [0x81, 0x8D, 0x8F, 0x90, 0x9D]);
    }
}
