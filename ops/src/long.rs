//! Long files, read and written from front to back: what is behind is let go of, so that the system need not find new
//! memory for every byte of them.
//!
//! Memory that was never used costs several times what memory costs that is used again, most of all in a virtual machine,
//! and a long file would push out what others need. The beginning stays: most files are no longer, and those are soon
//! read again. Nothing here changes what a file holds.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::os;

/// Bytes of a file that the system may keep in memory.
const KEPT: u64 = 256 << 20;
/// Bytes that are let go of at once.
const STEP: u64 = 32 << 20;

/// How far a file was passed.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Where letting go goes on.
    next: u64,
}

impl Default for Behind {
    fn default() -> Self {
        Self { next: KEPT }
    }
}

impl Behind {
    /// Lets go of what is before this place, if it is much. Each step twice: what was on its way to the disk the first
    /// time is there the second time.
    pub(crate) fn pass(&mut self, file: &File, place: u64) {
        while place >= self.next + 2 * STEP {
            os::let_go(file, self.next, 2 * STEP);
            self.next += STEP;
        }
    }
}

/// A file that is written from its start.
#[derive(Debug)]
pub(crate) struct LongFile {
    file: File,
    written: u64,
    behind: Behind,
}

impl LongFile {
    /// An empty file.
    pub(crate) fn new(file: File) -> Self {
        Self { file, written: 0, behind: Behind::default() }
    }

    /// The file, written.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

impl Write for LongFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.written += length as u64;
        self.behind.pass(&self.file, self.written);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One of several who go forward through a file at the same time: what all of them have passed is let go of.
#[derive(Debug)]
pub(crate) struct Passer<'f> {
    file: &'f File,
    number: usize,
    all: Arc<Mutex<Passed>>,
}

/// How far each of them is; who has ended keeps nobody waiting.
#[derive(Debug)]
struct Passed {
    places: Vec<u64>,
    behind: Behind,
}

impl<'f> Passer<'f> {
    /// All who go through this file.
    pub(crate) fn all<const N: usize>(file: &'f File) -> [Self; N] {
        let all = Arc::new(Mutex::new(Passed { places: vec![0; N], behind: Behind::default() }));
        std::array::from_fn(|number| Self { file, number, all: Arc::clone(&all) })
    }

    /// Nothing before this place is needed any more.
    pub(crate) fn pass(&self, place: u64) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.places[self.number] = place;
        let last = all.places.iter().copied().min().unwrap_or_default();
        all.behind.pass(self.file, last);
    }
}

impl Drop for Passer<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).places[self.number] = u64::MAX;
    }
}

/// Reads a file from its start, whoever else reads it at other places.
#[derive(Debug)]
pub(crate) struct LongRead<'f> {
    passer: Passer<'f>,
    at: u64,
    left: u64,
}

impl<'f> LongRead<'f> {
    /// At the start of a file, which stays as long as it is.
    pub(crate) fn new(passer: Passer<'f>) -> io::Result<Self> {
        let left = passer.file.metadata()?.len();
        Ok(Self { passer, at: 0, left })
    }
}

impl Read for LongRead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        os::read_exact_at(self.passer.file, &mut buffer[..length], self.at)?;
        self.at += length as u64;
        self.left -= length as u64;
        self.passer.pass(self.at);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was let go of is still in the file.
    #[test]
    fn a_file_is_whole_though_its_parts_were_let_go() {
        let mut file = LongFile::new(tempfile::tempfile().unwrap());
        file.behind.next = 0;
        let text: Vec<u8> = (0..1 << 20_u32).flat_map(u32::to_le_bytes).collect();
        let times = usize::try_from(4 * STEP).unwrap() / text.len();
        (0..times).try_for_each(|_| file.write_all(&text)).unwrap();
        assert_eq!(file.behind.next, 3 * STEP);
        let file = file.into_file();
        let passers: [_; 3] = Passer::all(&file);
        let all = Arc::clone(&passers[0].all);
        let next = || all.lock().unwrap().behind.next;
        all.lock().unwrap().behind.next = 0;
        let [first, second, ended] = passers;
        for (reader, expected) in [(first, 0), (second, 0)] {
            let mut found = Vec::new();
            LongRead::new(reader).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == text.repeat(times));
            assert_eq!(next(), expected, "somebody is at the start");
        }
        ended.pass(4 * STEP);
        assert_eq!(next(), 3 * STEP);
    }
}
