//! SHA-256 beside the reading or writing: the bytes go to a thread of its own, so that hashing costs the caller a copy.
//!
//! It hashes the very bytes that were read or written, not the file once more, which may have changed meanwhile.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

/// Chunks that may wait.
const WAITING: usize = 4;

/// A digest that grows.
#[derive(Debug, Default)]
pub(crate) struct Hasher {
    /// The digest of the first chunk, and after the end that of all of them.
    here: Sha256,
    thread: Option<Thread>,
    bytes: u64,
}

#[derive(Debug)]
struct Thread {
    chunks: SyncSender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
    digest: JoinHandle<Sha256>,
}

impl Hasher {
    /// Adds bytes. The thread starts with the second chunk.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let is_first = self.bytes == 0;
        self.bytes += bytes.len() as u64;
        if is_first {
            self.here.update(bytes);
            return;
        }
        let thread = self.thread.get_or_insert_with(|| Thread::start(self.here.clone()));
        let mut chunk = thread.spare.try_recv().unwrap_or_default();
        chunk.clear();
        chunk.extend_from_slice(bytes);
        thread.send(chunk);
    }

    /// Adds the bytes of a buffer without copying them, and gives another, empty, in its place.
    pub(crate) fn take(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.bytes == 0 || bytes.is_empty() {
            self.update(&bytes);
            bytes.clear();
            return bytes;
        }
        self.bytes += bytes.len() as u64;
        let thread = self.thread.get_or_insert_with(|| Thread::start(self.here.clone()));
        let room = bytes.capacity();
        let spare = thread.spare.try_recv();
        thread.send(bytes);
        let mut spare = spare.unwrap_or_default();
        spare.clear();
        spare.reserve(room);
        spare
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits for the thread. Nothing is added after this.
    pub(crate) fn end(&mut self) {
        if let Some(Thread { chunks, digest, .. }) = self.thread.take() {
            drop(chunks);
            self.here = digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }

    /// The digest of all bytes, after the end.
    pub(crate) fn hex(&self) -> String {
        crate::ids::hex(&self.here.clone().finalize())
    }
}

impl Thread {
    fn start(mut digest: Sha256) -> Self {
        let (chunks, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (give_back, spare) = sync_channel(WAITING + 1);
        let digest = std::thread::spawn(move || {
            for chunk in waiting {
                digest.update(&chunk);
                let _ = give_back.try_send(chunk);
            }
            digest
        });
        Self { chunks, spare, digest }
    }

    fn send(&self, chunk: Vec<u8>) {
        self.chunks.send(chunk).expect("the thread lives as long as its sender");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_all_bytes_in_order() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for size in [1_000_000, 400_000, 7_001, 64] {
            let mut hasher = Hasher::default();
            text.chunks(size).for_each(|chunk| hasher.update(chunk));
            assert_eq!(hasher.bytes(), 400_000);
            hasher.end();
            assert_eq!(hasher.hex(), crate::ids::hex(&Sha256::digest(&text)), "{size}");
            let mut hasher = Hasher::default();
            let mut buffer = Vec::new();
            for chunk in text.chunks(size) {
                buffer.extend_from_slice(chunk);
                buffer = hasher.take(buffer);
                assert!(buffer.is_empty());
            }
            hasher.end();
            assert_eq!((hasher.bytes(), hasher.hex()), (400_000, crate::ids::hex(&Sha256::digest(&text))));
        }
    }
}
