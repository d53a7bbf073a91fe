//! The signals that end the program: SIGTERM and SIGINT (Ctrl-C).
use signal_hook::consts::SIGXFSZ;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its making on, so that no signal is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// If the system won't have it.
    pub fn listen() -> io::Result<Self> {
        // Once it is listened for, a file that may not grow any more (`ulimit -f`) is an error of who writes, like a full disk,
        // and no longer the end of the program.
        drop(signal(SignalKind::from_raw(SIGXFSZ))?);
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
