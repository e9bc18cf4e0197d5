//! The first bytes of a file: is it a SQLite database, and what does its header say?
//!
//! Layout: <https://sqlite.org/fileformat2.html#the_database_header>. Nothing here opens a file.

use crate::text;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The parts of a SQLite header that identify a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Bytes a page.
    pub page_size: u64,
    /// Pages of the database, when the header is trustworthy; else 0.
    pub pages: u64,
    /// Whether it is in write-ahead-log mode.
    pub wal: bool,
    /// The number by which a program marks its files; 0 when it does not.
    pub application_id: u32,
    /// The number by which a program versions its schema; 0 when it does not.
    pub user_version: u32,
}

/// What a file is when it is not a SQLite database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    first: Vec<u8>,
}

impl Header {
    /// Reads the header from the first bytes of a file.
    pub fn parse(first: &[u8]) -> Result<Self, Foreign> {
        if first.len() < 100 || first[..16] != MAGIC[..] {
            return Err(Foreign { first: first.to_vec() });
        }
        let word = |at: usize| u32::from_be_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
        let page_size = match u16::from_be_bytes([first[16], first[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        // The page count is only kept up to date by writers that also keep these two numbers equal.
        let trustworthy = word(24) == word(92);
        Ok(Self {
            page_size,
            pages: if trustworthy { u64::from(word(28)) } else { 0 },
            wal: first[18] == 2 || first[19] == 2,
            application_id: word(68),
            user_version: word(60),
        })
    }

    /// How long the file must at least be.
    pub fn promised_bytes(&self) -> u64 {
        self.pages * self.page_size
    }
}

impl Foreign {
    /// What a file of `size` bytes that starts like this seems to be.
    pub fn describe(&self, size: u64) -> String {
        if self.first.starts_with(&MAGIC[..self.first.len().min(15)]) {
            return format!("it starts like one but ends within its header, after {}", text::bytes(size));
        }
        let known: [(&[u8], &str); 6] = [
            (b"\x1f\x8b", "it is gzip-compressed"),
            (b"\x28\xb5\x2f\xfd", "it is zstd-compressed"),
            (b"PK\x03\x04", "it is a ZIP archive"),
            (b"PGDMP", "it is a PostgreSQL dump"),
            (b"DUCK", "it is a DuckDB file"),
            (b"** This file contains an SQLite", "it is an older SQLite 2 file"),
        ];
        if let Some((_, what)) = known.iter().find(|(magic, _)| self.first.starts_with(magic)) {
            return (*what).to_owned();
        }
        if self.first.get(8..12) == Some(b"DUCK") {
            return "it is a DuckDB file".to_owned();
        }
        if let Ok(start) = std::str::from_utf8(&self.first[..self.first.len().min(40)])
            && !start.contains('\0')
        {
            return format!("it is text, starting with `{}`", text::one_line(start));
        }
        if size.is_multiple_of(512) && size >= 1024 && entropy(&self.first) > 7.0 {
            return "its bytes look random, so it is probably encrypted (as SQLCipher does); this tool has no key"
                .to_owned();
        }
        "its header is not SQLite's".to_owned()
    }
}

/// Shannon entropy in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let share = |count: &u32| f64::from(*count) / total;
    counts.iter().filter(|c| **c > 0).map(|c| -share(c) * share(c).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_foreign_files_apart() {
        let describe = |bytes: &[u8]| Header::parse(bytes).unwrap_err().describe(bytes.len() as u64);
        assert!(describe(b"SQLite format 3\0short").contains("ends within its header"));
        assert!(describe(b"CREATE TABLE x (id INTEGER);").contains("it is text, starting with `CREATE"));
        assert!(describe(b"\x1f\x8b\x08\0\0").contains("gzip"));
        let mut state = 1_u64;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(4096)
        .collect();
        assert!(describe(&random).contains("encrypted"));
        assert!(describe(&[0; 4096]).contains("not SQLite's"));
    }
}
