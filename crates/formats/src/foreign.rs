//! Recognizes files in another encoding or format, and suggests a fix.

/// How files of other formats begin, and what to do with them.
const FORMATS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "the file looks like gzip: give it a name that ends in .gz, or set compression: gzip at the source"),
    (
        b"\x28\xb5\x2f\xfd",
        "the file looks like zstd: give it a name that ends in .zst, or set compression: zstd at the source",
    ),
    (b"BZh", "the file looks like bzip2: decompress it with bunzip2"),
    (b"\xfd7zXZ\0", "the file looks like xz: decompress it with unxz"),
    (b"\x04\x22\x4d\x18", "the file looks like lz4: decompress it with unlz4"),
    (b"\xff\x06\0\0sNaPpY", "the file looks like Snappy: decompress it first"),
    (b"PK\x03\x04", "the file looks like a zip archive, which .xlsx files are, too: unpack it, or save it as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "the file looks like a 7z archive: unpack it"),
    (
        b"PAR1",
        "the file looks like Parquet: give it a name that ends in .parquet, or set format: parquet at the source",
    ),
    (b"ORC", "the file looks like ORC: convert it to JSON lines or CSV"),
    (b"ARROW1", "the file looks like Arrow: convert it to JSON lines or CSV"),
    (b"Obj\x01", "the file looks like Avro: give it a name that ends in .avro, or set format: avro at the source"),
    (b"SQLite format 3\0", "the file looks like a SQLite database: export its table to CSV"),
];

/// A fix for bytes that are not UTF-8.
pub fn encoding(bytes: &[u8]) -> &'static str {
    format(bytes).unwrap_or("if the file is Latin-1, convert it with iconv -f WINDOWS-1252 -t UTF-8")
}

/// A fix for UTF-16 or another format, if that is what the bytes are.
pub fn format(bytes: &[u8]) -> Option<&'static str> {
    if is_utf16(bytes) {
        return Some("the file looks like UTF-16: convert it with iconv -f UTF-16 -t UTF-8");
    }
    if bytes.starts_with(&[0; 4]) {
        return Some(
            "it begins with NUL bytes: the file was truncated while its writer did not append, or its disk has lost data",
        );
    }
    // Some begin like a text does.
    let binary =
        || bytes.iter().take(64).any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace() || *byte >= 0x80);
    FORMATS.iter().find(|(begin, _)| bytes.starts_with(begin) && binary()).map(|(_, fix)| *fix)
}

/// A fix for lines that end with carriage returns only.
pub const RETURNS: &str = "lines end with carriage returns only: convert them to line feeds with tr '\\r' '\\n'";

/// A fix for a line that is not a JSON object, if its cause is a usual one.
pub(crate) fn line(record: &[u8]) -> Option<&'static str> {
    let text = record.trim_ascii();
    let (first, last) = (*text.first()?, *text.last()?);
    let is_member = || first == b'"' && text.windows(2).any(|pair| pair == b"\":");
    if let Some(format) = format(record) {
        return Some(format);
    }
    if text.contains(&b'\r') {
        return Some(RETURNS);
    }
    match first {
        b'[' => Some("each record must be an object of its own; in a file, convert the array with jq -c '.[]'"),
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
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || nul(0) != nul(1)
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
            (b"\x1f\x8b\x08\0\0", "compression: gzip"),
            (b"\x28\xb5\x2f\xfd\x04", "compression: zstd"),
            (b"BZh91AY&SY\xd0", "bunzip2"),
            (b"\xfd7zXZ\0\0", "unxz"),
            (b"PK\x03\x04\x14\0", "zip"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"\xff\xfei\0", "UTF-16"),
            (b"BZhao", ""),
            (&[0; 20], "truncated"),
            (b"\0\0\0\0\0\0\0{\"a\":1}", "truncated"),
            (b"PAR1", ""),
            (b"{\"a\": 1", ""),
            (b"hello", ""),
            (b"", ""),
        ] {
            let found = line(record).unwrap_or_default();
            let fits = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(fits, "{record:?}: {found}");
        }
        assert!(encoding(b"\xff\xfei\0d\0").contains("UTF-16"));
        assert!(encoding(b"\x1f\x8b\x08\0").contains("gzip"));
        assert!(encoding(b"gr\xfc\xdfe").contains("WINDOWS-1252"));
    }
}
