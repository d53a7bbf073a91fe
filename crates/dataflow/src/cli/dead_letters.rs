//! `dataflow dead-letters`: records that could not be processed.
use super::{
    Outcome, causes,
    client::{Client, Request, Server},
    exit::Failure,
    output::{self, Output},
    stored::StoredPipeline,
};
use clap::Subcommand;
use dataflow_api::views;
use dataflow_api_types::{DeadLetter, DeadLetterPage, DeadLettersByCause};
use dataflow_core::id::{Generation, PipelineId};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List them, oldest first.
    List {
        #[command(flatten)]
        of: Of,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Count them by cause, with an example of each.
    Causes {
        #[command(flatten)]
        of: Of,
    },
    /// Show one with its original bytes.
    Get {
        #[command(flatten)]
        of: Of,
        /// The dead letter's number.
        number: u64,
    },
    /// Print the original bytes of all, one a line, CSV after its header: to correct them, and read them again from a
    /// file. With --output json: each as a JSON object with its key, headers and time, too.
    Export {
        #[command(flatten)]
        of: Of,
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Only those of this partition, as `list` shows it: the file, of a file source.
        #[arg(long)]
        partition: Option<String>,
        /// Only those of this generation: `2`, or `2-5f3a`.
        #[arg(long, value_parser = generation)]
        generation: Option<String>,
    },
}

/// A generation, or the number of some.
fn generation(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(_) => Ok(text.into()),
        Err(_) => {
            Generation::try_from(text).map(|generation| generation.to_string()).map_err(|error| error.to_string())
        }
    }
}

/// Whose dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Without a node: the data folder of `dataflow run`, or of a stopped node.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) async fn main(command: Command, output: Output) -> Result<Outcome, Failure> {
    match command {
        Command::List { of, limit, after } => list(&of.open().await?, &of, limit, after, output).await?,
        Command::Causes { of } => by_cause(&of.open().await?, output).await?,
        Command::Get { of, number } => get(&of.open().await?, number, output).await?,
        Command::Export { of, after, partition, generation } => {
            export(&of.open().await?, after, &Chosen { partition, generation }, output).await?;
        }
    }
    Ok(Outcome::Done)
}

/// Where the dead letters are.
enum Letters {
    /// At a node.
    Node { client: Client, id: String },
    /// In a data folder.
    Stored(Box<StoredPipeline>),
}

impl Of {
    async fn open(&self) -> Result<Letters, Failure> {
        let Some(folder) = &self.data_dir else {
            return Ok(Letters::Node { client: self.server.client()?, id: self.id.clone() });
        };
        let id = PipelineId::try_from(self.id.as_str()).map_err(|error| Failure::invalid(error, Vec::new()))?;
        Ok(Letters::Stored(Box::new(StoredPipeline::find(folder, id).await?)))
    }
}

impl Letters {
    async fn page(&self, after: u64, limit: u64) -> Result<DeadLetterPage, Failure> {
        match self {
            Self::Node { client, id } => {
                let query = [("limit", limit.to_string()), ("after", after.to_string())];
                client.send(Request::get(&["pipelines", id, "dead-letters"]).query(&query)).await
            }
            Self::Stored(stored) => {
                let page = stored.load().await?.page(after, limit as usize).await.map_err(Failure::failed)?;
                Ok(views::dead_letters(page))
            }
        }
    }

    /// A page with their bytes.
    async fn whole(&self, after: u64) -> Result<DeadLetterPage, Failure> {
        match self {
            Self::Node { client, id } => {
                let query = [("limit", PAGE.to_string()), ("after", after.to_string()), ("bytes", "true".into())];
                client.send(Request::get(&["pipelines", id, "dead-letters"]).query(&query)).await
            }
            Self::Stored(stored) => {
                let page = stored.load().await?.whole(after, PAGE as usize).await.map_err(Failure::failed)?;
                Ok(views::dead_letters(page))
            }
        }
    }

    /// The partitions that the pipeline has a position in.
    async fn partitions(&self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Node { client, id } => {
                let positions = client.pipeline(id).await?.checkpoint.positions;
                Ok(positions.into_iter().map(|position| position.partition).collect())
            }
            Self::Stored(stored) => Ok(stored.load().await?.partitions()),
        }
    }

    async fn get(&self, number: u64) -> Result<DeadLetter, Failure> {
        match self {
            Self::Node { client, id } => {
                client.send(Request::get(&["pipelines", id, "dead-letters", &number.to_string()])).await
            }
            Self::Stored(stored) => {
                let after = number.checked_sub(1);
                let found = match after {
                    Some(after) => stored.load().await?.dead_letters(after, 1).await.map_err(Failure::failed)?.pop(),
                    None => None,
                };
                found.map(views::dead_letter).ok_or_else(|| {
                    Failure::failed(format!("the pipeline {:?} has no dead letter {number}", stored.id.as_str()))
                })
            }
        }
    }

    async fn causes(&self) -> Result<DeadLettersByCause, Failure> {
        match self {
            Self::Node { client, id } => Ok(client.pipeline(id).await?.dead_letters_by_cause.unwrap_or_default()),
            Self::Stored(stored) => Ok(views::causes(stored.load().await?.causes().await.map_err(Failure::failed)?)),
        }
    }
}

