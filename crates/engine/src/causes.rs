//! What dead letters have in common: counted by cause, with an example of each.
//!
//! Letters are counted chunk by chunk as somebody asks, each once: what was counted is kept with the pipeline in memory,
//! so that asking again costs what was added since.
use crate::{answers::DeadLetter, dead_letters};
use dataflow_core::{chunk::ChunkRef, id::Incarnation, pipeline::Branch};
use dataflow_journal::{Error, Journal};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Most causes that are told apart; letters of further ones are counted together.
const MOST: usize = 50;
/// How long one question may count; the next one goes on from there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The dead letters of a pipeline, counted by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettersByCause {
    /// How many dead letters were counted, from the first one on. Of very many it may be fewer than there are: the next
    /// answer goes on from there.
    pub counted: u64,
    /// The causes, the most frequent first.
    pub items: Vec<Cause>,
    /// Dead letters of causes beyond the first 50.
    pub others: u64,
}

/// Dead letters that have stage, code and the wording of their cause in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// How many there are.
    pub records: u64,
    /// Where they failed: `decode`, `transforms[1]`, `sink`.
    pub stage: String,
    /// Their stable code.
    pub code: String,
    /// The first of them.
    pub example: Example,
}

/// One dead letter of a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Its number.
    pub number: u64,
    /// Where in the source.
    pub partition: String,
    /// Its place in the partition.
    pub position: String,
    /// Why it failed, with field and value.
    pub cause: String,
}

/// What was counted of one pipeline so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    incarnation: Option<Incarnation>,
    counted: u64,
    others: u64,
    /// By stage, code and wording.
    causes: BTreeMap<(String, String, String), Cause>,
}

impl Tally {
    /// Counts the letters that were added since, for as long as `patience` allows.
    ///
    /// # Errors
    /// If a chunk can't be read.
    pub(crate) async fn count(
        &mut self,
        journal: &Journal,
        pipeline: (&Incarnation, &[ChunkRef]),
        patience: Option<Duration>,
    ) -> Result<DeadLettersByCause, Error> {
        let (incarnation, chunks) = pipeline;
        if self.incarnation.as_ref() != Some(incarnation) {
            *self = Self { incarnation: Some(incarnation.clone()), ..Self::default() };
        }
        let begun = Instant::now();
        while patience.is_none_or(|patience| begun.elapsed() < patience) {
            let letters = dead_letters::next_chunk(journal, chunks, self.counted).await?;
            if letters.is_empty() {
                break;
            }
            letters.into_iter().for_each(|letter| self.take(letter));
        }
        Ok(self.shown())
    }

    fn take(&mut self, letter: DeadLetter) {
        self.counted = letter.number;
        // What fails is told with its expression, which is the spec's and no record's.
        let expression = if letter.code == "expression" { expression(&letter.cause) } else { "" };
        let wording = format!("{expression}{}", wording(&letter.cause[expression.len()..]));
        let key = (letter.stage, letter.code, wording);
        if let Some(known) = self.causes.get_mut(&key) {
            known.records += 1;
        } else if self.causes.len() < MOST {
            let DeadLetter { number, partition, position, cause, .. } = letter;
            let example = Example { number, partition, position, cause };
            let cause = Cause { records: 1, stage: key.0.clone(), code: key.1.clone(), example };
            self.causes.insert(key, cause);
        } else {
            self.others += 1;
        }
    }

    fn shown(&self) -> DeadLettersByCause {
        let mut items: Vec<Cause> = self.causes.values().cloned().collect();
        items.sort_by_key(|cause| (std::cmp::Reverse(cause.records), cause.example.number));
        DeadLettersByCause { counted: self.counted, items, others: self.others }
    }
}

/// What of a branch its dead letters are counted by.
pub(crate) fn of(branch: &Branch) -> (Incarnation, Vec<ChunkRef>) {
    (branch.incarnation.clone(), branch.progress.dead_letters.clone())
}

/// Words before a quoted text that is a name and no value.
const NAMES: [&str; 8] = ["field", "column", "table", "constraint", "index", "relation", "type", "function"];

