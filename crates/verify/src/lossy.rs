//! Bytes that became U+FFFD in a row: two keys or ids that differed only in them can't be distinguished any more.
use dataflow_sdk::{
    Records,
    audit::{Example, Finding, MAX_EXAMPLES, shown},
    batch::{Output, Payload},
};

/// U+FFFD, which replaces bytes that are not UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Rows with characters that replace lost bytes.
#[derive(Debug, Default)]
pub(crate) struct Lossy(Finding);

impl Lossy {
    /// Checks rows as documents.
    pub(crate) fn look(&mut self, rows: &Output) {
        let (Payload::Documents { data, spans }, Some(records)) = (&rows.payload, &rows.records) else { return };
        if !contains(data, REPLACEMENT) {
            return;
        }
        for (span, record) in spans.iter().zip(&rows.rows) {
            let (document, row) = (span.of(data), *record as usize);
            if contains(document, REPLACEMENT) && !has_it_already(records, row) {
                self.0.add(|| Example {
                    partition: Some(records.partition.to_string()),
                    position: Some(records.before(row).at.to_string()),
                    place: Some("U+FFFD replaces bytes of its key or metadata that are not UTF-8".into()),
                    expected: records.keys.as_ref().and_then(|keys| keys.get(row)).map(hex),
                    found: Some(shown(document)),
                    ..Example::default()
                });
            }
        }
    }

    /// Adds the findings to the altered rows.
    pub(crate) fn add_to(self, altered: &mut Finding) {
        altered.count += self.0.count;
        altered.examples.extend(self.0.examples);
        altered.examples.truncate(MAX_EXAMPLES);
    }
}

/// Returns whether a record contains the character itself: written or escaped, in its data, its key or its metadata.
fn has_it_already(records: &Records, row: usize) -> bool {
    let parts = [
        records.bytes(row),
        records.keys.as_ref().and_then(|keys| keys.get(row)),
        records.metadata.as_ref().and_then(|metadata| metadata.get(row)),
    ];
    let escaped = |part: &[u8]| contains(&part.to_ascii_lowercase(), b"\\ufffd");
    parts.into_iter().flatten().any(|part| contains(part, REPLACEMENT) || escaped(part))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    format!("key 0x{digits}")
}

#[cfg(test)]
mod tests {
    use super::Lossy;
    use dataflow_core::position::Position;
    use dataflow_sdk::{
        Records, Span,
        audit::Finding,
        batch::{Output, Payload},
        records::{Layout, Slices},
    };
    use std::sync::Arc;

    fn found(key: &[u8], record: &str, document: &str) -> u64 {
        let records = Records {
            data: record.to_owned().into(),
            spans: vec![Span::new(0, record.len())],
            offsets: vec![7],
            keys: Some(Slices { data: key.to_vec().into(), spans: vec![Span::new(0, key.len())] }),
            ..Records::empty("t/0".into(), Position::offset(7), Layout::Json)
        };
        let payload =
            Payload::Documents { data: document.to_owned().into(), spans: vec![Span::new(0, document.len())] };
        let (mut lossy, mut altered) = (Lossy::default(), Finding::default());
        lossy.look(&Output::of(Arc::new(records), vec![0], payload));
        lossy.add_to(&mut altered);
        altered.count
    }

    #[test]
    fn bytes_that_became_a_character_are_found() {
        assert_eq!(found(&[0, 0, 0, 0, 0, 0, 1, 0x90], "{}", "{\"k\":\"\u{fffd}\"}"), 1);
        assert_eq!(found(b"key", "{}", "{\"k\":\"key\"}"), 0);
        assert_eq!(found(b"key", "{\"a\":\"\u{fffd}\"}", "{\"a\":\"\u{fffd}\"}"), 0, "it was there before");
        assert_eq!(found(b"key", r#"{"a":"\uFFFD"}"#, "{\"a\":\"\u{fffd}\"}"), 0, "it was there, escaped");
        assert_eq!(found("\u{fffd}".as_bytes(), "{}", "{\"k\":\"\u{fffd}\"}"), 0, "the key has it");
    }
}