async fn list(letters: &Letters, of: &Of, limit: u64, after: u64, output: Output) -> Result<(), Failure> {
    let page = letters.page(after, limit).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let rows: Vec<_> = page.items.into_iter().map(row).collect();
            output::print(&output::table(["NUMBER", "AT", "STAGE", "PARTITION", "POSITION", "CODE", "CAUSE"], &rows));
            if let Some(next) = page.next {
                say!("there are more: --after {next}");
            } else if rows.is_empty() && after == 0 {
                say!("{} has no dead letters", of.id);
            }
        }
    }
    Ok(())
}

fn row(letter: DeadLetter) -> [String; 7] {
    let DeadLetter { number, at, stage, partition, position, line, code, cause, .. } = letter;
    let position = match line {
        Some(line) => format!("{position} (line {line})"),
        None => position,
    };
    [number.to_string(), at, stage, partition, position, code, cause]
}

async fn by_cause(letters: &Letters, output: Output) -> Result<(), Failure> {
    let found = letters.causes().await?;
    match output {
        Output::Json => output::json(&found),
        Output::Table => output::print(&causes::text(&found)),
    }
    Ok(())
}

async fn get(letters: &Letters, number: u64, output: Output) -> Result<(), Failure> {
    let letter = letters.get(number).await?;
    match output {
        Output::Json => output::json(&letter),
        Output::Table => {
            let original = match (&letter.original, &letter.original_base64) {
                (Some(text), _) => text.clone(),
                (None, Some(base64)) => format!("(base64) {base64}"),
                (None, None) => "(not kept)".into(),
            };
            output::print(&output::pairs(&[
                ("number", letter.number.to_string()),
                ("at", letter.at.clone()),
                ("stage", letter.stage.clone()),
                ("code", letter.code.clone()),
                ("cause", letter.cause.clone()),
                ("partition", letter.partition.clone()),
                ("position", letter.position.clone()),
                ("line", letter.line.map_or_else(|| "-".into(), |line| line.to_string())),
                ("record", letter.record_id.clone()),
                ("length", letter.length.to_string()),
                ("original", original),
            ]));
        }
    }
    Ok(())
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
struct Chosen {
    partition: Option<String>,
    generation: Option<String>,
}

impl Chosen {
    fn is_of_partition(&self, letter: &DeadLetter) -> bool {
        self.partition.as_ref().is_none_or(|wanted| letter.partition == *wanted)
    }

    fn is_of_generation(&self, letter: &DeadLetter) -> bool {
        let Some(wanted) = &self.generation else { return true };
        let Some(own) = &letter.generation else { return false };
        own == wanted || own.split_once('-').is_some_and(|(number, _)| number == wanted)
    }
}

async fn export(letters: &Letters, mut after: u64, chosen: &Chosen, output: Output) -> Result<(), Failure> {
    let (mut exported, mut others) = (Exported::default(), BTreeSet::new());
    loop {
        let page = letters.whole(after).await?;
        for letter in page.items {
            if !chosen.is_of_partition(&letter) {
                others.insert(letter.partition);
                continue;
            }
            let written = match output {
                _ if !chosen.is_of_generation(&letter) => continue,
                Output::Json => exported.write_whole(&letter),
                Output::Table => exported.write(letter),
            };
            if written.is_err() {
                return Ok(()); // the reader has gone away
            }
        }
        match page.next {
            Some(next) => after = next,
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
    fn write(&mut self, letter: DeadLetter) -> io::Result<()> {
        // Of a record over the limit only the head was kept, which is no record.
        let Some(mut bytes) = letter.bytes().filter(|_| letter.hash.is_none()) else {
            self.not_whole += 1;
            return Ok(());
        };
        bytes.push(b'\n');
        if self.kept == 0 {
            if let Some(header) = &letter.header {
                bytes.splice(0..0, format!("{header}\n").into_bytes());
            }
            self.header = letter.header;
        } else if self.header != letter.header {
            self.others += 1;
            return Ok(());
        }
        self.kept += 1;
        io::stdout().lock().write_all(&bytes)
    }

    /// Writes all that is known of the record, as one line of JSON.
    fn write_whole(&mut self, letter: &DeadLetter) -> io::Result<()> {
        let mut line = serde_json::to_vec(letter)?;
        line.push(b'\n');
        self.kept += 1;
        io::stdout().lock().write_all(&line)
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