/// A cause without its values: letters whose causes differ in nothing else have the same cause.
fn wording(cause: &str) -> String {
    let mut words = String::with_capacity(cause.len());
    let mut rest = cause;
    while let Some(first) = rest.chars().next() {
        let begins_word = !words.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let kept = match first {
            '"' if NAMES.iter().any(|name| words.trim_end().ends_with(name)) => quoted(rest),
            // What is recommended is for those alone whom it helps: `to_date(born, 'MM/DD/YYYY')`.
            '\'' if words.ends_with('(') || words.ends_with(", ") => single_quoted(rest),
            '[' if words.ends_with("nullValues: ") => nested(rest),
            '0'..='9' if begins_word && is_count(rest) => number(rest),
            _ => 0,
        };
        if kept > 0 {
            words.push_str(&rest[..kept]);
            rest = &rest[kept..];
            continue;
        }
        let value = match first {
            '"' => quoted(rest),
            '[' | '{' => nested(rest),
            // PostgreSQL names the row that is in the way, `Key (id)=(5) already exists`, or the whole: `Failing row contains (1, a).`
            '(' if words.ends_with('=') => rest.find(')').map_or(rest.len(), |end| end + 1),
            '(' if words.ends_with("row contains ") => rest.rfind(')').map_or(rest.len(), |end| end + 1),
            '\'' if begins_word => single_quoted(rest),
            '0'..='9' | '-' | '+' if begins_word => number(rest),
            _ => 0,
        };
        if value == 0 {
            words.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            words.push('#');
            rest = &rest[value..];
        }
    }
    words
}

/// The expression that a cause begins with: what stands before the first colon that is in no quotes.
fn expression(cause: &str) -> &str {
    let mut quote = None;
    for (at, c) in cause.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (None, ':') if cause[at + 1..].starts_with(' ') => return &cause[..at],
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    ""
}

/// Whether a text begins with how many fields there are, which is no value of one.
fn is_count(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" field")
}

/// Length of a number with its sign, or of what begins like one: `2026-01-01`. 0: there is none.
fn number(text: &str) -> usize {
    let unsigned = text.trim_start_matches(['-', '+']);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    let mut before = ' ';
    let end = unsigned.find(|c: char| {
        let exponent = matches!(c, '-' | '+') && matches!(before, 'e' | 'E');
        before = c;
        !(exponent || c.is_ascii_alphanumeric() || matches!(c, '.' | '…'))
    });
    text.len() - unsigned.len() + end.unwrap_or(unsigned.len())
}

/// Length of a quoted text with its quotes. One that was shortened ends with an ellipsis, and may have no quote after it.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            '…' => return at + c.len_utf8() + usize::from(text[at + c.len_utf8()..].starts_with('"')),
            _ => {}
        }
    }
    text.len()
}

/// Length of a text in single quotes, with them; 0: it is none, but an apostrophe.
fn single_quoted(text: &str) -> usize {
    let end = text.match_indices('\'').map(|(at, _)| at).skip(1);
    end.map(|at| at + 1).find(|end| !text[*end..].starts_with(char::is_alphanumeric)).unwrap_or(0)
}

