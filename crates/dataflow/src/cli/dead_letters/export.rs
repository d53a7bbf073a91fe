//! `dataflow dead-letters export`: the bytes of dead letters, to be corrected and read again.
use super::Letters;
use crate::cli::{
    exit::Failure,
    output::{self, Output},
};
use dataflow_api_types::DeadLetter;
use dataflow_core::id::Generation;
use dataflow_engine::answers::LetterPlace;
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
    /// These have another header.
    others: u64,
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
pub(super) async fn all(letters: &Letters, after: u64, chosen: &Chosen, output: Output) -> Result<(), Failure> {
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
    exported.say();
    Ok(())
}

impl Exported {
    /// Whether none was there.
    fn is_empty(&self) -> bool {
        self.kept + self.not_whole + self.others == 0
    }

    /// Writes the record as it was; the first of a CSV file with the file's header before it, so that what is written can be
    /// read as such a file.
    fn write(&mut self, letter: DeadLetter) {
        // Of a record over the limit only the head was kept, which is no record.
        let Some(mut bytes) = letter.bytes().filter(|_| letter.hash.is_none()) else {
            self.not_whole += 1;
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

    fn say(&self) {
        if self.not_whole > 0 {
            say!(
                "left out: {} without bytes, or too large to keep whole",
                output::counted(self.not_whole, "dead letter")
            );
        }
        if self.others > 0 {
            say!(
                "left out: {} of files with another header; export each file's with --partition FILE",
                output::counted(self.others, "dead letter")
            );
        }
        say!("{} exported", output::counted(self.kept, "dead letter"));
    }
}
