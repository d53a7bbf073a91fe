//! Where passwords stand in a text: in URLs (`scheme://user:password@host`, `?password=…`), in lists of settings
//! (`host=… password='…'`), and in JSON (`"password": "…"`).
use std::ops::Range;

/// A place for a password, and how one is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretSpan {
    pub(super) range: Range<usize>,
    pub(super) written: Written,
}

/// How a password is written where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// As it is.
    Plain,
    /// Percent-encoded.
    InUrl,
    /// With backslashes before quotes, backslashes and spaces.
    InList,
}

/// The places for passwords in a text, in order. A reference in one may hold any character.
pub(super) fn places(text: &str) -> Vec<SecretSpan> {
    let mut places: Vec<SecretSpan> =
        in_urls(text).chain(in_settings(text)).filter(|place| !place.range.is_empty()).collect();
    places.sort_by_key(|place| place.range.start);
    let mut end = 0;
    places.retain(|place| {
        let apart = place.range.start >= end;
        end = end.max(place.range.end);
        apart
    });
    places
}

fn in_urls(text: &str) -> impl Iterator<Item = SecretSpan> {
    text.match_indices("://").filter_map(move |(scheme, _)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !text[..scheme].ends_with(plain) {
            return None;
        }
        let start = scheme + 3;
        let ends = |c: char| matches!(c, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>') || c.is_whitespace();
        let rest = &text[start..];
        let authority = &rest[..until(rest, ends)];
        // A driver takes all before an `@` as a login, whatever should have been percent-encoded in it.
        let wide = || {
            // No further than the next address, so that a text of many is still read once.
            let end = rest.find("://").unwrap_or(rest.len());
            let end = until(&rest[..end], |c| matches!(c, '"' | '\'' | '`' | '<' | '>' | '\n'));
            (authority.contains(':') && authority.len() < end).then(|| rest[..end].find('@')).flatten()
        };
        let at = authority.rfind('@').or_else(wide)?;
        let authority = rest;
        let colon = until(&authority[..at], |c| c == ':');
        (colon < at).then(|| SecretSpan { range: start + colon + 1..start + at, written: Written::InUrl })
    })
}

fn in_settings(text: &str) -> impl Iterator<Item = SecretSpan> {
    let mut end = 0;
    text.match_indices(['=', ':']).filter_map(move |(sign, which)| {
        // Part of the last one: it was looked through already, and may be long.
        if sign < end {
            return None;
        }
        let before = text[..sign].trim_end();
        let quoted = before.ends_with('"');
        // `password: wrong` are words; `"password": "…"` is JSON.
        if which == ":" && !quoted {
            return None;
        }
        let before = before.trim_end_matches(['"', '\\']);
        let name = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.%".contains(c)))
            .map_or(0, |at| at + char_len(before, at));
        // In a URL, names may be percent-encoded, and keys and tokens are parameters as passwords are.
        let in_url = text[..name].ends_with(['?', '&']);
        let called = decoded(&before[name..]);
        let called = String::from_utf8_lossy(&called);
        if !(is_secret_setting(&called) || in_url && named_like_a_secret(&called)) {
            return None;
        }
        let value = sign + 1 + (text[sign + 1..].len() - text[sign + 1..].trim_start().len());
        let rest = &text[value..];
        let (from, to) = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) if !in_url => (1, 1 + closing(&rest[1..], quote)),
            Some('\\') if rest.starts_with("\\\"") => (2, 2 + rest[2..].find("\\\"").unwrap_or(rest.len() - 2)),
            _ if in_url => (0, until(rest, |c| matches!(c, '&' | '#' | '"' | '\'') || c.is_whitespace())),
            _ => (0, unquoted(rest)),
        };
        let written = match (in_url, which) {
            (true, _) => Written::InUrl,
            (false, "=") => Written::InList,
            (false, _) => Written::Plain,
        };
        end = value + to;
        Some(SecretSpan { range: value + from..end, written })
    })
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

/// Where a text ends, references passed over.
fn until(text: &str, mut ends: impl FnMut(char) -> bool) -> usize {
    let mut inside = false;
    for (index, c) in text.char_indices() {
        match c {
            '{' if text[..index].ends_with('$') => inside = inside || is_closed(&text[index + 1..]),
            '}' => inside = false,
            _ if !inside && ends(c) => return index,
            _ => {}
        }
    }
    text.len()
}

/// Whether the reference that a text goes on with has an end, before another begins.
fn is_closed(text: &str) -> bool {
    let mut dollar = false;
    let brace = text.find(|c| {
        let opens = dollar && c == '{';
        dollar = c == '$';
        opens || c == '}'
    });
    brace.is_some_and(|at| text[at..].starts_with('}'))
}

