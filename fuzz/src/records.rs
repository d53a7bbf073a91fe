//! Records made of texts, and JSON objects as serde_json sees them.
use dataflow_core::position::Position;
use dataflow_sdk::records::{Layout, Records, Span};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Records of these texts, with a line break between them as in a file.
pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a [u8]>, layout: Layout) -> Records {
    let mut records = Records::empty("p/0".into(), Position::offset(0), layout);
    let mut data = Vec::new();
    for text in texts {
        let start = data.len();
        data.extend_from_slice(text);
        records.spans.push(Span::new(start, data.len()));
        records.offsets.push(start as u64);
        data.push(b'\n');
    }
    records.data = data.into();
    records
}

/// The members of a JSON object as they are written: repeated names and all.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// None: it is no object, or a name has half of a surrogate pair.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The last value of a name.
    pub(crate) fn last(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Object)
    }
}

/// Whether a text is JSON, by serde_json, which doesn't mind how deep it is nested when nothing is kept.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The brackets of a JSON text that are not in strings, each with its place.
pub(crate) fn brackets(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' | b'}' | b']' => return !quoted,
            _ => {}
        }
        false
    })
}

/// How deep a JSON text is nested.
pub(crate) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for (_, bracket) in brackets(text) {
        match bracket {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            _ => depth = depth.saturating_sub(1),
        }
    }
    deepest
}
