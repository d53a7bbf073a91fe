//! Stored events: read, or said to be damaged; what is read is written and read again as the same.
use dataflow_journal::{WriteLevel, stored};

/// The body of an event in the journal.
pub fn check(data: &[u8]) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    if let Ok(event) = stored::decode(body, WriteLevel::NEWEST) {
        let written = stored::encode(&event, WriteLevel::NEWEST).unwrap();
        assert_eq!(stored::decode(&written, WriteLevel::NEWEST).unwrap(), event, "{written}");
    }
}
