//! What only Unix has, each with its twin for other systems: inodes, reading at a place, forgetting what was written, and process groups.
//!
//! No other module may ask which system it runs on.

use std::fs::{File, Metadata};
use std::io;
use std::process::{Child, Command};

/// Device and inode of a file, where the system has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FileId {
    /// Number of the device that holds the file.
    pub device: u64,
    /// Number of the file on that device.
    pub inode: u64,
}

/// The file's own identity, which stays when the file is renamed; `None` outside Unix.
pub fn file_id(metadata: &Metadata) -> Option<FileId> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some(FileId { device: metadata.dev(), inode: metadata.ino() })
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// Fills `buffer` from a place of a file, whoever else reads it. Where the file is read on is open afterwards.
pub fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            match file.seek_read(rest, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    at += count as u64;
                    rest = &mut rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Lets the system bring a part of a file to the disk now and forget what is there already, where it can: nobody reads it
/// soon, and memory that is used again costs less than memory that was never used.
pub fn let_go(file: &File, from: u64, length: u64) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Advice, fadvise};
        // Advice: whatever becomes of it, the file is the same.
        let _ = fadvise(file, from, std::num::NonZeroU64::new(length), Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, length);
}

/// Which start of the machine this is, where the system says so; the same in every container on it.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Makes the program the leader of a process group of its own, so that what it starts can be ended with it.
/// Outside Unix only the program itself can be ended.
pub fn own_group(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    #[cfg(not(unix))]
    let _ = command;
}

/// Leaves no image of this process behind should it abort, as one does that is meant to.
pub fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}

/// How hard a process group is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A request that the program may handle (`SIGTERM`).
    Terminate,
    /// An end that it cannot (`SIGKILL`).
    Kill,
}

/// Signals the whole group led by `child`, grandchildren included, even after the leader has exited.
/// A group that is gone already is not an error.
pub fn signal_group(child: &mut Child, signal: Signal) {
    #[cfg(unix)]
    {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
    #[cfg(not(unix))]
    {
        let _ = signal;
        let _ = child.kill();
    }
}

/// The signal that ended a program, where the system has signals.
pub fn ended_by(status: std::process::ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        status.signal()
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        None
    }
}
