//! `dataflow dead-letters export`: the bytes of dead letters, to be corrected and read again.
use super::Letters;
use crate::cli::{
    Outcome,
    exit::Failure,
    output::{self, Output},
};
use dataflow_api_types::DeadLetter;
use dataflow_core::id::Generation;
use dataflow_engine::answers::LetterPlace;
use serde::de::IgnoredAny;
use std::collections::BTreeSet;

/// A generation, or the number of some.
pub(super) fn generation(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(_) => Ok(text.into()),
        Err(_) => {
            Generation::try_from(text).map(|generation| generation.to_string()).map_err(|error| error.to_string())
        }
    }
}

/// Letters that are asked for at once.
const PAGE: u64 = 1_000;

/// UTF-8's byte order mark, which is no part of the first record of a file.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Partitions that a refusal names at most.
const NAMED: usize = 10;

/// What of the letters was exported.
#[derive(Default)]
struct Exported {
    /// The header that was written, of CSV.
    header: Option<String>,
    kept: u64,
    /// Of these nothing was kept, or the head only.
    not_whole: u64,
    /// These can't be on a line of their own.
    no_lines: u64,
    /// These have another header, and the number of the first of them.
    others: u64,
    first_other: Option<u64>,
}

/// Which letters are to be exported.
pub(super) struct Chosen {
    pub(super) partition: Option<String>,
    pub(super) generation: Option<String>,
}

impl Chosen {
    fn is_of_partition(&self, letter: &DeadLetter) -> bool {
        self.partition.as_ref().is_none_or(|wanted| letter.partition.as_ref() == Some(wanted))
    }

    fn is_of_generation(&self, letter: &DeadLetter) -> bool {
        let Some(wanted) = &self.generation else { return true };
        let Some(own) = &letter.generation else { return false };
        own == wanted || own.split_once('-').is_some_and(|(number, _)| number == wanted)
    }
}

/// Prints the chosen letters.
pub(super) async fn all(letters: &Letters, after: u64, chosen: &Chosen, output: Output) -> Result<Outcome, Failure> {
    let names = letters.choice().await?;
    if !names.is_empty() {
        let several = "the pipeline has several sinks, and a record may be a dead letter of each of them";
        return Err(Failure::failed(several).fix(format!("name one with --sink: {}", names.join(", "))));
    }
    let (mut exported, mut others, mut after) = (Exported::default(), BTreeSet::new(), LetterPlace::from(after));
    loop {
        let page = letters.page(&after, PAGE, true).await?;
        for letter in page.items {
            if !chosen.is_of_partition(&letter) {
                others.extend(letter.partition);
                continue;
            }
            match output {
                _ if !chosen.is_of_generation(&letter) => {}
                Output::Json => exported.write_whole(&letter)?,
                Output::Table => exported.write(letter),
            }
        }
        match page.next {
            Some(next) => after = next.parse().map_err(Failure::failed)?,
            None => break,
        }
    }
    if let Some(wanted) = chosen.partition.as_ref().filter(|_| exported.is_empty() && chosen.generation.is_none()) {
        others.extend(letters.partitions().await?);
        if !others.contains(wanted) {
            let known: Vec<_> = others.into_iter().take(NAMED).collect();
            let failure = Failure::failed(format!("the pipeline has no partition {wanted:?}"));
            return Err(failure.fix(match known.is_empty() {
                true => "it has read nothing yet".into(),
                false => format!("it has {}", known.join(", ")),
            }));
        }
    }
    exported.say(chosen);
    Ok(if exported.left_out() == 0 { Outcome::Done } else { Outcome::LeftOut })
}

/// What may be the quote of the file: a letter does not say it.
const QUOTES: &[u8] = b"\"'`~^$%#@&*";

/// Whether what such a quote includes goes on after the record, in the letters after it if need be.
fn is_open(record: &[u8], quote: u8) -> bool {
    record.iter().filter(|byte| **byte == quote).count() % 2 == 1
}

/// The record of a letter as a line that is read as that record, and as no other; none if there is no such line.
fn line(letter: &DeadLetter, bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return None; // a blank line is no record
    }
    let breaks = || bytes.contains(&b'\n');
    if letter.code == "not-csv" && (breaks() || QUOTES.iter().any(|quote| is_open(bytes, *quote))) {
        return None;
    }
    if letter.header.is_some() {
        return Some(bytes.to_vec());
    }
    if bytes.starts_with(MARK) {
        return None; // it would be skipped
    }
    if !breaks() {
        return Some(bytes.to_vec());
    }
    // Line feeds in a JSON text are nothing but blanks.
    serde_json::from_slice::<IgnoredAny>(bytes).ok()?;
    Some(bytes.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect())
}