/// Length of an array or object, up to the bracket that closes it or the ellipsis where it was shortened.
fn nested(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' => {
                at += quoted(&text[at..]);
                if text[..at].ends_with('…') {
                    return at;
                }
                continue;
            }
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        at += c.len_utf8();
        if depth == 0 || c == '…' {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn letter(number: u64, cause: &str) -> DeadLetter {
        DeadLetter {
            sink: None,
            number,
            partition: "in".into(),
            position: number.to_string(),
            line: None,
            generation: None,
            record_id: String::new(),
            stage: "sink".into(),
            code: "type-mismatch".into(),
            cause: cause.into(),
            at: None,
            length: 0,
            hash: None,
            header: None,
            original: None,
            sent: Default::default(),
        }
    }

    #[test]
    fn causes_that_differ_in_values_only_are_one() {
        let same = [
            (
                r#"field "age" has the string "old", a number was asked for"#,
                r#"field "age" has the string "a \"b\"", a number was asked for"#,
            ),
            (
                r#"field "age" has the string "old", a number was asked for"#,
                "field \"age\" has the string \"very lo…, a number was asked for",
            ),
            ("48.05 can't be held exactly", "-1.5e-7 can't be held exactly"),
            (
                "field \"a\" has the array [1,[2]], text was asked for",
                "field \"a\" has the array [\"x]\",{\"b\":…, text was asked for",
            ),
            (
                "field \"a\" has the object {\"x\":1}, text was asked for",
                "field \"a\" has the object {}, text was asked for",
            ),
            ("Key (id)=(5) already exists", "Key (id)=(a b) already exists"),
            (
                "null value in column \"a\" violates it: Failing row contains (1, null, x (y)).",
                "null value in column \"a\" violates it: Failing row contains (22, null, z).",
            ),
            ("cannot cast string 'abc' to bigint", "cannot cast string 'it's 5' to bigint"),
            ("expected a value at byte 0, found \"x\"", "expected a value at byte 17, found \"y\""),
        ];
        for (one, other) in same {
            assert_eq!(wording(one), wording(other));
        }
    }

    #[test]
    fn causes_of_other_fields_columns_and_words_are_told_apart() {
        let apart = [
            (
                r#"field "age" has the string "old", a number was asked for"#,
                r#"field "size" has the string "old", a number was asked for"#,
            ),
            ("column a1 (real): 5 does not fit", "column a2 (real): 5 does not fit"),
            (r#"violates unique constraint "one""#, r#"violates unique constraint "two""#),
            ("field \"a\" has true, text was asked for", "field \"a\" has null, text was asked for"),
            ("the record has 5 fields, the header has 3", "the record has 10 fields, the header has 3"),
            (
                r#"field "d" has the string "29.02.1980", a date was asked for; use to_date(d, 'DD.MM.YYYY')"#,
                r#"field "d" has the string "02/29/1980", a date was asked for; use to_date(d, 'MM/DD/YYYY')"#,
            ),
            (
                r#"field "d" has the string "1,5", a number was asked for; use cast(replace(d, ',', '.') as double)"#,
                r#"field "d" has the string "1 5", a number was asked for; use cast(replace(d, ' ', '') as double)"#,
            ),
            (
                r#"field "d" has the value "NA", a date was asked for; if it stands for no value, set nullValues: ["NA", ""] at the source"#,
                r#"field "d" has the value "-", a date was asked for; if it stands for no value, set nullValues: ["-", ""] at the source"#,
            ),
        ];
        for (one, other) in apart {
            assert_ne!(wording(one), wording(other));
        }
    }

    #[test]
    fn expressions_are_told_apart_and_their_values_are_not() {
        let mut tally = Tally::default();
        let causes = [
            "CAST(a AS DECIMAL(10,2)): cannot cast string 'x' to decimal(10, 2)",
            "CAST(a AS DECIMAL(10,2)): cannot cast string 'it: y' to decimal(10, 2)",
            "CAST(a AS DECIMAL(12,2)): cannot cast string 'x' to decimal(12, 2)",
            "CAST(b AS DECIMAL(10,2)): cannot cast string 'x' to decimal(10, 2)",
            "10 / a: division by zero",
            "20 / a: division by zero",
            "to_date(a, 'D: M'): 'x' is not written in that format",
            "to_date(a, 'M: D'): 'x' is not written in that format",
        ];
        for (number, cause) in (1..).zip(causes) {
            tally.take(DeadLetter {
                stage: "transforms[0]".into(),
                code: "expression".into(),
                ..letter(number, cause)
            });
        }
        let counts: Vec<u64> = tally.shown().items.iter().map(|cause| cause.records).collect();
        assert_eq!(counts, [2, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn letters_are_counted_with_the_first_as_example_and_the_most_frequent_first() {
        let mut tally = Tally::default();
        for (number, cause) in [(1, "x is missing"), (2, "5 is odd"), (3, "7 is odd")] {
            tally.take(letter(number, cause));
        }
        let shown = tally.shown();
        let items: Vec<_> =
            shown.items.iter().map(|c| (c.records, c.example.number, c.example.cause.as_str())).collect();
        assert_eq!((shown.counted, items), (3, vec![(2, 2, "5 is odd"), (1, 1, "x is missing")]));
        for number in 0..100 {
            tally.take(letter(number + 4, &format!("{} is wrong", "a".repeat(number as usize))));
        }
        let shown = tally.shown();
        let told: u64 = shown.items.iter().map(|cause| cause.records).sum();
        assert_eq!((shown.items.len(), told + shown.others), (MOST, 103));
    }
}
