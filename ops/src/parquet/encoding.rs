//! The encodings of values: runs and packed bits, differences, split bytes.
//!
//! Every function gets the bytes of one page with [`PADDING`] bytes behind them, and where they end. Runs are taken as far
//! as they are asked for, so that a run that claims a billion values costs nothing until somebody wants them.

use super::Fault;
use super::thrift::Reader;

/// So many bytes lie behind every page, so that packed bits can be read a word at a time.
pub(super) const PADDING: usize = 16;
/// More values of a page are not decoded at once.
const VALUES_MAX: u64 = 1 << 24;

/// Runs of one value and runs of packed bits, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Hybrid {
    at: usize,
    end: usize,
    width: u32,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    Same {
        value: u32,
        left: usize,
    },
    /// The position of the next bit.
    Packed {
        bit: usize,
        left: usize,
    },
}

impl Hybrid {
    /// The runs from `at` to `end`, of values of `width` bits.
    pub(super) fn new(at: usize, end: usize, width: u32) -> Result<Self, Fault> {
        let is_sound = at <= end && width <= 32;
        is_sound
            .then_some(Self { at, end, width, run: Run::Same { value: 0, left: 0 } })
            .ok_or(Fault::Damaged)
    }

    /// Puts the next values behind `out`.
    pub(super) fn read(&mut self, page: &[u8], count: usize, out: &mut Vec<u32>) -> Result<(), Fault> {
        let mut wanted = count;
        while wanted > 0 {
            match &mut self.run {
                Run::Same { value, left } if *left > 0 => {
                    let taken = wanted.min(*left);
                    out.resize(out.len() + taken, *value);
                    *left -= taken;
                    wanted -= taken;
                }
                Run::Packed { bit, left } if *left > 0 => {
                    let taken = wanted.min(*left);
                    unpack(page, *bit, self.width, taken, out)?;
                    *bit += taken * self.width as usize;
                    *left -= taken;
                    wanted -= taken;
                }
                _ => self.next_run(page)?,
            }
        }
        Ok(())
    }

    /// The value of all of the next `count`, when one run holds them.
    pub(super) fn same(&mut self, page: &[u8], count: usize) -> Result<Option<u32>, Fault> {
        if matches!(self.run, Run::Same { left: 0, .. } | Run::Packed { left: 0, .. }) && count > 0 {
            self.next_run(page)?;
        }
        Ok(match &mut self.run {
            Run::Same { value, left } if *left >= count => {
                *left -= count;
                Some(*value)
            }
            _ => None,
        })
    }

    fn next_run(&mut self, page: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(page.get(self.at..self.end).ok_or(Fault::Damaged)?);
        let head = reader.varint().map_err(|_| Fault::Damaged)?;
        self.at += reader.position();
        let count = usize::try_from(head >> 1).map_err(|_| Fault::Damaged)?;
        if head & 1 == 0 {
            let bytes = self.width.div_ceil(8) as usize;
            let value = page.get(self.at..self.at + bytes).filter(|_| self.at + bytes <= self.end);
            let value = value.ok_or(Fault::Damaged)?.iter().rev().fold(0, |v, b| (v << 8) | u32::from(*b));
            self.at += bytes;
            self.run = Run::Same { value, left: count };
            return Ok(());
        }
        // Eight values to a group; some writers leave out what the last group does not need.
        let bit = self.at * 8;
        let bits = count.checked_mul(8 * self.width as usize).ok_or(Fault::Damaged)?;
        let there = (self.end - self.at) * 8;
        let left = match self.width as usize {
            0 => count.checked_mul(8).ok_or(Fault::Damaged)?,
            width => bits.min(there) / width,
        };
        if left == 0 && count > 0 {
            return Err(Fault::Damaged);
        }
        self.at += bits.div_ceil(8).min(self.end - self.at);
        self.run = Run::Packed { bit, left };
        Ok(())
    }
}

/// Puts `count` values of `width` bits, from the bit at `bit`, behind `out`.
fn unpack(page: &[u8], bit: usize, width: u32, count: usize, out: &mut Vec<u32>) -> Result<(), Fault> {
    let width = width as usize;
    let end = (bit + count * width).div_ceil(8);
    let bytes = page.get(bit / 8..end + 8).ok_or(Fault::Damaged)?;
    let mask = (1_u64 << width) - 1;
    let first = bit % 8;
    out.extend((0..count).map(|i| {
        let at = first + i * width;
        let word: [u8; 8] = bytes[at / 8..at / 8 + 8].try_into().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "masked to 32 bits at most")]
        let value = ((u64::from_le_bytes(word) >> (at % 8)) & mask) as u32;
        value
    }));
    Ok(())
}

