//! Reads the range again, runs the transforms again, and passes each expected row to the auditor.
use crate::{
    Error, Progress,
    again::{Again, Outcome},
    letters::Letters,
    lossy::Lossy,
    range::Range,
    report::Report,
};
use dataflow_api_types::Claims;
use dataflow_core::{
    position::{Partition, Position, Positions},
    spec::PipelineSpec,
};
use dataflow_engine::parts::Plugins;
use dataflow_sdk::{
    Context, Error as ConnectorError, Records,
    audit::{Audited, Auditor, Example, Findings},
    batch::{Dead, Output, Payload},
    declared::{Declared, SinkRows},
    source::{Assignment, Read, Reader, Source},
    transform::{Plan, SoFar},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long a source may return nothing before its end is reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of attempts to open an unreachable source.
const TRIES: u32 = 5;

/// Why nothing can be proven of a record that the sink rejects by its column's type, and that is not listed.
const NOT_THEN: &str = "the target would reject the record now, and no dead letter says that it has: the column had another type, or the letter is lost";
/// The reason why a read range can't be read again.
const GONE: &str = "the source no longer has it";

pub(crate) struct Replay<'a> {
    /// The work of each spec of the generation, the current one last.
    stretches: Vec<Stretch>,
    auditor: Box<dyn Auditor>,
    lossy: Lossy,
    range: Range<'a>,
    source: &'a dyn Source,
}

/// The work of one spec.
struct Stretch {
    /// Its transforms; `None` while a thread works with them.
    again: Option<Again>,
    /// Its end; `None`: the end of the range.
    until: Option<Positions>,
}

