//! Which topics are read: those that are named, and those that match a pattern.
use super::KafkaSource;
use dataflow_kafka::TOKENS_TOPIC;
use dataflow_sdk::Problem;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// A regular expression that the whole name of a topic matches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub struct Pattern {
    text: Arc<str>,
    /// `None`: it can't be read.
    whole: Option<Regex>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        // By itself first, so that it can't close the group around it.
        let whole = Regex::new(&text).and_then(|_| Regex::new(&format!("^(?:{text})$")));
        Self { text: text.into(), whole: whole.ok() }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Whether it finds a topic. Brokers and pipelines keep their own records in topics that only a name reads.
    pub(super) fn finds(&self, topic: &str) -> bool {
        let is_internal = topic.starts_with("__") || topic == TOKENS_TOPIC;
        !is_internal && self.whole.as_ref().is_some_and(|whole| whole.is_match(topic))
    }
}

impl KafkaSource {
    /// Returns the topics that are named, sorted and distinct.
    pub(super) fn named(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.topic.iter().chain(&self.topics).map(String::as_str).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Whether a topic is read if it is there, and need not be: only the pattern finds it.
    pub(super) fn may_find(&self, topic: &str) -> bool {
        !self.named().contains(&topic) && self.topic_pattern.as_ref().is_some_and(|pattern| pattern.finds(topic))
    }

    pub(super) fn reads_topic(&self, topic: &str) -> bool {
        self.named().contains(&topic) || self.may_find(topic)
    }

    /// Returns what is wrong with the topics.
    pub(super) fn check_topics(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.topic.is_some() && !self.topics.is_empty() {
            problems
                .push(Problem::new("topics", "contradiction", "can't be given beside `topic`").fix("give one of both"));
        }
        if self.named().is_empty() && self.topic_pattern.is_none() {
            let missing = Problem::new("topic", "missing-field", "is missing");
            problems.push(missing.fix("give `topic`, a list of `topics`, or a `topicPattern`"));
        }
        let paths = self.topic.iter().map(|topic| (topic, "topic".to_owned()));
        let paths = paths.chain(self.topics.iter().zip((0..).map(|i| format!("topics[{i}]"))));
        for (topic, path) in paths {
            problems.extend(dataflow_kafka::check_topic(&path, topic));
        }
        if let Some(Pattern { text, whole: None }) = &self.topic_pattern {
            let why = Regex::new(text).err().map_or_else(|| "is too large".into(), |error| error.to_string());
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let wrong = Problem::new("topicPattern", "invalid-value", format!("is not a regular expression: {why}"));
            problems.push(wrong.fix("write one that whole names of topics match, as in \"orders-.*\""));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_pattern_finds_whole_names_but_no_internal_ones() {
        for (pattern, found) in [
            ("orders-.*", &["orders-eu", "orders-"][..]),
            ("orders", &["orders"]),
            ("orders|a", &["orders", "a"]),
            (".*", &["orders", "orders-eu", "orders-", "a", "_schemas", "dataflow-tokens-2"]),
            ("^[ao].*s$", &["orders"]),
            ("__.*", &[]),
            ("dataflow-tokens", &[]),
            ("(", &[]),
            ("a)|(.*", &[]),
        ] {
            let topics = [
                "orders",
                "orders-eu",
                "orders-",
                "a",
                "_schemas",
                "dataflow-tokens-2",
                "dataflow-tokens",
                "__consumer_offsets",
            ];
            let pattern = Pattern::from(pattern.to_owned());
            let all: Vec<_> = topics.into_iter().filter(|topic| pattern.finds(topic)).collect();
            let missed = found.iter().filter(|topic| !all.contains(topic)).count();
            assert_eq!((all.len(), missed), (found.len(), 0), "{pattern}: {all:?}");
        }
    }
}
