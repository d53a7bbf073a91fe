//! Identifiers. A name that exists is a valid name: the only constructors check.
use crate::{
    limits::{MAX_COMMAND_ID, MAX_PIPELINE_ID, MAX_REASON},
    time::Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, sync::Arc};

/// Why a text is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidId {
    what: &'static str,
    problem: String,
}

impl InvalidId {
    pub(crate) fn of(what: &'static str, problem: &str) -> Self {
        Self { what, problem: problem.into() }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of this id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<&str> for $name {
            type Error = InvalidId;
            fn try_from(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(text).map_err(|problem| InvalidId { what: $what, problem })?;
                Ok(Self(text.into()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::try_from(text.as_str())
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

fn slug(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_PIPELINE_ID {
        return Err(format!("must have 1 to {MAX_PIPELINE_ID} characters, but has {}", text.len()));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must start with a letter or digit (a-z, A-Z, 0-9)".into());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        Some(c) => Err(format!("may contain letters, digits, '-', '_' and '.', but not {c:?}")),
        None => Ok(()),
    }
}

fn printable(text: &str) -> Result<(), String> {
    printable_up_to(MAX_COMMAND_ID, text)
}

fn printable_up_to(most: usize, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > most {
        return Err(format!("must have 1 to {most} bytes, but has {}", text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("may not contain the control character {c:?}")),
        None => Ok(()),
    }
}

fn traceparent(text: &str) -> Result<(), String> {
    let hex = |part: &str, digits| {
        part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let some = |part: &str| part.bytes().any(|byte| byte != b'0');
    match text.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, span, flags] if hex(trace, 32) && some(trace) && hex(span, 16) && some(span) && hex(flags, 2) => {
            Ok(())
        }
        _ => Err(format!("must be like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, not {text:?}")),
    }
}

text_id!(
    /// The id of a pipeline: 1–128 of `a-z A-Z 0-9 - _ .`, starting with a letter or digit.
    PipelineId, "pipelineId", slug
);
text_id!(
    /// The name of one of several sinks of a pipeline, written as a pipeline's id is.
    SinkName, "name", slug
);
text_id!(
    /// The name of one of several sources of a pipeline, written as a pipeline's id is.
    SourceName, "name", slug
);
text_id!(
    /// The id of a command (`Idempotency-Key`): repeated, it changes nothing.
    CommandId, "command id", printable
);
text_id!(
    /// The id of a pushed batch: repeated, it gets the same answer and has no second effect.
    BatchId, "batchId", printable
);
text_id!(
    /// Who asked: `api`, `cli`, `system`, or a user's name.
    Actor, "actor", printable
);
text_id!(
    /// Why a user asked for something, in the user's own words.
    Reason, "reason", |text| printable_up_to(MAX_REASON, text)
);
text_id!(
    /// Which trace a command belongs to: a W3C `traceparent` (<https://www.w3.org/TR/trace-context/#traceparent-header>), version 00.
    TraceParent, "traceparent", traceparent
);
text_id!(
    /// What tells two pipelines apart that bear the same id one after the other, made at creation: a number that rises within
    /// a journal, and something random.
    Incarnation, "incarnation", printable
);

impl Incarnation {
    /// The one that follows on `last`, if there was one; `random` tells it from those of other journals.
    ///
    /// # Errors
    /// If `random` has no place in an id.
    pub fn following(last: Option<&Self>, random: &str) -> Result<Self, InvalidId> {
        let number = last.map_or(0, Self::number) + 1;
        Self::try_from(format!("{number}-{random}"))
    }

    fn number(&self) -> u64 {
        self.as_str().split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// One of the reading orders of a pipeline, written `2-5f3a`: a reset of the checkpoint or a change of source, sink target or
/// lanes starts a new one. Two journals that are copies of one may each start one of the same number: the nonce tells them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation {
    /// Counts those of a pipeline, from 1.
    pub number: u64,
    /// Random, but for the first one of a new pipeline: that is known by its [`Incarnation`].
    pub nonce: u64,
}

impl Generation {
    /// That of a new pipeline.
    pub const FIRST: Self = Self::new(1, 0);

    /// Generation `number` of the history that `nonce` stands for.
    pub const fn new(number: u64, nonce: u64) -> Self {
        Self { number, nonce }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.number, self.nonce)
    }
}

impl TryFrom<&str> for Generation {
    type Error = InvalidId;
    fn try_from(text: &str) -> Result<Self, InvalidId> {
        let parts = text.split_once('-').and_then(|(number, nonce)| {
            Some(Self { number: number.parse().ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? })
        });
        let problem = || format!("must be a number and a nonce, as in \"2-5f3a\", not {text:?}");
        parts.ok_or_else(|| InvalidId { what: "generation", problem: problem() })
    }
}

impl Serialize for Generation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Generation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Generation;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a generation such as \"2-5f3a\" (earlier builds wrote a bare number)")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Generation, E> {
                Generation::try_from(text).map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

impl RunId {
    /// The number of the run that follows on `last`, opened at `now`.
    pub fn after(last: Option<Self>, now: Timestamp) -> Self {
        let next = last.map_or(1, |last| last.0 + 1);
        Self(next.max(u64::try_from(now.seconds()).unwrap_or(0)))
    }
}

impl Actor {
    /// The platform itself: restarts by policy and the reports of runs. Doors let no user act under this name.
    pub fn system() -> Self {
        Self("system".into())
    }

    /// Whether this is the platform itself.
    pub fn is_system(&self) -> bool {
        self.as_str() == "system"
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_id!(
    /// Counts the owners of a shard: who holds a lower one than the log has is fenced.
    Epoch
);
number_id!(
    /// Numbers the runs of a pipeline. Never reused: the greater of the last + 1 and the Unix seconds at its opening,
    /// so that it also rises over a deletion and re-creation under the same id.
    RunId
);
number_id!(
    /// A place in a shard's log: dense, from 1.
    Seq
);
