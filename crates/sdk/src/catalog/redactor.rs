//! Keeps secrets out of texts, in whatever way they are written there.
use super::passwords::{decoded, percent, places};
use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    fmt,
    ops::Range,
    sync::{Arc, PoisonError, RwLock, Weak},
};

/// Shown in place of a secret.
pub const REDACTED: &str = "***";

/// So many characters of a secret in a row are hidden wherever they stand, also if they are only part of it.
const PIECE: usize = 8;
/// A shorter secret is hidden where it stands as a word of its own; one that is shorter still only where a password
/// stands (`password=…`, `://user:…@`), as it would turn every text into stars.
const WORD: usize = 4;

/// Keeps the secrets of one connector out of all that it says.
///
/// What is written openly anyway (the user's name, a word of the connector's manual) is hidden only where a password stands,
/// even if a secret is the same or holds it: hiding it elsewhere would tell more than it hides.
pub(crate) struct Redactor {
    secrets: Vec<String>,
    finder: Option<AhoCorasick>,
    /// Of each pattern of the finder: whether it counts only as a word of its own.
    words: Vec<bool>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// A redactor of these secrets; `open` is all that may be shown.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>, open: &[&str]) -> Self {
        let secrets: BTreeSet<String> = secrets.into_iter().filter(|secret| !secret.is_empty()).collect();
        let (mut patterns, mut words) = (HashSet::new(), HashSet::new());
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            if form.len() >= PIECE {
                patterns.extend(form.windows(PIECE).map(<[u8]>::to_vec));
            } else if form.len() >= WORD {
                words.insert(form);
            }
        }
        for text in open.iter().map(|text| text.as_bytes()) {
            for piece in text.windows(PIECE) {
                patterns.remove(piece);
            }
            // Each length once: there may be many words, and much that is open.
            for length in if words.is_empty() { PIECE..PIECE } else { WORD..PIECE } {
                for (at, word) in text.windows(length).enumerate() {
                    if words.contains(word) && is_word(text, &(at..at + length)) {
                        words.remove(word);
                    }
                }
            }
        }
        let flags = std::iter::repeat_n(false, patterns.len()).chain(std::iter::repeat_n(true, words.len())).collect();
        let all: Vec<Vec<u8>> = patterns.into_iter().chain(words).collect();
        // More than fits is more than there is memory for; then only places of passwords are known.
        let finder = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&all).ok();
        Self { secrets: secrets.into_iter().collect(), finder: finder.filter(|_| !all.is_empty()), words: flags }
    }

    /// Whether there is nothing to hide.
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The same text without secrets.
    pub(crate) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut ranges: Vec<Range<usize>> = self.known(text);
        ranges.extend(places(text).into_iter().map(|place| place.range));
        without(text, ranges)
    }

    /// The same text without secrets, owned.
    pub(crate) fn owned(&self, text: String) -> String {
        match self.hide(&text) {
            Cow::Owned(hidden) => hidden,
            Cow::Borrowed(_) => text,
        }
    }

    fn known(&self, text: &str) -> Vec<Range<usize>> {
        let Some(finder) = &self.finder else { return Vec::new() };
        let bytes = text.as_bytes();
        let found = finder
            .find_overlapping_iter(bytes)
            .filter(|found| !self.words[found.pattern().as_usize()] || is_word(bytes, &found.range()));
        found.map(|found| found.range()).collect()
    }
}

fn is_word(text: &[u8], range: &Range<usize>) -> bool {
    let joins = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    !joins(range.start.checked_sub(1).and_then(|at| text.get(at))) && !joins(text.get(range.end))
}

/// The text with stars in the place of each range; those that touch are one.
fn without(text: &str, mut ranges: Vec<Range<usize>>) -> Cow<'_, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.sort_by_key(|range| range.start);
    let (mut hidden, mut shown) = (String::new(), 0);
    for range in ranges {
        // A piece may begin or end within a character.
        let start = (0..=range.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = (range.end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        if end <= shown {
            continue;
        }
        if start > shown || hidden.is_empty() {
            hidden.push_str(&text[shown.min(start)..start]);
            hidden.push_str(REDACTED);
        }
        shown = end;
    }
    hidden.push_str(&text[shown..]);
    Cow::Owned(hidden)
}

/// Every way in which a secret may be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut plain = vec![secret.as_bytes().to_vec(), decoded(secret)];
    plain.dedup();
    let mut forms = Vec::new();
    for bytes in &plain {
        forms.push(hex(bytes, false));
        forms.push(hex(bytes, true));
        forms.extend([STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)].map(String::into_bytes));
        for before in 0..3 {
            forms.extend(base64(bytes, before));
        }
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        for (kept, upper) in
            [("", true), ("", false), (USER_INFO, true), (USER_INFO, false), (QUERY, true), (PATH, true)]
        {
            let encoded = percent(text, kept, upper);
            forms.push(encoded.replace("%20", "+").into_bytes());
            forms.push(encoded.into_bytes());
        }
        let json = serde_json::Value::from(text).to_string();
        forms.push(json[1..json.len() - 1].replace('/', "\\/").into_bytes());
        forms.push(json[1..json.len() - 1].into());
        forms.push(format!("{text:?}").trim_matches('"').into());
        forms.push(text.replace('\'', "''").into_bytes());
        forms.push(text.replace('"', "\"\"").into_bytes());
        forms.push(text.replace('\\', "\\\\").replace('\'', "\\'").into_bytes());
        forms.extend(text.lines().map(|line| line.as_bytes().to_vec()));
    }
    forms.extend(plain);
    forms.retain(|form| !form.is_empty());
    forms.sort();
    forms.dedup();
    forms
}

