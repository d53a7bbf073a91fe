//! Which page comes after another.
use super::{
    client::{Answer, Request},
    link,
    page::Page,
    place::State,
    pointer::{Pointer, plain},
    settings::{Incremental, Method, Pagination, RestSource},
    url,
};
use dataflow_sdk::Error;
use reqwest::{Url, header::LINK};
use serde_json::Value;

/// Longest cursor or address of a next page: it is part of each checkpoint.
const LONGEST: usize = 8 << 10;

/// How pages are asked for: the settings, once they are known to be right.
#[derive(Debug)]
pub(super) struct Pages {
    url: Url,
    method: Method,
    query: Vec<(String, String)>,
    body: Option<Value>,
    by: By,
    since: Option<Since>,
}

#[derive(Debug)]
enum By {
    Nothing,
    Page { parameter: String, first: u64, more: Option<Pointer> },
    Offset { parameter: String, more: Option<Pointer> },
    Cursor { parameter: String, at: At, more: Option<Pointer> },
    Link,
    NextUrl(Pointer),
}

/// Where a cursor stands.
#[derive(Debug)]
enum At {
    Body(Pointer),
    LastRecord(Pointer),
}

#[derive(Debug)]
struct Since {
    parameter: String,
    start: Option<String>,
}

/// What a page says of the next one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// There is one: what [`State::next`] has to be.
    Page(Option<String>),
    /// There is none.
    End,
}

fn pointer(text: &str) -> Result<Pointer, Error> {
    Pointer::parse(text).map_err(|why| Error::fatal("bad-property", why))
}

impl Pages {
    pub(super) fn of(config: &RestSource) -> Result<Self, Error> {
        let more = |more: &Option<String>| more.as_deref().map(pointer).transpose();
        let by = match &config.pagination {
            None => By::Nothing,
            Some(Pagination::Page { parameter, first, more: flag }) => {
                By::Page { parameter: parameter.clone(), first: *first, more: more(flag)? }
            }
            Some(Pagination::Offset { parameter, more: flag }) => {
                By::Offset { parameter: parameter.clone(), more: more(flag)? }
            }
            Some(Pagination::Cursor { parameter, next, field, more: flag }) => {
                let at = match (next, field) {
                    (Some(next), _) => At::Body(pointer(next)?),
                    (None, field) => At::LastRecord(pointer(field.as_deref().unwrap_or_default())?),
                };
                By::Cursor { parameter: parameter.clone(), at, more: more(flag)? }
            }
            Some(Pagination::Link {}) => By::Link,
            Some(Pagination::NextUrl { next }) => By::NextUrl(pointer(next)?),
        };
        let since = |Incremental { parameter, start, .. }: &Incremental| Since {
            parameter: parameter.clone(),
            start: start.as_ref().map(Value::to_string),
        };
        Ok(Self {
            url: url::address(&config.url).map_err(|why| Error::fatal("bad-property", format!("`url` {why}")))?,
            method: config.method,
            query: config.query.iter().map(|(name, value)| (name.clone(), plain(&value.to_string()))).collect(),
            body: config.body.clone(),
            by,
            since: config.incremental.as_ref().map(since),
        })
    }

    /// The address of the first page, for users.
    pub(super) fn shown(&self) -> String {
        url::shown(&self.url)
    }

    /// Whether its pages are known by their number only, which other records shift.
    pub(super) fn are_numbered(&self) -> bool {
        matches!(self.by, By::Page { .. } | By::Offset { .. })
    }

    /// The parameter that names the page, for users.
    pub(super) fn parameter(&self) -> &str {
        match &self.by {
            By::Page { parameter, .. } | By::Offset { parameter, .. } | By::Cursor { parameter, .. } => parameter,
            By::Nothing | By::Link | By::NextUrl(_) => "url",
        }
    }

