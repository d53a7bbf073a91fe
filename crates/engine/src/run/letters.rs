//! The dead letters of a commit: what becomes of records that are in no row, and their chunk in the journal.
use super::{failure::Failure, patience::wait_for};
use crate::{
    answers::DeadLetter,
    chunks, dead_letters,
    parts::Clock,
    status::{RunStatus, Trouble},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    ledger::Counters,
    level::WriteLevel,
    token::Token,
};
use dataflow_journal::Journal;
use dataflow_sdk::{
    Records,
    batch::{Dead, Output},
    sink::{RejectedRow, Writer},
};
use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A chunk that takes longer keeps no locks of the sink meanwhile.
const PROMPT: Duration = Duration::from_secs(1);
/// Wait between tries while the journal can't take a chunk, and the code of what is shown meanwhile.
const RETRY: Duration = Duration::from_millis(200);
const JOURNAL_DOWN: &str = "journal-unavailable";

/// Where a lane keeps its dead letters.
pub(crate) struct Letters {
    pub(crate) journal: Journal,
    pub(crate) live: Arc<RunStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    /// At which they are written: the same for the whole opening, so that a commit's chunk is the same however often it is stored.
    pub(crate) level: WriteLevel,
}

impl Letters {
    /// Stores the letters of a commit and names their chunk in its token. They are durable once this returns.
    pub(crate) async fn keep(
        &self,
        letters: Vec<DeadLetter>,
        token: &mut Token,
        writer: &mut dyn Writer,
    ) -> Result<(), Failure> {
        if letters.is_empty() {
            return Ok(());
        }
        let records = letters.len() as u64;
        let id = dead_letters::chunk_id(&token.fence, token.sequence, records);
        token.chunks.push(ChunkRef { id: id.clone(), kind: ChunkKind::DeadLetters, records });
        let body = dead_letters::encode(letters, self.level).map_err(|error| {
            let message = format!("dead letters can't be encoded: {error}");
            Failure::of("journal", dataflow_sdk::Error::fatal("internal", message))
        })?;
        let mut stored = pin!(store(&self.journal, &id, body, &self.live, &*self.clock));
        if tokio::time::timeout(PROMPT, &mut stored).await.is_err() {
            writer.release().await;
            stored.await;
        }
        Ok(())
    }

    /// Removes the chunk of a token that the sink has not taken, and never will.
    pub(crate) async fn discard(&self, token: Token, known: &Token) {
        let named = |chunk: &ChunkRef| known.chunks.iter().any(|known| known.id == chunk.id);
        let own: Vec<ChunkId> = token.chunks.into_iter().filter(|chunk| !named(chunk)).map(|chunk| chunk.id).collect();
        let removing = chunks::remove(&self.journal, self.live.pipeline(), &own);
        wait_for("journal", "removing a chunk", &self.live, &*self.clock, removing).await;
    }
}

/// Stores a chunk of dead letters in the journal, however long it takes.
async fn store(journal: &Journal, id: &ChunkId, body: Bytes, live: &RunStatus, clock: &dyn Clock) {
    let mut attempts = 0;
    loop {
        let putting = journal.put_chunk(id, body.clone());
        let Err(error) = wait_for("journal", "keeping dead letters", live, clock, putting).await else { break };
        tracing::warn!(%id, %error, "dead letters can't be stored yet");
        attempts += 1;
        live.trouble(Trouble {
            code: JOURNAL_DOWN.into(),
            stage: "journal".into(),
            lane: None,
            message: error.to_string(),
            fix: None,
            since: clock.now(),
            attempts,
            retry: Some(Instant::now() + RETRY),
        });
        tokio::time::sleep(RETRY).await;
    }
    if attempts > 0 {
        live.answered(JOURNAL_DOWN);
    }
}

/// The records of a batch, and what became of those that are in no output row.
pub(crate) struct RecordFates {
    pub(crate) records: Arc<Records>,
    pub(crate) filtered: u64,
    pub(crate) dead: Vec<Dead>,
}