/// Whole numbers written as differences: all of them, and where they end. Additions wrap, as the format says.
pub(super) fn deltas(page: &[u8], at: usize, end: usize) -> Result<(Vec<i64>, usize), Fault> {
    let damaged = |_| Fault::Damaged;
    let mut reader = Reader::new(page.get(at..end).ok_or(Fault::Damaged)?);
    let block = reader.varint().map_err(damaged)?;
    let parts = reader.varint().map_err(damaged)?;
    let total = reader.varint().map_err(damaged)?;
    let mut value = reader.zigzag().map_err(damaged)?;
    let is_sound = (1..=256).contains(&parts) && block <= 1 << 16 && block % (parts * 32) == 0 && block > 0;
    if !is_sound || total > VALUES_MAX {
        return Err(Fault::Damaged);
    }
    let (parts, per_part) =
        (usize::try_from(parts).unwrap_or(1), usize::try_from(block / parts).unwrap_or(32));
    let total = usize::try_from(total).map_err(|_| Fault::Damaged)?;
    let mut values = Vec::new();
    if total > 0 {
        values.push(value);
    }
    let mut at = at + reader.position();
    while values.len() < total {
        let mut reader = Reader::new(page.get(at..end).ok_or(Fault::Damaged)?);
        let least = reader.zigzag().map_err(damaged)?;
        at += reader.position();
        let widths = page.get(at..at + parts).filter(|_| at + parts <= end).ok_or(Fault::Damaged)?;
        at += parts;
        for width in widths {
            if values.len() == total {
                break;
            }
            let width = usize::from(*width);
            let bytes = width * per_part / 8;
            if width > 64 || at + bytes > end {
                return Err(Fault::Damaged);
            }
            let count = per_part.min(total - values.len());
            for i in 0..count {
                let difference = wide(page, at * 8 + i * width, width).ok_or(Fault::Damaged)?;
                value = value.wrapping_add(least).wrapping_add(difference.cast_signed());
                values.push(value);
            }
            at += bytes;
        }
    }
    Ok((values, at))
}

/// The number of `width` bits, up to 64, at a bit.
fn wide(page: &[u8], bit: usize, width: usize) -> Option<u64> {
    let word: [u8; 16] = page.get(bit / 8..bit / 8 + 16)?.try_into().ok()?;
    let value = (u128::from_le_bytes(word) >> (bit % 8)) & ((1_u128 << width) - 1);
    u64::try_from(value).ok()
}

/// The bytes of the number at `index` of those whose bytes are split: all first bytes, then all second ones.
pub(super) fn split<const N: usize>(bytes: &[u8], index: usize) -> Option<[u8; N]> {
    let count = bytes.len() / N;
    let mut number = [0; N];
    for (place, byte) in number.iter_mut().enumerate() {
        *byte = *bytes.get(place * count + index).filter(|_| index < count)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(bytes: &[u8]) -> Vec<u8> {
        [bytes, &[0xff; PADDING]].concat()
    }

    #[test]
    fn runs_and_packed_bits() {
        // A run of 5 times 3, then eight packed values of 3 bits: 0 to 7.
        let bytes = padded(&[10, 3, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        let mut hybrid = Hybrid::new(0, 6, 3).unwrap();
        let mut out = Vec::new();
        hybrid.read(&bytes, 4, &mut out).unwrap();
        hybrid.read(&bytes, 9, &mut out).unwrap();
        assert_eq!(out, [3, 3, 3, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(hybrid.read(&bytes, 1, &mut out), Err(Fault::Damaged));
    }

    #[test]
    fn a_run_is_known_to_be_one() {
        let bytes = padded(&[10, 1, 3, 0b1010_1010]);
        let mut hybrid = Hybrid::new(0, 4, 1).unwrap();
        assert_eq!(hybrid.same(&bytes, 5), Ok(Some(1)));
        assert_eq!(hybrid.same(&bytes, 8), Ok(None));
        let mut out = Vec::new();
        hybrid.read(&bytes, 8, &mut out).unwrap();
        assert_eq!(out, [0, 1, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        for bytes in
            [&[][..], &[3], &[0x80], &[10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            let mut hybrid = Hybrid::new(0, bytes.len(), 9).unwrap();
            let mut out = Vec::new();
            assert_eq!(hybrid.read(&padded(bytes), 8, &mut out), Err(Fault::Damaged), "{bytes:?}");
        }
        assert!(Hybrid::new(0, 0, 33).is_err());
    }

    #[test]
    fn differences() {
        // 7, 5, 3, 1, 2, 3, 4, 5 in one block of 128 with four parts: the example of the format's description.
        let mut bytes = vec![0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0];
        bytes.extend([0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0]);
        let found = deltas(&padded(&bytes), 0, bytes.len()).unwrap();
        assert_eq!(found, (vec![7, 5, 3, 1, 2, 3, 4, 5], bytes.len()));
        for end in 0..bytes.len() {
            assert_eq!(deltas(&padded(&bytes[..end]), 0, end), Err(Fault::Damaged), "{end}");
        }
    }

    #[test]
    fn split_bytes() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(split::<4>(&bytes, 1), Some([2, 4, 6, 8]));
        assert_eq!(split::<4>(&bytes, 2), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_in_values_or_an_error(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80),
            width in 0_u32..33,
            count in 0_usize..500,
        ) {
            let page = padded(&bytes);
            let mut out = Vec::new();
            let mut hybrid = Hybrid::new(0, bytes.len(), width).unwrap();
            if hybrid.read(&page, count, &mut out).is_ok() {
                proptest::prop_assert_eq!(out.len(), count);
            }
            let _ = deltas(&page, 0, bytes.len());
        }
    }
}