impl Stretch {
    /// Counts the leading records that belong to it or to an earlier stretch.
    fn end(&self, records: &Records, range: &Range<'_>) -> usize {
        let Some(until) = &self.until else { return records.len() };
        until.get(&records.partition).map_or(0, |at| range.count_before(records, at))
    }
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        claims: &Claims,
        plugins: Arc<dyn Plugins>,
        audited: Audited,
        rows: &SinkRows,
        range: Range<'a>,
        source: &'a dyn Source,
    ) -> Result<Self, Error> {
        let stretch = |spec: &PipelineSpec, until: Option<&Positions>| {
            let declared = Declared { sink: rows.clone(), ..plugins.declared(spec) };
            let spec = Arc::new(spec.clone());
            let plan = Plan {
                transforms: spec.transforms.clone(),
                spec,
                demand: audited.demand.clone(),
                declared,
                learned: claims.learned.clone(),
                so_far: SoFar::default(),
            };
            Ok(Stretch { again: Some(Again::new(plugins.clone(), plan)?), until: until.cloned() })
        };
        let earlier = claims.stretches.iter().map(|earlier| stretch(&earlier.spec, Some(&earlier.until)));
        let stretches = earlier.chain([stretch(&claims.spec, None)]).collect::<Result<_, Error>>()?;
        Ok(Self { stretches, auditor: audited.auditor, lossy: Lossy::default(), range, source })
    }

    /// Reads all lanes, one after the other.
    pub(crate) async fn run(
        &mut self,
        cx: &Context,
        letters: &mut Letters,
        report: &mut Report,
        watch: &mut impl FnMut(Progress),
    ) -> Result<(), Error> {
        for (partition, from, to) in std::mem::take(&mut self.range.gone) {
            report.missing(&partition, &from, &to, GONE);
        }
        for lane in 0..self.range.lanes {
            let mut tries = 0;
            while !self.range.is_done(lane) {
                let before = report.records();
                let read = self.read(lane, cx, letters, report, watch).await;
                if report.records() > before {
                    tries = 0;
                }
                match read {
                    Ok(reason) => {
                        for (partition, from, to) in self.range.give_up(lane) {
                            report.missing(&partition, &from, &to, reason);
                        }
                    }
                    Err(Stopped::Lost { partition, earliest, reason }) => {
                        self.lost(&partition, earliest, &reason, report)
                    }
                    Err(Stopped::Failed(ConnectorError::Transient { .. })) if tries < TRIES => {
                        tries += 1;
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Err(Stopped::Failed(error)) => return Err(Error::Connector { part: "source", error }),
                    Err(Stopped::Other(error)) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Reads a lane to its end; returns the reason if it doesn't get there.
    async fn read(
        &mut self,
        lane: u32,
        cx: &Context,
        letters: &mut Letters,
        report: &mut Report,
        watch: &mut impl FnMut(Progress),
    ) -> Result<&'static str, Stopped> {
        let plan = self.range.parts.iter().map(|(partition, part)| (partition.clone(), part.lane)).collect();
        let (lanes, positions) = (self.range.lanes, self.range.positions());
        let assignment = Assignment { lane, lanes, positions, plan, passed: Positions::new() };
        let mut reader = self.source.open(cx, assignment).await?;
        let read = self.read_all(&mut *reader, lane, letters, report, watch).await;
        reader.close().await;
        read
    }

    async fn read_all(
        &mut self,
        reader: &mut dyn Reader,
        lane: u32,
        letters: &mut Letters,
        report: &mut Report,
        watch: &mut impl FnMut(Progress),
    ) -> Result<&'static str, Stopped> {
        while !self.range.is_done(lane) {
            let Ok(read) = tokio::time::timeout(PATIENCE, reader.read()).await else {
                return Ok("the source returned nothing more");
            };
            let Read::Records(records) = read? else { return Ok("the source ended earlier") };
            self.take(records, letters, report).await?;
            watch(Progress { records: report.records(), share: self.range.share(), comparing: false });
        }
        Ok("")
    }

    /// Handles a position that the source does not have any more: reading continues at the first available record.
    fn lost(&mut self, partition: &Partition, earliest: Position, reason: &str, report: &mut Report) {
        let Some(part) = self.range.parts.get(partition) else { return };
        // Another file or topic may have taken its place.
        let goes_on = self.source.is_same(&part.end, &earliest) && self.range.is_before(&part.at, &earliest);
        let to = if goes_on { self.range.first(&earliest, &part.end) } else { part.end.clone() };
        report.missing(partition, &part.at, &to, reason);
        if let Some(part) = self.range.parts.get_mut(partition) {
            (part.at, part.from) = (to, Some(earliest));
        }
    }

    async fn take(&mut self, mut records: Records, letters: &mut Letters, report: &mut Report) -> Result<(), Stopped> {
        let Some(part) = self.range.parts.get(&records.partition) else { return Ok(()) };
        if !self.range.is_before(&part.at, &part.end) {
            return Ok(()); // read since
        }
        if records.lost.is_some() || part.from.is_some() && records.from.at != part.at.at {
            let passed_over = records.lost.as_ref().map_or(&records.from, |lost| &lost.to);
            report.missing(&records.partition, &part.at, &self.range.first(passed_over, &part.end), GONE);
        }
        let of_range = self.range.count_before(&records, &part.end);
        let listed = self.range.count_before(&records, &part.journalled);
        if let Some(part) = self.range.parts.get_mut(&records.partition) {
            (part.at, part.from) = (records.to.clone(), Some(records.to.clone()));
        }
        records.truncate(of_range);
        let mut begin = 0;
        for stretch in 0..self.stretches.len() {
            let end = self.stretches[stretch].end(&records, &self.range);
            if begin < end {
                let of_it = Arc::new(records.slice(begin..end));
                self.process(stretch, of_it, listed.saturating_sub(begin), letters, report).await?;
                begin = end;
            }
        }
        Ok(())
    }

    async fn process(
        &mut self,
        stretch: usize,
        records: Arc<Records>,
        listed: usize,
        letters: &mut Letters,
        report: &mut Report,
    ) -> Result<(), Stopped> {
        letters.read(&records);
        // The sink may have rejected a record that is listed, or that is not listed yet.
        let is_listed = |row: u32| (row as usize) < listed;
        let is_doubtful =
            |row: &u32| !is_listed(*row) || letters.has_bodiless() || letters.turned_down(&records, *row).is_some();
        let doubtful: Arc<BTreeSet<u32>> = Arc::new((0..records.len() as u32).filter(is_doubtful).collect());
        let mut outcome = self.run_again(stretch, &records, &doubtful).await?;
        if !outcome.new_columns.is_empty() {
            let names: Vec<_> = outcome.new_columns.iter().map(|column| column.name.as_str()).collect();
            if let Some(again) = &mut self.stretches[stretch].again {
                // A table that grows by itself leaves out what it can't have: the auditor finds that among the rows.
                if !again.grows() {
                    report.cannot(format!("the target has no column for {}, which records have", names.join(", ")));
                }
                again.ignore_unknown().map_err(Stopped::Other)?;
            }
            outcome = self.run_again(stretch, &records, &doubtful).await?;
        }
        let Outcome { said, asked, filtered, mut dead, unsaid, .. } = outcome;
        // The types of a table's columns are those of now.
        let is_of_now = |dead: &Dead| {
            (&*dead.stage, dead.code) == ("sink", "type-mismatch")
                && is_listed(dead.row)
                && !letters.has_bodiless()
                && letters.has_none(&records, dead.row)
        };
        let (of_now, other): (Vec<Dead>, Vec<Dead>) = dead.into_iter().partition(is_of_now);
        dead = other;
        for Dead { row, cause, .. } in &of_now {
            report.missing_record(&records, *row, &format!("{NOT_THEN}: {cause}"));
        }
        for asked in &asked {
            let refused = self.refused(asked, listed, letters, report).await?;
            dead.extend(refused);
        }
        dead.sort_by_key(|dead| dead.row);
        dead.dedup_by_key(|dead| dead.row);
        let gone: BTreeSet<u32> = dead.iter().map(|dead| dead.row).collect();
        let rows = if gone.is_empty() { said } else { said.retain(|row| !gone.contains(&said.rows[row])) };
        for record in &unsaid {
            report.missing_record(&records, *record, "the record can't be written as JSON, so it can't be compared");
        }
        self.lossy.look(&rows);
        self.auditor.expect(&rows).await.map_err(|error| Stopped::Other(Error::Connector { part: "sink", error }))?;
        for dead in &dead {
            letters.expect(&records, dead, !is_listed(dead.row));
        }
        let counted = &mut report.counted;
        counted.read += records.len() as u64;
        counted.filtered += filtered;
        counted.dead += dead.len() as u64;
        counted.delivered += rows.records_delivered() + unsaid.len() as u64;
        counted.rows_written += rows.len() as u64;
        Ok(())
    }

    async fn run_again(
        &mut self,
        stretch: usize,
        records: &Arc<Records>,
        doubtful: &Arc<BTreeSet<u32>>,
    ) -> Result<Outcome, Stopped> {
        let Some(mut again) = self.stretches[stretch].again.take() else {
            return Err(Stopped::Other(Error::Claims("the program is gone".into())));
        };
        let (records, doubtful) = (records.clone(), doubtful.clone());
        let work = tokio::task::spawn_blocking(move || {
            let outcome = again.run(&records, &doubtful);
            (again, outcome)
        });
        let (again, outcome) = work
            .await
            .map_err(|error| Stopped::Other(Error::Claims(format!("the transforms were aborted: {error}"))))?;
        self.stretches[stretch].again = Some(again);
        Ok(outcome)
    }

    /// Returns the records that the sink has rejected: the listed ones, and unlisted ones that it would reject now. A
    /// listed record that it would accept now is reported as unproven.
    async fn refused(
        &mut self,
        asked: &Output,
        listed_rows: usize,
        letters: &Letters,
        report: &mut Report,
    ) -> Result<Vec<Dead>, Stopped> {
        let Some(records) = &asked.records else { return Ok(Vec::new()) };
        let refusals = self.auditor.refusals(asked).await;
        let refusals = refusals.map_err(|error| Stopped::Other(Error::Connector { part: "sink", error }))?;
        let mut dead: Vec<Dead> = Vec::new();
        let all: BTreeSet<u32> = asked.rows.iter().copied().collect();
        for record in all {
            let listed = letters.turned_down(records, record);
            let own = (0..asked.len()).filter(|row| asked.rows[*row] == record);
            let refused = match listed {
                Some("no-fields") => own.clone().all(|row| is_bare(&asked.payload, row)),
                _ => own.clone().any(|row| refusals.get(row).is_some_and(Option::is_some)),
            };
            if listed.is_none() && !(refused && (record as usize >= listed_rows || letters.has_bodiless())) {
                continue;
            }
            let cause = letters.cause(records, record).filter(|cause| self.auditor.is_own_reason(cause));
            if let (false, Some(cause)) = (refused, cause) {
                report.at_its_word.add(|| Example {
                    partition: Some(records.partition.to_string()),
                    position: Some(records.before(record as usize).at.to_string()),
                    found: Some(cause.into()),
                    ..Example::default()
                });
            } else if !refused {
                let reason = "listed as rejected by the sink; cannot confirm that it would be rejected now";
                report.missing_record(records, record, reason);
            }
            let code = match listed {
                Some("no-fields") => "no-fields",
                Some("type-mismatch") => "type-mismatch",
                _ => "rejected",
            };
            dead.push(Dead { row: record, stage: "sink".into(), code, cause: String::new() });
        }
        Ok(dead)
    }

    /// Returns the auditor's findings.
    pub(crate) async fn finish(self) -> Result<Findings, ConnectorError> {
        let mut findings = self.auditor.finish().await?;
        self.lossy.add_to(&mut findings.altered);
        Ok(findings)
    }
}

/// Returns whether a row has no value at all.
fn is_bare(payload: &Payload, row: usize) -> bool {
    match payload {
        Payload::Documents { data, spans } => spans[row].of(data) == b"{}",
        Payload::Columns(batch) => batch.columns().iter().all(|column| column.is_null(row)),
    }
}

/// The reason why reading a lane stopped.
enum Stopped {
    /// A position is no longer available.
    Lost {
        partition: Partition,
        earliest: Position,
        reason: String,
    },
    Failed(ConnectorError),
    Other(Error),
}

impl From<ConnectorError> for Stopped {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::PositionLost { partition, earliest, reason, .. } => {
                Self::Lost { partition, earliest, reason }
            }
            error => Self::Failed(error),
        }
    }
}