    /// What asks for a page.
    pub(super) fn request(&self, state: &State) -> Result<Request, Error> {
        let mut set: Vec<(&str, String)> = Vec::new();
        let mut url = self.url.clone();
        let mut is_own = true;
        match (&self.by, &state.next) {
            (By::Page { parameter, first, .. }, _) => {
                set.push((parameter, first.saturating_add(state.number.page).to_string()));
            }
            (By::Offset { parameter, .. }, _) => set.push((parameter, state.records.to_string())),
            (By::Cursor { parameter, .. }, Some(cursor)) => set.push((parameter, cursor.clone())),
            (By::Link | By::NextUrl(_), Some(address)) => {
                url = address.parse().map_err(|error| {
                    Error::fatal("bad-position", format!("the next address can't be read: {error}"))
                })?;
                is_own = false;
            }
            _ => {}
        }
        // An address that the API has given says all that it needs.
        if is_own {
            url = url::with(url, &self.query);
            let since = state.since.value.as_ref();
            if let Some((of, value)) = self.since.as_ref().and_then(|of| Some((of, since.or(of.start.as_ref())?))) {
                set.push((&of.parameter, value.clone()));
            }
        }
        let (places, parameters): (Vec<_>, Vec<_>) = set.into_iter().partition(|(name, _)| name.starts_with('/'));
        let parameters: Vec<_> = parameters.into_iter().map(|(name, json)| (name.to_owned(), plain(&json))).collect();
        let mut body = None;
        if self.method == Method::Post {
            let mut filled = Vec::new();
            for (place, json) in places {
                filled.push((pointer(place)?, json));
            }
            body = Some(fill(
                self.body.as_ref(),
                &filled.iter().map(|(at, json)| (at.tokens(), &**json)).collect::<Vec<_>>(),
            ));
        }
        Ok(Request { url: url::with(url, &parameters), body })
    }

    /// What a page says of the next one. `name`: which page it is; `secret`: the parameter that no address may keep.
    pub(super) fn after(&self, name: &str, page: &Page, answer: &Answer, secret: Option<&str>) -> Result<Next, Error> {
        let text = page.text();
        let look = |pointer: &Pointer| {
            if text.trim().is_empty() {
                return Ok(None);
            }
            pointer.find(text).map_err(|error| Error::fatal("bad-data", format!("{name} is not JSON: {error}")))
        };
        let more = match &self.by {
            By::Page { more, .. } | By::Offset { more, .. } | By::Cursor { more, .. } => more.as_ref(),
            By::Nothing | By::Link | By::NextUrl(_) => None,
        };
        let more = match more {
            Some(more) => Some(!matches!(look(more)?, None | Some("false" | "null" | "0" | "\"\""))),
            None => None,
        };
        if more == Some(false) {
            return Ok(Next::End);
        }
        let is_empty = page.records.is_empty();
        // Where the API says itself whether there is more, a page without records may lie between others.
        let ends = is_empty && more.is_none();
        let next = match &self.by {
            By::Nothing => return Ok(Next::End),
            By::Page { .. } | By::Offset { .. } => {
                return Ok(if ends { Next::End } else { Next::Page(None) });
            }
            By::Cursor { at: At::LastRecord(_), .. } if ends => return Ok(Next::End),
            By::Cursor { at: At::LastRecord(_), .. } if is_empty => {
                let message =
                    format!("{name} has no record to go on from, but says that there are more (`pagination.more`)");
                return Err(Error::fatal("bad-data", message).fix("correct `records` or `pagination`"));
            }
            By::Cursor { at: At::LastRecord(field), .. } => {
                let row = page.records.len() - 1;
                let record = std::str::from_utf8(page.record(row)).unwrap_or_default();
                let found = field.find(record).ok().flatten().filter(|value| *value != "null");
                let Some(cursor) = found else {
                    let message = format!(
                        "{name} has nothing at {field} (`pagination.field`) in its last record, row {row}, to go on from"
                    );
                    return Err(Error::fatal("bad-data", message).fix("correct `pagination.field`"));
                };
                cursor.to_owned()
            }
            By::Cursor { at: At::Body(next), .. } => {
                match look(next)?.filter(|value| !matches!(*value, "null" | "false" | "\"\"")) {
                    Some(cursor) => cursor.to_owned(),
                    None => return Ok(Next::End),
                }
            }
            By::NextUrl(next) => {
                match look(next)?.map(plain).filter(|value| !matches!(&**value, "null" | "false" | "")) {
                    Some(address) => self.address(name, &address, answer, secret)?,
                    None => return Ok(Next::End),
                }
            }
            By::Link => match link::next(answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok())) {
                Some(address) => self.address(name, &address, answer, secret)?,
                None => return Ok(Next::End),
            },
        };
        if next.len() > LONGEST {
            let message = format!(
                "{name} names the next one by {} bytes; {LONGEST} are the most that a checkpoint can hold",
                next.len()
            );
            return Err(Error::fatal("cursor-too-long", message)
                .fix("ask the API for shorter cursors, or use another `pagination`")
                .for_user());
        }
        Ok(Next::Page(Some(next)))
    }

    /// The next address, if it may be asked: by the server of `url` alone, as the credentials are for that one.
    fn address(&self, name: &str, address: &str, answer: &Answer, secret: Option<&str>) -> Result<String, Error> {
        let next = answer.url.join(address).map_err(|error| {
            Error::fatal("bad-data", format!("{name} names a next one whose address can't be read: {error}"))
        })?;
        if !url::same_server(&next, &self.url) || !next.username().is_empty() {
            let message = format!(
                "{name} names {} as the next page, which is on another server than that of `url`, for which the credentials are",
                url::shown(&next)
            );
            return Err(Error::fatal("next-elsewhere", message)
                .fix("if it is the same API, give `url` the scheme, host and port by which the API calls itself")
                .for_user());
        }
        Ok(secret.map_or(next.clone(), |name| url::without(next, name)).to_string())
    }
}

