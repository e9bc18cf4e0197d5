//! ^C and SIGTERM as a flag that the work looks at, so that it can end cleanly.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static STOP: AtomicBool = AtomicBool::new(false);
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// The flag; it becomes true when the process is asked to end. Asking again gives the same flag.
pub(crate) fn stop_flag() -> anyhow::Result<&'static AtomicBool> {
    if !IS_WATCHED.swap(true, Ordering::Relaxed) {
        ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed))
            .context("failed to watch for interruption")?;
    }
    Ok(&STOP)
}
