//! Servers of a test's own, which it may stop, and that ask for certificates of its own.
#![allow(clippy::disallowed_methods)] // a test has no node whose settings they could be
mod certificates;
pub mod gate;
mod kafka;
mod mariadb;
mod minio;
mod postgres;

pub use certificates::{Authority, Identity};
pub use kafka::{Grant, Kafka, Listener};
pub use mariadb::Mariadb;
pub use minio::{Completing, Minio};
pub use postgres::Postgres;

use std::{
    net::TcpListener,
    process::Child,
    time::{Duration, Instant},
};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// The server's process, which ends with the test.
struct Process(Child);

impl Process {
    /// Ends it at once.
    fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// Waits until it answers.
    fn wait_for(&mut self, what: &str, answers: impl Fn() -> bool) {
        let begun = Instant::now();
        while !answers() {
            if let Ok(Some(status)) = self.0.try_wait() {
                panic!("{what} ended while it was starting: {status}");
            }
            assert!(begun.elapsed() < PATIENCE, "{what} does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
