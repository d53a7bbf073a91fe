//! What the body of a page holds.
use super::{
    client::Answer,
    pointer::{Pointer, items},
    settings::OnMissingRecords,
    url,
};
use bytes::Bytes;
use dataflow_sdk::{Error, records::Span};
use reqwest::{StatusCode, header::CONTENT_TYPE};

/// A page: its records are slices of its body.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) body: Bytes,
    pub(super) records: Vec<Span>,
}

impl Page {
    /// The text of a record.
    pub(super) fn record(&self, row: usize) -> &[u8] {
        self.records[row].of(&self.body)
    }

    /// The whole, which is UTF-8.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The page that an answer holds. Takes as long as a page is large. `name`: which one it is.
    pub(super) fn of(name: &str, answer: &Answer, pointer: &Pointer, missing: OnMissingRecords) -> Result<Self, Error> {
        let body =
            answer.body.strip_prefix(b"\xef\xbb\xbf").map_or(answer.body.clone(), |rest| answer.body.slice_ref(rest));
        let bad = |why: String| Error::fatal("bad-data", format!("{name} {why}"));
        if [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&answer.status) {
            return Ok(Self { body: Bytes::new(), records: Vec::new() });
        }
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let charset = charset(kind).filter(|set| !["utf-8", "utf8", "us-ascii"].contains(&&*set.to_ascii_lowercase()));
        let text = match (charset, std::str::from_utf8(&body)) {
            (_, Ok(text)) if text.is_ascii() => text,
            (None, Ok(text)) => text,
            (Some(set), _) => {
                return Err(bad(format!("is written in {set}"))
                    .fix("have the API answer in UTF-8, as JSON has to be: `headers: {Accept-Charset: utf-8}`"));
            }
            (None, Err(error)) => {
                let what = if body.starts_with(b"\x1f\x8b") { " (it is a gzip file)" } else { "" };
                return Err(bad(format!("is not UTF-8 at byte {}{what}", error.valid_up_to()))
                    .fix("have the API answer in UTF-8, as JSON has to be"));
            }
        };
        let no_json = |error: serde_json::Error| {
            let kind = if kind.is_empty() { String::new() } else { format!(" (its type is {kind})") };
            let at = url::shown(&answer.url);
            bad(format!("is not JSON{kind}: {error}")).fix(match text.trim_start().starts_with('<') {
                true => format!("give `url` the address of the API itself, not of a page for people; it is {at}"),
                false => {
                    format!("have {at} answer with one JSON document: not nothing, not a document in each line, no NaN")
                }
            })
        };
        let found = pointer.find(text).map_err(no_json)?;
        let span = |inner: &str| {
            let start = inner.as_ptr() as usize - text.as_ptr() as usize;
            Span::new(start, start + inner.len())
        };
        let records = match found {
            None if missing == OnMissingRecords::Empty => Vec::new(),
            None => {
                let message = format!("has nothing at {pointer} (`records`), but {}", outline(text));
                return Err(bad(message)
                    .fix("correct `records`, or, if the API leaves out empty lists, set `onMissingRecords: empty`"));
            }
            Some("null") => Vec::new(),
            Some(array) if array.starts_with('[') => {
                items(array).map_err(no_json)?.into_iter().map(|item| span(item.get())).collect()
            }
            Some(object) if object.starts_with('{') => vec![span(object)],
            Some(_) => {
                let message = format!(
                    "has neither a list nor an object at {pointer:?} (`records`)",
                    pointer = pointer.to_string()
                );
                return Err(bad(message).fix("correct `records`"));
            }
        };
        Ok(Self { body, records })
    }
}

/// The charset of a content type.
fn charset(kind: &str) -> Option<&str> {
    let parameters = kind.split(';').skip(1).filter_map(|part| part.split_once('='));
    let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// What a body has at its top, for users.
fn outline(text: &str) -> String {
    const SHOWN: usize = 10;
    match super::pointer::members(text) {
        Ok(members) if members.is_empty() => "is an empty object".into(),
        Ok(members) => {
            let names: Vec<String> = members
                .keys()
                .take(SHOWN)
                .map(|name| format!("/{}", name.chars().take(40).collect::<String>()))
                .collect();
            format!("{}{}", names.join(", "), if members.len() > SHOWN { " and more" } else { "" })
        }
        Err(_) if text.trim_start().starts_with('[') => "is a list itself".into(),
        Err(_) => "is a single value".into(),
    }
}
