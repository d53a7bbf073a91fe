//! The real servers that some tests need; `dev/services` starts them.
use std::net::TcpStream;

/// The address of Kafka.
#[cfg(feature = "witness")]
pub(crate) const KAFKA: &str = ADDRESSES[0];
/// The addresses of Kafka and PostgreSQL.
const ADDRESSES: [&str; 2] = ["127.0.0.1:9092", "127.0.0.1:5432"];

/// Returns whether the servers are up; a missing one is a failure if they are required.
pub fn are_up() -> bool {
    let missing: Vec<_> = ADDRESSES.into_iter().filter(|address| TcpStream::connect(address).is_err()).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::vars().any(|(name, value)| name == "DATAFLOW_REQUIRE_SERVICES" && value == "1");
    assert!(!required, "nothing answers at {missing:?}");
    eprintln!("skipped: nothing answers at {missing:?} (dev/services/services.sh up kafka postgres)");
    false
}
