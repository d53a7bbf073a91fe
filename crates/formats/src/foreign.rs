//! Recognizes files in another encoding or format, and suggests a fix.

/// A fix for bytes that are not UTF-8.
pub fn encoding(bytes: &[u8]) -> &'static str {
    utf16(bytes).unwrap_or("if the file is Latin-1, convert it with iconv -f WINDOWS-1252 -t UTF-8")
}

/// A fix for UTF-16, if that is what the bytes are.
pub fn utf16(bytes: &[u8]) -> Option<&'static str> {
    is_utf16(bytes).then_some("the file looks like UTF-16: convert it with iconv -f UTF-16 -t UTF-8")
}

/// A fix for lines that end with carriage returns only.
pub const RETURNS: &str = "lines end with carriage returns only: convert them to line feeds with tr '\\r' '\\n'";

/// A fix for a line that is not a JSON object, if its cause is a usual one.
pub(crate) fn line(record: &[u8]) -> Option<&'static str> {
    let text = record.trim_ascii();
    let (first, last) = (*text.first()?, *text.last()?);
    let is_member = || first == b'"' && text.windows(2).any(|pair| pair == b"\":");
    if let Some(encoding) = utf16(record) {
        return Some(encoding);
    }
    if text.contains(&b'\r') {
        return Some(RETURNS);
    }
    match first {
        b'[' => Some("a file needs one record per line: convert the array with jq -c '.[]'"),
        b'{' if text.len() == 1 => Some("a file needs one record per line: convert it with jq -c ."),
        b'}' | b']' if text.len() <= 2 => Some("a file needs one record per line: convert it with jq -c ."),
        b'"' if is_member() => Some("a file needs one record per line: convert it with jq -c ."),
        b'{' => None,
        _ if last != b'}' && text.iter().any(|byte| matches!(byte, b',' | b';' | b'\t')) => {
            Some("if the lines of the file are CSV, set format: csv at the source")
        }
        _ => None,
    }
}

/// Returns whether bytes begin with the byte order mark of UTF-16, or every other of the first ones is NUL.
fn is_utf16(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(16)];
    let nul = |from: usize| head.len() > 3 && head.iter().skip(from).step_by(2).all(|byte| *byte == 0);
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || nul(0) || nul(1)
}

#[cfg(test)]
mod tests {
    use super::{encoding, line};

    #[test]
    fn files_of_another_kind_are_told() {
        let utf16: Vec<u8> = "{\"a\": 1}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (record, expected) in [
            (&b"id,name"[..], "format: csv"),
            (b"1;Ann;2026", "format: csv"),
            (b"[{\"a\": 1}, {\"a\": 2}]", "jq -c '.[]'"),
            (b"[", "jq -c '.[]'"),
            (b"{", "jq -c ."),
            (b"  \"a\": 1,", "jq -c ."),
            (b"  },", "jq -c ."),
            (b"{\"a\": 1}\r{\"a\": 2}", "tr '\\r' '\\n'"),
            (&utf16, "iconv -f UTF-16"),
            (b"{\"a\": 1", ""),
            (b"hello", ""),
            (b"", ""),
        ] {
            let found = line(record).unwrap_or_default();
            let fits = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(fits, "{record:?}: {found}");
        }
        assert!(encoding(b"\xff\xfei\0d\0").contains("UTF-16"));
        assert!(encoding(b"gr\xfc\xdfe").contains("WINDOWS-1252"));
    }
}
