//! The signals that end the program: SIGTERM and SIGINT (Ctrl-C).
use signal_hook::consts::SIGXFSZ;
use std::{fmt, io};
use tokio::signal::unix::{self, SignalKind, signal};

/// A signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Listens from its making on, so that no signal is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
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

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}
