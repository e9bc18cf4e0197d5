//! Who holds the table for the runs of a plan directory, noted there, so that a killed runner's lease is given back by
//! the next runner instead of being waited for.
//!
//! Only who holds the lock of the directory may act on the note: then the runner that wrote it is gone. That
//! conclusion is good only where the lock would have kept that runner away, which is in this very directory and since
//! this start of the machine. In a copy of the directory, or on another machine, the note is nobody's.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::change::error::RunError;
use crate::change::lock::PlanLock;
use crate::files::{self, FileError};
use crate::os;
use crate::target::RunId;

/// Name of the note in the plan directory.
const FILE: &str = ".runner.json";

/// A runner that holds a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// What it runs.
    pub(crate) run: RunId,
    /// Under which name the target knows it.
    pub(crate) owner: String,
}

/// Where a lock and a note belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    boot: String,
    device: u64,
    inode: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    place: Place,
    holder: Holder,
}

/// The note of a plan directory whose lock is held.
#[derive(Debug)]
pub(crate) struct Seat {
    path: PathBuf,
    /// `None` where the system cannot tell one place from another: then nothing is noted.
    place: Option<Place>,
}

impl Seat {
    /// The note of the directory that this lock locks.
    pub(crate) fn of(lock: &PlanLock) -> Self {
        let directory = lock.directory();
        let id = std::fs::metadata(directory).ok().and_then(|metadata| os::file_id(&metadata));
        let place =
            id.zip(os::boot_id()).map(|(id, boot)| Place { boot, device: id.device, inode: id.inode });
        Self { path: directory.join(FILE), place }
    }

    /// The runner that was here last and did not give its table back. It is gone.
    pub(crate) fn left_behind(&self) -> Option<Holder> {
        let text = files::read_text(&self.path).ok()?;
        let note: Note = serde_json::from_str(&text).ok()?;
        (Some(note.place) == self.place).then_some(note.holder)
    }

    /// Notes who is about to take the table.
    pub(crate) fn take(&self, holder: Holder) -> Result<(), RunError> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        let note = serde_json::to_vec(&Note { place, holder }).expect("names and numbers are JSON");
        Ok(files::write_atomic(&self.path, &note)?)
    }

    /// Notes that nobody holds it any more. What cannot be removed does no harm: the target is asked.
    pub(crate) fn leave(&self) {
        let _ = std::fs::remove_file(&self.path).map_err(|e| FileError::new("remove", &self.path, e));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        let run = RunId { plan: "ab".repeat(32), direction: "apply".to_owned() };
        Holder { run, owner: "0011".to_owned() }
    }

    #[test]
    fn a_note_is_good_in_its_own_directory_alone() {
        let (here, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = PlanLock::take(here.path()).unwrap();
        let seat = Seat::of(&lock);
        assert_eq!(seat.left_behind(), None);
        seat.take(holder()).unwrap();
        if seat.place.is_none() {
            return;
        }
        assert_eq!(Seat::of(&lock).left_behind(), Some(holder()));
        std::fs::copy(here.path().join(FILE), copy.path().join(FILE)).unwrap();
        let other = PlanLock::take(copy.path()).unwrap();
        assert_eq!(
            Seat::of(&other).left_behind(),
            None,
            "a copy of the directory says nothing of its runner"
        );
        seat.leave();
        assert_eq!(seat.left_behind(), None);
    }

    #[test]
    fn a_note_from_before_the_machine_started_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let seat = Seat::of(&PlanLock::take(dir.path()).unwrap());
        let Some(place) = seat.place.clone() else { return };
        let earlier =
            Seat { path: seat.path.clone(), place: Some(Place { boot: "earlier".to_owned(), ..place }) };
        earlier.take(holder()).unwrap();
        assert_eq!(seat.left_behind(), None);
        files::write_atomic(&seat.path, b"{\"torn").unwrap();
        assert_eq!(seat.left_behind(), None);
    }
}