impl Exported {
    fn left_out(&self) -> u64 {
        self.not_whole + self.no_lines + self.others
    }

    /// Whether none was there.
    fn is_empty(&self) -> bool {
        self.kept + self.left_out() == 0
    }

    /// Writes the record as it was; the first of a CSV file with the file's header before it, so that what is written can be
    /// read as such a file.
    fn write(&mut self, letter: DeadLetter) {
        // Of a record over the limit only the head was kept, which is no record.
        let Some(bytes) = letter.bytes().filter(|_| letter.hash.is_none()) else {
            self.not_whole += 1;
            return;
        };
        let Some(mut bytes) = line(&letter, &bytes) else {
            self.no_lines += 1;
            return;
        };
        bytes.push(b'\n');
        if self.kept == 0 {
            if let Some(header) = &letter.header {
                bytes.splice(0..0, format!("{header}\n").into_bytes());
            }
            self.header = letter.header;
        } else if self.header != letter.header {
            self.others += 1;
            self.first_other.get_or_insert(letter.number);
            return;
        }
        self.kept += 1;
        output::write(&bytes);
    }

    /// Writes all that is known of the record, as one line of JSON.
    fn write_whole(&mut self, letter: &DeadLetter) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(letter).map_err(|error| Failure::failed(error.to_string()))?;
        line.push(b'\n');
        self.kept += 1;
        output::write(&line);
        Ok(())
    }

    fn say(&self, chosen: &Chosen) {
        let left_out = |count: u64, what: &str| {
            if count > 0 {
                say!("left out: {} {what}", output::counted(count, "dead letter"));
            }
        };
        left_out(self.not_whole, "without bytes, or too large to keep whole");
        left_out(
            self.no_lines,
            "that would be read as other records than they are (line breaks, blank, an open quote): --output json has them",
        );
        let others = match (&chosen.partition, self.first_other) {
            (None, _) | (_, None) => "of files with another header; export each file's with --partition FILE".into(),
            // The settings have changed, or the file.
            (Some(_), Some(first)) => {
                format!("of that file with another header: export them with --after {}", first.saturating_sub(1))
            }
        };
        left_out(self.others, &others);
        say!("{} exported", output::counted(self.kept, "dead letter"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn as_line(original: &[u8], code: &str, header: Option<&str>) -> Option<Vec<u8>> {
        let letter = json!({"number": 1, "stage": "decode", "code": code, "cause": "", "length": 1, "header": header});
        line(&serde_json::from_value(letter).unwrap(), original)
    }

    #[test]
    fn a_line_is_read_as_its_record_and_as_no_other() {
        for (original, expected) in [
            (&b"{\"a\": 1}"[..], Some(&b"{\"a\": 1}"[..])),
            (b"not json", Some(b"not json")),
            (b"{\"a\":\n1,\r\n\"b\": \"x\"}", Some(b"{\"a\": 1,\r \"b\": \"x\"}")),
            (b"not\njson", None),
            (b"\xff\n{\"a\": 5}", None),
            (b"{\"a\": \"x\ny\"}", None),
            (b"", None),
            (b" \r", None),
            (b"\xef\xbb\xbf{}", None),
        ] {
            assert_eq!(as_line(original, "not-json", None).as_deref(), expected, "{original:?}");
        }
        for (original, code, is_one) in [
            (&b"1,\"a\nb\""[..], "type-mismatch", true),
            (b"1,2,3", "csv-fields", true),
            (b"1,\"a\"b", "not-csv", true),
            (b"1,\"a", "not-csv", false),
            (b"1,'a", "not-csv", false),
            (b"1,\"a\n2,\"b\"\n3,c", "not-csv", false),
        ] {
            assert_eq!(as_line(original, code, Some("id,name")).is_some(), is_one, "{original:?}");
            // The columns may be named by the spec.
            let breaks = original.contains(&b'\n');
            assert_eq!(as_line(original, code, None).is_some(), is_one && !breaks, "{original:?}");
        }
    }
}
