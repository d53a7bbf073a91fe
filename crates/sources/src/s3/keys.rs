//! Which keys of a bucket are read.
use super::S3Source;
use dataflow_core::position::Partition;
use dataflow_sdk::Problem;

/// What begins a pattern.
const WILD: [char; 3] = ['*', '?', '['];
/// Where a sink `s3` keeps its own records.
const OF_SINK: &str = "_dataflow";
/// A folder of Hive for values that are null: its name only looks like one of those that are hidden.
const OF_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Its object is read.
    Read,
    /// It is another one, or of what only looks like an object.
    Other,
    /// By its name it is not meant to be read: of a job that is under way, or a note of one.
    Hidden,
    /// No request can name it.
    Unreadable,
}

impl S3Source {
    pub(super) fn is_pattern(&self) -> bool {
        self.path.contains(WILD)
    }

    /// Whether `path` is the key of one object.
    pub(super) fn is_one(&self) -> bool {
        !self.is_pattern() && !self.is_folder()
    }

    /// Whether all below `path` is read, whatever it is called.
    fn is_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }

    /// How all keys begin that may be read.
    pub(super) fn prefix(&self) -> &str {
        &self.path[..self.path.find(WILD).unwrap_or(self.path.len())]
    }

    pub(super) fn key(&self, key: &str) -> Key {
        let literally = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let matches = if self.is_pattern() {
            glob::Pattern::new(&self.path).is_ok_and(|pattern| pattern.matches_with(key, literally))
        } else if self.is_folder() {
            key.starts_with(&self.path)
        } else {
            key == self.path
        };
        let is_hidden = |part: &str| {
            part.starts_with(['_', '.']) && !part.contains('=') && part != OF_NULL && !matches!(part, "." | "..")
        };
        let folder = self.prefix().rfind('/').map_or(0, |at| at + 1);
        let mut below = key.get(folder..).unwrap_or_default().split('/');
        let named = self.path.split('/').any(is_hidden);
        match matches {
            false => Key::Other,
            true if !dataflow_s3::can_be_asked(key) => Key::Unreadable,
            true if named => Key::Read,
            true if below.clone().any(|part| part == OF_SINK) => Key::Other,
            true if below.any(is_hidden) => Key::Hidden,
            true => Key::Read,
        }
    }

    /// The partition of an object.
    pub(super) fn partition(&self, key: &str) -> Partition {
        Partition(self.name(key).into())
    }

    /// How users call an object.
    pub(super) fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// The key of a partition, if it is of this bucket.
    pub(super) fn key_of<'a>(&self, partition: &'a Partition) -> Option<&'a str> {
        partition.0.strip_prefix("s3://")?.strip_prefix(self.bucket.as_str())?.strip_prefix('/')
    }

    pub(super) fn check_path(&self) -> Option<Problem> {
        let problem = |code, message: String| Problem::new("path", code, message);
        if self.path.starts_with("s3:") {
            let message = "is the key of an object or a pattern, without the bucket".to_owned();
            return Some(problem("invalid-value", message).fix("name the bucket in `bucket`"));
        }
        let error = glob::Pattern::new(&self.path).err().filter(|_| self.is_pattern())?;
        Some(problem("bad-pattern", format!("is not a valid pattern: {error}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use dataflow_sdk::SourceConfig;
    use serde_json::json;

    fn source(path: &str) -> S3Source {
        serde_json::from_value(json!({"bucket": "lake", "path": path})).unwrap()
    }

    #[test]
    fn keys_are_read_or_not() {
        for (path, key, expected) in [
            ("", "a.json", Key::Read),
            ("", "in/a b+c%20ü.json", Key::Read),
            ("in/", "in/x/y/a.json", Key::Read),
            ("in/", "in/x/", Key::Read),
            ("in/", "inn/a.json", Key::Other),
            ("in/", "in//a.json", Key::Read),
            ("/in/", "/in/a.json", Key::Read),
            ("in/", "in/../a.json", Key::Unreadable),
            ("in/a.json", "in/a.json", Key::Read),
            ("in/a.json", "in/a.json.bak", Key::Other),
            ("in/*.json", "in/a.json", Key::Read),
            ("in/*.json", "in/x/a.json", Key::Other),
            ("in/**/*.json", "in/x/y/a.json", Key::Read),
            ("in/**/*.json", "in/a.json", Key::Read),
            ("in/", "in/_SUCCESS", Key::Hidden),
            ("in/", "in/_temporary/0/a.json", Key::Hidden),
            ("in/", "in/.a.json.swp", Key::Hidden),
            ("in/", "in/_dataflow/p.json", Key::Other),
            ("", "_dataflow/p.json", Key::Other),
            ("in/", "in/_c=1/a.json", Key::Read),
            ("in/", "in/__HIVE_DEFAULT_PARTITION__/a.json", Key::Read),
            ("in/_x/", "in/_x/a.json", Key::Read),
            ("_in/*", "_in/a.json", Key::Read),
            ("in/**/_*", "in/x/_a", Key::Read),
        ] {
            assert_eq!(source(path).key(key), expected, "{path:?} {key:?}");
        }
    }

    #[test]
    fn a_partition_says_its_key() {
        let source = source("");
        let partition = source.partition("a/b c");
        assert_eq!((&*partition.0, source.key_of(&partition)), ("s3://lake/a/b c", Some("a/b c")));
        assert_eq!(source.key_of(&"s3://lake2/a".into()), None);
    }

    #[test]
    fn what_a_sink_writes_below_the_path_is_read() {
        for (path, root, reads) in [
            ("in/", "in/", true),
            ("in/", "in/x/", true),
            ("", "out/", true),
            ("in/**/*.json", "in/x/", true),
            ("in/", "out/", false),
            ("in/", "", false),
            ("in/a.json", "in/", false),
        ] {
            assert_eq!(source(path).reads(&format!("objects s3 lake/{root}")), reads, "{path} {root}");
            assert!(!source(path).reads(&format!("objects s3 pond/{root}")));
        }
    }

    #[test]
    fn all_keys_begin_as_the_path_does_up_to_its_first_wildcard() {
        for (path, prefix) in [("in/*.json", "in/"), ("in/a", "in/a"), ("in/2026-0[1-3]/x", "in/2026-0"), ("", "")] {
            assert_eq!(source(path).prefix(), prefix);
        }
    }
}
