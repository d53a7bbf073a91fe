//! Pages of dead letters: of one sink, or of several one after the other.
use super::{list, next_chunk};
use crate::answers::{DeadLetter, DeadLetters, LetterPlace};
use dataflow_core::{chunk::ChunkRef, id::SinkName, pipeline::Branch};
use dataflow_journal::{Error, Journal};

/// The dead letters of a branch: which chunks have them.
#[derive(Clone, Debug)]
pub(crate) struct Letters {
    /// What its sink is called; none: it is the only one.
    pub(crate) sink: Option<SinkName>,
    pub(crate) chunks: Vec<ChunkRef>,
}

impl Letters {
    pub(crate) fn of(branch: &Branch) -> Self {
        Self { sink: branch.sink.clone(), chunks: branch.progress.dead_letters.clone() }
    }

    fn total(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.records).sum()
    }
}

/// The dead letters of these branches after a place with their bytes, at most so many, sink by sink; on request of one chunk
/// only, which bounds their bytes.
pub(crate) async fn page(
    journal: &Journal,
    branches: &[Letters],
    after: &LetterPlace,
    (of_one_chunk, limit): (bool, usize),
) -> Result<DeadLetters, Error> {
    let first = match &after.sink {
        Some(_) => branches.iter().position(|branch| branch.sink == after.sink).unwrap_or(branches.len()),
        None => 0,
    };
    let mut found: Vec<DeadLetter> = Vec::new();
    let mut number = after.number;
    for (index, branch) in branches.iter().enumerate().skip(first) {
        let wanted = limit - found.len();
        let mut letters = match of_one_chunk {
            true => next_chunk(journal, &branch.chunks, number).await?,
            false => list(journal, &branch.chunks, number, wanted).await?,
        };
        letters.truncate(wanted);
        let last = letters.last().map_or(number, |letter| letter.number);
        found.extend(letters.into_iter().map(|letter| DeadLetter { sink: branch.sink.clone(), ..letter }));
        if found.len() == limit || (of_one_chunk && !found.is_empty()) {
            let more = last < branch.total() || branches[index + 1..].iter().any(|later| later.total() > 0);
            let sink = branch.sink.clone().filter(|_| branches.len() > 1);
            return Ok(DeadLetters { letters: found, next: more.then_some(LetterPlace { sink, number: last }) });
        }
        number = 0;
    }
    Ok(DeadLetters { letters: found, next: None })
}