impl RecordFates {
    pub(crate) fn counters(&self, output: &Output) -> Counters {
        let records = &self.records;
        let lost = records.lost.as_ref().map_or(0, |lost| lost.records);
        Counters {
            read: records.len() as u64 + lost,
            filtered: self.filtered,
            delivered: output.records_delivered(),
            dead: self.dead.len() as u64,
            lost,
            bytes_lost: records.lost.as_ref().map_or(0, |lost| lost.bytes),
            bytes_read: records.bytes_read,
            ..Counters::default()
        }
    }
}

/// Makes dead letters of records that the sink rejected, all rows of such a record included. A row that comes from the state of a
/// transform has no record that could be one: without it the sink would not hold what the records say.
pub(crate) fn bury(
    outputs: &mut [Output],
    fates: &mut [RecordFates],
    rejected: Vec<RejectedRow>,
) -> Result<(), Failure> {
    let mut by_output: BTreeMap<usize, BTreeMap<u32, String>> = BTreeMap::new();
    for RejectedRow { output, row, cause } in rejected {
        if outputs.get(output).is_some_and(|output| output.records.is_none()) {
            return Err(Failure::decide(
                "rejected",
                "sink",
                format!(
                    "the sink rejected a row that was made from many records, so no single record can be set aside: {cause}"
                ),
                "fix the cause that the sink reports, or change what the transforms make of the records",
            ));
        }
        if let Some(record) = outputs.get(output).and_then(|output| output.rows.get(row)) {
            by_output.entry(output).or_default().entry(*record).or_insert(cause);
        }
    }
    if by_output.is_empty() {
        return Err(Failure::decide(
            "rejected",
            "sink",
            "the sink rejected the commit without naming a row".into(),
            "this is a bug of the sink; nothing was written",
        ));
    }
    for (index, causes) in by_output {
        let kept = outputs[index].retain(|row| !causes.contains_key(&outputs[index].rows[row]));
        outputs[index] = kept;
        let dead = &mut fates[index].dead;
        dead.extend(causes.into_iter().map(|(row, cause)| Dead { row, stage: "sink".into(), code: "rejected", cause }));
        dead.sort_by_key(|dead| dead.row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow_core::position::Position;
    use dataflow_sdk::{batch::Payload, records::Layout};

    fn rejected(output: usize, row: usize) -> RejectedRow {
        RejectedRow { output, row, cause: "too long".into() }
    }

    /// Two outputs: two rows of record 0 and one of record 2, and two rows that come from state.
    fn outputs() -> ([Output; 2], [RecordFates; 2]) {
        let records = Arc::new(Records::empty("p/0".into(), Position::offset(0), Layout::Json));
        let rows = |count| Payload::Documents { data: Bytes::new(), spans: vec![dataflow_sdk::Span::NULL; count] };
        let of_records = Output::of(records.clone(), vec![0, 0, 2], rows(3));
        let of_state = Output { records: None, ..Output::of(records.clone(), vec![0, 1], rows(2)) };
        let fates = || RecordFates { records: records.clone(), filtered: 0, dead: Vec::new() };
        ([of_records, of_state], [fates(), fates()])
    }

    #[test]
    fn a_rejected_row_takes_all_rows_of_its_record_with_it() {
        let (mut outputs, mut fates) = outputs();
        bury(&mut outputs, &mut fates, vec![rejected(0, 1)]).map_err(|_| "buried").expect("a record is behind it");
        assert_eq!((&outputs[0].rows, fates[0].dead.len()), (&vec![2], 1));
        assert_eq!((outputs[0].records_delivered(), outputs[1].records_delivered()), (1, 0));
    }

    #[test]
    fn a_rejected_row_without_a_record_is_no_dead_letter() {
        let (mut outputs, mut fates) = outputs();
        assert!(bury(&mut outputs, &mut fates, vec![rejected(0, 1), rejected(1, 0)]).is_err());
        assert_eq!((outputs[0].len(), outputs[1].len()), (3, 2), "nothing is left out");
    }
}
