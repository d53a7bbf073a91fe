//! A document that a record came to, as audits read it.
use indexmap::IndexMap;
use serde_json::value::RawValue;

/// The top-level fields of a document; of those with the same name the last one.
#[derive(Debug, Default)]
pub(crate) struct Document(IndexMap<String, Box<RawValue>>);

impl Document {
    pub(crate) fn read(text: &[u8]) -> Self {
        let read = |text: &[u8]| serde_json::from_slice(text).ok().map(Self);
        read(text).or_else(|| read(without_surrogates(text).as_bytes())).unwrap_or_default()
    }

    /// The JSON text of a column's field: a dotted name is first one key, then a path. What is no object on the way says that there is
    /// no such field: null.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.0.get(name) {
            return Some(value.get().into());
        }
        let (first, rest) = name.split_once('.')?;
        let mut value: String = self.0.get(first)?.get().into();
        for part in rest.split('.') {
            let Ok(fields) = serde_json::from_str::<IndexMap<String, Box<RawValue>>>(&value) else {
                return Some("null".into());
            };
            value = fields.get(part)?.get().into();
        }
        Some(value)
    }

    /// All fields, in their order, with the JSON text of each.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get()))
    }

    /// The fields with a value that none of these columns takes, nor a part of them.
    pub(crate) fn without<'a>(
        &'a self,
        columns: impl Iterator<Item = &'a str> + Clone + 'a,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let takes = |column: &str, name: &str| {
            column.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let valued = self.0.iter().filter(|(_, value)| value.get() != "null").map(|(name, _)| name.as_str());
        valued.filter(move |name| !columns.clone().any(|column| takes(column, name)))
    }
}

/// A document whose halves of surrogate pairs, which are no text, are replaced: its other fields can be read.
fn without_surrogates(document: &[u8]) -> String {
    let text = String::from_utf8_lossy(document);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let is_half = escape.get(..4).is_some_and(|start| {
            let start = start.to_ascii_lowercase();
            start.starts_with("\\ud") && start.ends_with(['8', '9', 'a', 'b', 'c', 'd', 'e', 'f'])
        });
        out.push_str(if is_half { "\\ufffd" } else { escape.get(..2).unwrap_or(escape) });
        rest = escape.get(if is_half { 6 } else { 2 }..).unwrap_or_default();
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::Document;

    #[test]
    fn fields_are_found_by_name_and_by_path() {
        let document = Document::read(br#"{"a":1,"b":{"c":[2]},"b.d":3,"a":4,"e":"\ud800 \u00e4","f":null}"#);
        let get = |name: &str| document.get(name);
        assert_eq!(get("a").as_deref(), Some("4"));
        assert_eq!(get("b.c").as_deref(), Some("[2]"));
        assert_eq!(get("b.d").as_deref(), Some("3"));
        assert_eq!(get("b.x"), None);
        assert_eq!(["f.x", "a.x", "b.c.y.z"].map(get), [const { Some("null") }; 3].map(|null| null.map(String::from)));
        assert_eq!(document.without(["b.c", "e", "aa"].into_iter()).collect::<Vec<_>>(), ["a", "b.d"]);
    }
}