/// A body with values (JSON texts) at places in it, which may be there or not.
fn fill(body: Option<&Value>, places: &[(&[String], &str)]) -> String {
    // The whole is replaced.
    if let Some((_, json)) = places.iter().find(|(tokens, _)| tokens.is_empty()) {
        return (*json).to_owned();
    }
    if places.is_empty() {
        return body.map(Value::to_string).unwrap_or_default();
    }
    let nothing = serde_json::Map::new();
    let fields = body.and_then(Value::as_object).unwrap_or(&nothing);
    let below = |name: &str| -> Vec<(&[String], &str)> {
        let inner = places.iter().filter(|(tokens, _)| tokens[0] == name);
        inner.map(|(tokens, json)| (&tokens[1..], *json)).collect()
    };
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    for (tokens, _) in places {
        if !names.contains(&tokens[0].as_str()) {
            names.push(&tokens[0]);
        }
    }
    let member = |name: &&str| format!("{}:{}", Value::from(*name), fill(fields.get(*name), &below(name)));
    format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_put_into_a_body_as_they_are() {
        let body = json!({"size": 2, "query": {"range": {"id": {"gt": 0}}}, "search_after": ["old"]});
        let place = |text: &str| Pointer::parse(text).unwrap();
        let (after, since, new) = (place("/search_after"), place("/query/range/id/gt"), place("/a/b"));
        let filled = fill(
            Some(&body),
            &[(after.tokens(), "[9007199254740993.10]"), (since.tokens(), "7"), (new.tokens(), "true")],
        );
        let expected =
            r#"{"size":2,"query":{"range":{"id":{"gt":7}}},"search_after":[9007199254740993.10],"a":{"b":true}}"#;
        assert_eq!(filled, expected);
        assert_eq!(fill(Some(&body), &[]), body.to_string());
        assert_eq!(fill(None, &[(after.tokens(), "1")]), r#"{"search_after":1}"#);
    }
}