/// Where a value without quotes ends, references and what is escaped passed over.
fn unquoted(text: &str) -> usize {
    let mut escaped = false;
    until(text, |c| {
        let ends = !escaped && (matches!(c, '"' | '\'' | ')') || c.is_whitespace());
        escaped = c == '\\' && !escaped;
        ends
    })
}

/// Where the quote is that ends a quoted text: no escaped one.
fn closing(text: &str, quote: char) -> usize {
    let (mut escaped, mut inside) = (false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' if text[..index].ends_with('$') => inside = true,
            '}' => inside = false,
            _ if c == quote && !inside => return index,
            _ => {}
        }
    }
    text.len()
}

fn is_secret_setting(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "pwd", "secret"].iter().any(|suffix| name.ends_with(suffix))
}

/// The address of a server without user and password, whether they are written out or refer to secrets; anything else as
/// it is.
pub(super) fn without_login(text: &str) -> String {
    let mut address = text.to_owned();
    for place in places(text).into_iter().rev() {
        address.replace_range(place.range, "");
    }
    let Some(start) = address.find("://").map(|scheme| scheme + 3) else { return address };
    let end = start + until(&address[start..], |c| matches!(c, '/' | '?' | '#'));
    if let Some(at) = address[start..end].rfind('@') {
        address.replace_range(start..=start + at, "");
    }
    address
}

/// Whether a name is one that secrets are kept under, also where its schema doesn't mark it: settings passed through to
/// a client library have no schema of their own.
pub(super) fn named_like_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let names = ["token", "apikey", "api_key", "api-key", "api.key", "credentials", "authorization"];
    is_secret_setting(&name) || names.iter().any(|suffix| name.ends_with(suffix))
}

/// A secret, written as it has to be in its place.
pub(super) fn write(secret: &str, written: Written) -> String {
    match written {
        Written::Plain => secret.into(),
        Written::InUrl => percent(secret, "", true),
        Written::InList => {
            let special = |c: char| matches!(c, '\'' | '\\') || c.is_whitespace();
            secret.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
        }
    }
}

/// Percent-encoded but for letters, digits, `-._~` and what is `kept`.
pub(super) fn percent(text: &str, kept: &str, upper: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "-._~".contains(c) || c.is_ascii() && kept.contains(c) => encoded.push(c),
            _ if upper => encoded.push_str(&format!("%{byte:02X}")),
            _ => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    encoded
}

/// The text that percent-encoding stands for.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_wherever_they_stand() {
        let cases: [(&str, &[&str]); 28] = [
            ("https://here/x?size=5&api_key=k1&page=2", &["k1"]),
            ("no token=here, nor api_key=there", &[]),
            ("db://me:p/w@here/x", &["p/w"]),
            ("db://me:my pass?#@here", &["my pass?#"]),
            ("db://here:5432/x, then db://there:5432/y", &[]),
            ("db://me:hunter2@here/x?y=z", &["hunter2"]),
            ("can't reach db://me:p:w@here: refused", &["p:w"]),
            ("db://me:${file:/run/pw}@here", &["${file:/run/pw}"]),
            ("db://me:p@ss@here/", &["p@ss"]),
            ("db://${env:U}:pw@here/", &["pw"]),
            ("db://${env:U}@here/", &[]),
            ("db://here:5432/x", &[]),
            ("db://me@here", &[]),
            ("db://me:@here", &[]),
            ("db://me@h/d?sslmode=x&password=p%40s&sslpassword=q#f", &["p%40s", "q"]),
            ("db://me@h/d?passwor%64=pw&x=y", &["pw"]),
            ("db://me@h/d?x=y&%70assword=${env:PW}", &["${env:PW}"]),
            ("db://me@h/d?%50%41%53%53%57%4f%52%44=pw", &["pw"]),
            ("host=here password=pw user=me", &["pw"]),
            (r"host=here password = 'it\'s me' user=me", &[r"it\'s me"]),
            ("PASSWORD=x", &["x"]),
            (r#"{"url": 5, "password": "p w", "port": 5}"#, &["p w"]),
            (r#"{\"password\":\"pw\"}"#, &["pw"]),
            ("password authentication failed for user \"me\"", &[]),
            ("check the password: it is wrong", &[]),
            ("a://b:c@d, then e://f:g@h", &["c", "g"]),
            ("password=${env:A B}", &["${env:A B}"]),
            ("größe=5 pässword=6 xpassword=7", &["7"]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> = places(text).into_iter().map(|place| &text[place.range]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
