//! Converts between the content of strings and their JSON form.
use memchr::memchr;

/// Unescapes a string into `into`; false if it contains half of a surrogate pair, which is not a character.
pub(crate) fn unescape(raw: &str, into: &mut String) -> bool {
    into.clear();
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        into.push_str(&rest[..at]);
        let (char, length) = match rest.as_bytes().get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => match code_point(&rest[at..]) {
                Some(found) => found,
                None => return false,
            },
            Some(byte @ (b'"' | b'\\' | b'/')) => (char::from(*byte), 2),
            _ => return false,
        };
        into.push(char);
        rest = &rest[at + length..];
    }
    into.push_str(rest);
    true
}

/// Parses `\uXXXX` or `\uXXXX\uXXXX` at the start of a text into a character and the length parsed.
fn code_point(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    match first {
        0xd800..0xdc00 => {
            let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
            char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).map(|char| (char, 12))
        }
        _ => char::from_u32(first).map(|char| (char, 6)),
    }
}

/// Writes a text as a JSON string, with quotes.
pub(crate) fn write_string(text: &str, into: &mut Vec<u8>) {
    into.push(b'"');
    write_content(text, into);
    into.push(b'"');
}

/// Writes what is between the quotes of a JSON string.
pub(crate) fn write_content(text: &str, into: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        into.extend_from_slice(&bytes[done..at]);
        match short {
            0 => into.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            short => into.extend_from_slice(&[b'\\', short]),
        }
        done = at + 1;
    }
    into.extend_from_slice(&bytes[done..]);
}