/// Kept as they are by those who encode only what must be: RFC 3986's delimiters within user info, queries, paths.
const USER_INFO: &str = "!$&'()*+,;=";
const QUERY: &str = "!$'()*,;/?:@";
const PATH: &str = "!$&'()*+,;=:@";

fn hex(bytes: &[u8], upper: bool) -> Vec<u8> {
    let digits = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
    bytes.iter().map(digits).collect::<String>().into_bytes()
}

/// What base64 makes of these bytes where `before` others (of each three) stand before them, without the characters that
/// depend on what is around.
fn base64(bytes: &[u8], before: usize) -> [Vec<u8>; 2] {
    let mut whole = vec![0; before];
    whole.extend_from_slice(bytes);
    let (first, last) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
    let middle = |encoded: String| encoded.as_bytes().get(first..last).unwrap_or_default().to_vec();
    [middle(STANDARD_NO_PAD.encode(&whole)), middle(URL_SAFE_NO_PAD.encode(&whole))]
}

/// All secrets that the connectors of a process have: what its log must not show.
#[derive(Debug, Default)]
pub struct Known(RwLock<Vec<Weak<Redactor>>>);

impl Known {
    /// Keeps the secrets of a redactor out of the log, as long as its connector is there.
    pub(crate) fn add(&self, redactor: &Arc<Redactor>) {
        if redactor.is_empty() {
            return;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(redactor));
    }

    /// The same text without any secret.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut ranges: Vec<Range<usize>> =
            all.iter().filter_map(Weak::upgrade).flat_map(|redactor| redactor.known(text)).collect();
        ranges.extend(places(text).into_iter().map(|place| place.range));
        without(text, ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "p@ss/w:rd \"x'y\\ü€";

    #[test]
    fn a_secret_is_hidden_in_whatever_way_it_is_written() {
        let redactor = Redactor::new([SECRET.into()], &["a manual"]);
        let json = serde_json::Value::from(SECRET).to_string();
        let user_and_password = STANDARD_NO_PAD.encode(format!("me:{SECRET}"));
        let texts = [
            SECRET.to_owned(),
            percent(SECRET, "", true),
            percent(SECRET, USER_INFO, false),
            json.clone(),
            format!("{SECRET:?}"),
            hex(SECRET.as_bytes(), false).iter().map(|byte| char::from(*byte)).collect(),
            STANDARD_NO_PAD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(SECRET),
            SECRET.replace('\'', "''"),
        ];
        for text in texts {
            assert_eq!(redactor.hide(&format!("before '{text}' after")).matches("***").count(), 1, "{text}");
            assert!(!redactor.hide(&text).contains(char::is_alphanumeric), "{text}: {}", redactor.hide(&text));
        }
        assert!(!redactor.hide(&user_and_password).contains(&user_and_password[8..16]));
    }

    #[test]
    fn parts_of_a_secret_are_hidden_and_what_is_open_is_not() {
        let redactor = Redactor::new(["correct-horse-battery".into()], &["postgres://horse-battery/x"]);
        assert_eq!(redactor.hide("can't parse \"correct-ho…\""), "can't parse \"***…\"");
        assert_eq!(redactor.hide("no host horse-battery"), "no host horse-battery");
        let same = Redactor::new(["dataflow".into()], &["the user dataflow"]);
        assert_eq!(same.hide("no table dataflow_tokens for dataflow"), "no table dataflow_tokens for dataflow");
        assert_eq!(same.hide("postgres://dataflow:dataflow@here"), "postgres://dataflow:***@here");
    }

    #[test]
    fn short_secrets_leave_texts_readable() {
        let redactor = Redactor::new(["a".into(), "12".into(), "rows".into()], &[]);
        assert_eq!(redactor.hide("a batch of 12 rows, arrows: password=12"), "a batch of 12 ***, arrows: password=***");
    }

    proptest! {
        #[test]
        fn no_piece_of_a_secret_is_left(secret in "[ -~äß€]{8,40}", before in "[a-z ]{0,9}", after in "[a-z ]{0,9}") {
            let redactor = Redactor::new([secret.clone()], &[]);
            for text in [secret.clone(), percent(&secret, "", true), serde_json::Value::from(secret.as_str()).to_string()] {
                let hidden = redactor.hide(&format!("{before}{text}{after}")).into_owned();
                prop_assert!(!hidden.contains(&secret));
                prop_assert!(hidden.contains(REDACTED));
            }
        }
    }
}
