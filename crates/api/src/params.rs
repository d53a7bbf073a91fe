//! Query parameters: each is asked for by name, then all findings come at once, unknown ones included.
use crate::error::Error;
use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use dataflow_core::{id::SinkName, problem::Problem, spec::Millis};
use dataflow_sdk::check::nearest;
use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

/// Largest page.
pub(crate) const MAX_PAGE: u64 = 1_000;
/// Page if nothing is said.
pub(crate) const DEFAULT_PAGE: u64 = 100;
/// Longest that an answer may be waited for.
const MAX_WAIT: Millis = Millis(600_000);

/// The query parameters of a request.
#[derive(Debug)]
pub(crate) struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Query(given)) => Ok(Self { given, known: Vec::new(), problems: Vec::new() }),
            Err(rejection) => Err(Error::invalid(vec![Problem::new("query", "invalid-value", rejection.body_text())])),
        }
    }
}

impl Params {
    /// All values of a parameter.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.given.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// The name of a sink.
    pub(crate) fn sink(&mut self) -> Option<SinkName> {
        let named = SinkName::try_from(self.text("sink")?);
        named.map_err(|error| self.problem("sink", error.to_string())).ok()
    }

    /// The value of a parameter that can be given once.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.problem(name, "can be given only once");
        }
        values.pop()
    }

    /// The value of a parameter that is read from text.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let parsed = self.text(name)?.parse();
        parsed.map_err(|error| self.problem(name, error)).ok()
    }

    /// A number within a range.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let most = if *range.end() == u64::MAX { String::new() } else { format!(" to {}", range.end()) };
            self.problem(name, format!("must be a number from {}{most}, is {text:?}", range.start()));
        }
        number
    }

    /// Entries of a page.
    pub(crate) fn limit(&mut self) -> usize {
        self.number("limit", 1..=MAX_PAGE).unwrap_or(DEFAULT_PAGE) as usize
    }

    /// `true`, `false`, or the bare name.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        match self.text(name).as_deref() {
            None | Some("false") => false,
            Some("" | "true") => true,
            Some(other) => {
                self.problem(name, format!("must be true or false, is {other:?}"));
                false
            }
        }
    }

    /// A duration: `10s`, `500ms`.
    pub(crate) fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        let Some(text) = self.text(name) else { return default };
        match text.parse::<Millis>() {
            Ok(wait) if wait <= MAX_WAIT => wait.into(),
            Ok(wait) => {
                self.problem(name, format!("can be at most {MAX_WAIT}, is {wait}"));
                default
            }
            Err(message) => {
                self.problem(name, message);
                default
            }
        }
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let problem = Problem::new(name, "unknown-value", format!("{text:?} is not one of {}", known.join(", ")));
            self.problems.push(match nearest(&text, known) {
                Some(word) => problem.fix(format!("did you mean {word:?}?")),
                None => problem,
            });
        }
        found
    }

    /// A finding about a parameter.
    pub(crate) fn problem(&mut self, name: &str, message: impl fmt::Display) {
        self.problems.push(Problem::new(name, "invalid-value", message.to_string()));
    }

    /// Says what was wrong, if anything was. To be called once every parameter was asked for.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        for (name, _) in &self.given {
            if !self.known.contains(&name.as_str()) {
                let problem = Problem::new(name, "unknown-parameter", format!("there is no query parameter {name:?}"));
                self.problems.push(match nearest(name, self.known.iter().copied()) {
                    Some(known) => problem.fix(format!("did you mean {known:?}?")),
                    None if self.known.is_empty() => problem.fix("leave it out: none is known here"),
                    None => problem.fix(format!("known: {}", self.known.join(", "))),
                });
            }
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Error::invalid(self.problems)) }
    }
}
