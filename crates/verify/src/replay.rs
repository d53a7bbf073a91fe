//! Reading the range again, running the transforms again, and naming each row that should be there to the auditor.
use crate::{Error, Progress, letters::Letters, range::Range, report::Report};
use dataflow_core::position::{Partition, Position};
use dataflow_engine::{claims::Claims, parts::Plugins};
use dataflow_sdk::{
    Context, Error as ConnectorError, Records,
    audit::{Audited, Auditor, Findings},
    batch::{Dead, Output, Payload, Processed},
    sink::CommitError,
    source::{Assignment, Read, Reader, Source},
    transform::{Plan, Program, UnknownFields},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long a source may give nothing while there is still something to be read of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tries to open a source that is out of reach.
const TRIES: u32 = 5;

pub(crate) struct Replay<'a> {
    claims: &'a Claims,
    plugins: Arc<dyn Plugins>,
    plan: Plan,
    program: Option<Box<dyn Program>>,
    auditor: Box<dyn Auditor>,
    range: Range,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        claims: &'a Claims,
        plugins: Arc<dyn Plugins>,
        audited: Audited,
        unknown_fields: Option<UnknownFields>,
        range: Range,
    ) -> Result<Self, Error> {
        let spec = Arc::new(claims.spec.clone());
        let plan = Plan {
            transforms: spec.transforms.clone(),
            spec,
            demand: audited.demand,
            unknown_fields,
            learned: claims.learned.clone(),
        };
        let mut replay = Self { claims, plugins, plan, program: None, auditor: audited.auditor, range };
        replay.compile()?;
        Ok(replay)
    }

    fn compile(&mut self) -> Result<(), Error> {
        let compiled = self.plugins.compiler().compile(&self.plan);
        self.program = Some(compiled.map_err(|problems| Error::Invalid { part: "transforms", problems })?);
        Ok(())
    }

    /// Reads all lanes, one after the other.
    pub(crate) async fn run(
        &mut self,
        source: &dyn Source,
        cx: &Context,
        letters: &mut Letters,
        report: &mut Report,
        watch: &mut impl FnMut(Progress),
    ) -> Result<(), Error> {
        for lane in 0..self.range.lanes {
            let mut tries = 0;
            while !self.range.is_done(lane) {
                match self.read(lane, source, cx, letters, report, watch).await {
                    Ok(reason) => {
                        for (partition, from, to) in self.range.give_up(lane) {
                            report.missing(&partition, from, to, reason);
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

    /// Reads a lane to its end; if it doesn't get there, the reason.
    async fn read(
        &mut self,
        lane: u32,
        source: &dyn Source,
        cx: &Context,
        letters: &mut Letters,
        report: &mut Report,
        watch: &mut impl FnMut(Progress),
    ) -> Result<&'static str, Stopped> {
        let assignment = Assignment { lane, lanes: self.range.lanes, positions: self.range.positions() };
        let mut reader: Box<dyn Reader> = source.open(cx, assignment).await?;
        while !self.range.is_done(lane) {
            let Ok(read) = tokio::time::timeout(PATIENCE, reader.read()).await else {
                return Ok("the source gives nothing more of it");
            };
            let Read::Records(records) = read? else { return Ok("the source ends before it") };
            self.take(records, letters, report).await?;
            watch(Progress { records: report.records(), share: self.range.share(), comparing: false });
        }
        Ok("")
    }

    /// A position that the source does not have any more: it is read from the first that is there.
    fn lost(&mut self, partition: &Partition, earliest: Position, reason: &str, report: &mut Report) {
        let Some(part) = self.range.parts.get_mut(partition) else { return };
        // Another one may have taken its place, which begins anew.
        let to = earliest.as_offset().filter(|to| *to > part.at && earliest.identity.is_none());
        let to = to.map_or(part.end, |to| to.min(part.end));
        report.missing(partition, part.at, to, reason);
        (part.at, part.from) = (to, Some(earliest));
    }

    async fn take(&mut self, mut records: Records, letters: &mut Letters, report: &mut Report) -> Result<(), Stopped> {
        let Some(part) = self.range.parts.get_mut(&records.partition) else { return Ok(()) };
        if part.at >= part.end {
            return Ok(()); // read since
        }
        let (from, to) = (number(&records.from), number(&records.to));
        if records.lost.is_some() || part.from.is_some() && from != part.at {
            let passed_over = records.lost.as_ref().map_or(from, |lost| number(&lost.to));
            let chosen = self.claims.lost.iter().any(|lost| {
                lost.partition == records.partition && number(&lost.from) <= part.at && passed_over <= number(&lost.to)
            });
            if !chosen {
                report.missing(
                    &records.partition,
                    part.at,
                    passed_over.min(part.end),
                    "the source does not have it any more",
                );
            }
        }
        let end = part.end;
        let unlisted_from = part.journalled;
        (part.at, part.from) = (to, Some(records.to.clone()));
        records.truncate(records.offsets.partition_point(|offset| *offset < end));
        if !records.is_empty() {
            self.process(Arc::new(records), unlisted_from, letters, report).await?;
        }
        Ok(())
    }

    async fn process(
        &mut self,
        records: Arc<Records>,
        unlisted_from: u64,
        letters: &mut Letters,
        report: &mut Report,
    ) -> Result<(), Stopped> {
        let mut processed = self.transform(records.clone()).await?;
        if !processed.new_columns.is_empty() {
            let names: Vec<_> = processed.new_columns.iter().map(|column| column.name.as_str()).collect();
            report.cannot(format!("the target has no column for {}, which records have", names.join(", ")));
            self.plan.unknown_fields = Some(UnknownFields::Ignore);
            self.compile().map_err(Stopped::Other)?;
            processed = self.transform(records.clone()).await?;
        }
        let Processed { output, filtered, mut dead, .. } = processed;
        let mut rows = output;
        let refused = self.refused(&rows, letters, report).await?;
        rows = without(&rows, &mut dead, refused);
        while let Err(error) = self.auditor.expect(std::slice::from_ref(&rows)).await {
            match error {
                CommitError::Failed(error) => return Err(Stopped::Other(Error::Connector { part: "sink", error })),
                CommitError::Rejected(rejected) => {
                    let rejected = rejected.into_iter().filter_map(|refused| {
                        Some(Dead {
                            row: *rows.rows.get(refused.row)?,
                            stage: "sink".into(),
                            code: "rejected",
                            cause: refused.cause,
                        })
                    });
                    let rejected = rejected.collect();
                    rows = without(&rows, &mut dead, rejected);
                }
            }
        }
        for dead in &dead {
            letters.expect(&records, dead, records.offsets[dead.row as usize] >= unlisted_from);
        }
        let counted = &mut report.counted;
        counted.read += records.len() as u64;
        counted.filtered += filtered;
        counted.dead += dead.len() as u64;
        counted.delivered += rows.records_delivered();
        Ok(())
    }

    async fn transform(&mut self, records: Arc<Records>) -> Result<Processed, Stopped> {
        let Some(mut program) = self.program.take() else {
            return Err(Stopped::Other(Error::Claims("the program is gone".into())));
        };
        let work = tokio::task::spawn_blocking(move || {
            let processed = program.process(records);
            (program, processed)
        });
        let (program, processed) =
            work.await.map_err(|error| Stopped::Other(Error::Claims(format!("the transforms broke off: {error}"))))?;
        self.program = Some(program);
        Ok(processed)
    }

    /// Records that, as the list of dead letters says, the sink has turned down. What it would not turn down now is not proven.
    async fn refused(&mut self, output: &Output, letters: &Letters, report: &mut Report) -> Result<Vec<Dead>, Stopped> {
        let records = &output.records;
        let code = |row: usize| letters.turned_down(&records.partition, records.offsets[output.rows[row] as usize]);
        let listed = output.retain(|row| code(row).is_some());
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let refusals = self.auditor.refusals(&listed).await;
        let refusals = refusals.map_err(|error| Stopped::Other(Error::Connector { part: "sink", error }))?;
        let mut dead: Vec<Dead> = Vec::new();
        let all: BTreeSet<u32> = listed.rows.iter().copied().collect();
        for record in all {
            let position = records.offsets[record as usize];
            let code = letters.turned_down(&records.partition, position).unwrap_or_default();
            let own = (0..listed.len()).filter(|row| listed.rows[*row] == record);
            let proven = match code {
                "no-fields" => own.clone().all(|row| is_bare(&listed.payload, row)),
                _ => own.clone().any(|row| refusals.get(row).is_some_and(Option::is_some)),
            };
            if !proven {
                let reason = "the list of dead letters says that the sink has turned this record down, and it can't be told that it would do so again";
                report.missing(&records.partition, position, position + 1, reason);
            }
            let code = if code == "no-fields" { "no-fields" } else { "rejected" };
            dead.push(Dead { row: record, stage: "sink".into(), code, cause: String::new() });
        }
        Ok(dead)
    }

    /// What the auditor found.
    pub(crate) async fn finish(self) -> Result<Findings, ConnectorError> {
        self.auditor.finish().await
    }
}

/// Whether a row has no value at all.
fn is_bare(payload: &Payload, row: usize) -> bool {
    match payload {
        Payload::Documents { data, spans } => spans[row].of(data) == b"{}",
        Payload::Columns(batch) => batch.columns().iter().all(|column| column.is_null(row)),
    }
}

/// The rows without those of records that are dead, which join the others.
fn without(rows: &Output, dead: &mut Vec<Dead>, more: Vec<Dead>) -> Output {
    if more.is_empty() {
        return rows.clone();
    }
    let gone: BTreeSet<u32> = more.iter().map(|dead| dead.row).collect();
    let kept = rows.retain(|row| !gone.contains(&rows.rows[row]));
    for new in more {
        if !dead.iter().any(|known| known.row == new.row) {
            dead.push(new);
        }
    }
    kept
}

fn number(position: &Position) -> u64 {
    position.as_offset().unwrap_or(0)
}

/// Why reading a lane stopped.
enum Stopped {
    /// A position is not there any more.
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
