//! ^C and SIGTERM as a flag that the work looks at, so that it can end cleanly.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static STOP: AtomicBool = AtomicBool::new(false);

/// The flag; it becomes true when the process is asked to end.
pub(crate) fn stop_flag() -> anyhow::Result<&'static AtomicBool> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed)).context("failed to watch for interruption")?;
    Ok(&STOP)
}
