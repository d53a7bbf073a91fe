//! A lane: a fixed set of source partitions with its own order of commits. Three stages run beside each other: read,
//! transform, commit; bounded channels between them, and a bound on the bytes in flight over all.
use super::{
    commit::{Committer, ToCommit},
    failure::Failure,
    live::Live,
};
use crate::parts::{Compute, compute};
use dataflow_core::position::Positions;
use dataflow_sdk::{
    batch::{Dead, Demand, Inferred, Processed},
    records::Records,
    source::{Read, Reader},
    transform::{Compiler, Plan, Program, TooMuch, UnknownFields},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Batches that wait between two stages.
const DEPTH: usize = 4;
/// How often the lag of an idle source is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Records on their way, and their share of the bytes in flight.
pub(crate) struct InFlight<T> {
    pub(crate) load: T,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The bytes in flight of a run, over all lanes.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    most: u32,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let most = u32::try_from(bytes).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS.try_into().unwrap_or(u32::MAX));
        Self { bytes: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Waits until so many bytes may be taken; a load larger than all waits until it is alone.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.most);
        self.bytes.clone().acquire_many_owned(bytes).await.ok()
    }
}

/// What a lane is made of.
pub(crate) struct Lane {
    pub(crate) number: u32,
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) program: Binding,
    pub(crate) committer: Committer,
    pub(crate) positions: Positions,
    pub(crate) budget: Budget,
    pub(crate) live: Arc<Live>,
    pub(crate) compute: Arc<dyn Compute>,
    /// Ends reading; what was read is committed.
    pub(crate) stop: CancellationToken,
}

/// Whether a lane's source has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There will never be more.
    Source,
    /// It was told to.
    Stopped,
    /// It was told to before it knew what the sink has.
    Unopened,
}

impl Lane {
    /// Runs until the source ends or fails, it is told to stop, or a stage fails. Unless one of the others fails, everything
    /// read is committed and journalled.
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let Self { number, reader, program, committer, positions, budget, live, compute, stop } = self;
        let (to_transform, raw) = mpsc::channel(DEPTH);
        let (to_commit, processed) = mpsc::channel(DEPTH);
        let (checkpoints, checkpointed) = watch::channel(Positions::new());
        let stage = ReadStage { lane: number, reader, positions, budget, live, stop, checkpointed, out: to_transform };
        // What was read before the source failed is committed: it may not be there any more when it is opened again.
        let read = async { Ok(read(stage).await) };
        let transform = transform(program, compute, raw, to_commit);
        let commit = committer.run(processed, checkpoints);
        // The commit stage ends when the transform stage drops its end, and that when reading ends. Whichever of these
        // two fails first ends all three.
        let (ended, (), ()) = tokio::try_join!(read, transform, commit)?;
        ended
    }
}

struct ReadStage {
    lane: u32,
    reader: Box<dyn Reader>,
    positions: Positions,
    budget: Budget,
    live: Arc<Live>,
    stop: CancellationToken,
    checkpointed: watch::Receiver<Positions>,
    out: mpsc::Sender<InFlight<Records>>,
}

async fn read(stage: ReadStage) -> Result<Ended, Failure> {
    let ReadStage { lane, mut reader, mut positions, budget, live, stop, mut checkpointed, out } = stage;
    let mut look = tokio::time::interval(LOOK);
    loop {
        // A read is cancel-safe: nothing is lost if something else comes first.
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Ended::Stopped),
            Ok(()) = checkpointed.changed() => {
                reader.checkpointed(&checkpointed.borrow_and_update());
                continue;
            }
            _ = look.tick() => {
                let lag = reader.lag();
                live.lane(lane, |live| live.lag = lag);
                live.warn(reader.warnings());
                continue;
            }
            read = reader.read() => read,
        };
        live.warn(reader.warnings());
        let Read::Records(records) = read.map_err(|error| Failure::of("source", error))? else {
            return Ok(Ended::Source);
        };
        continues(&positions, &records)?;
        positions.extend(records.beside.clone());
        positions.insert(records.partition.clone(), records.to.clone());
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Ended::Stopped),
            permit = budget.take(records.weight()) => permit,
        };
        let Some(permit) = permit else { return Ok(Ended::Stopped) };
        let read = records.len() as u64 + records.lost.as_ref().map_or(0, |lost| lost.records);
        live.lane(lane, |live| live.in_flight += read);
        if out.send(InFlight { load: records, permit }).await.is_err() {
            return Ok(Ended::Stopped); // the stage behind has failed and says why
        }
    }
}

/// Progress is an interval, and counts only if it goes on where the last one ended.
fn continues(positions: &Positions, records: &Records) -> Result<(), Failure> {
    match positions.get(&records.partition) {
        Some(at) if at.at != records.from.at => Err(Failure::decide(
            "position-gap",
            "source",
            format!("the source went on at {} of {}, not at {at}", records.from, records.partition),
            "this is a bug of the source; nothing was lost: the checkpoint is where it was",
        )),
        _ => Ok(()),
    }
}

/// Compiled transforms and what is needed to compile them anew when the sink's columns change.
pub(crate) struct Binding {
    pub(crate) program: Box<dyn Program>,
    pub(crate) plan: Plan,
    pub(crate) compile: Compile,
}

/// Makes a program of a plan.
pub(crate) type Compile = Arc<dyn Fn(&Plan) -> Result<Box<dyn Program>, Failure> + Send + Sync>;

impl Binding {
    /// Compiles a plan.
    pub(crate) fn new(plan: Plan, compile: Compile) -> Result<Self, Failure> {
        Ok(Self { program: compile(&plan)?, plan, compile })
    }

    /// Compiles against what the sink wants now.
    fn rebind(&mut self, demand: Demand) -> Result<(), Failure> {
        self.plan.demand = demand;
        self.program = (self.compile)(&self.plan)?;
        Ok(())
    }
}

/// The findings of a compiler as a failure.
pub(crate) fn compile_with(compiler: &dyn Compiler, plan: &Plan) -> Result<Box<dyn Program>, Failure> {
    compiler.compile(plan).map_err(|problems| Failure::invalid("transforms", &problems))
}

async fn transform(
    mut binding: Binding,
    on: Arc<dyn Compute>,
    mut raw: mpsc::Receiver<InFlight<Records>>,
    out: mpsc::Sender<ToCommit>,
) -> Result<(), Failure> {
    let mut parts: Vec<InFlight<Arc<Records>>> = Vec::new();
    loop {
        let next = match parts.pop() {
            Some(part) => part,
            None => match raw.recv().await {
                Some(InFlight { load, permit }) => InFlight { load: Arc::new(load), permit },
                None => return Ok(()),
            },
        };
        let InFlight { load: records, permit } = next;
        if binding.plan.demand == Demand::AllColumns {
            let Ok(found) = infer(&mut binding, &on, &records).await else {
                parts.extend(halves(&records, permit));
                continue;
            };
            if !found.columns.is_empty() {
                let Some(demand) = define(&out, found, &mut binding.plan).await else { return Ok(()) };
                binding.rebind(demand)?;
            } else {
                // Nothing to make a table of yet: only filtered and dead records, and such as have no field.
                let mut program =
                    (binding.compile)(&Plan { demand: Demand::Columns(Vec::new()), ..binding.plan.clone() })?;
                let part = records.clone();
                let Ok(processed) = compute(&*on, move || program.process(part)).await else {
                    parts.extend(halves(&records, permit));
                    continue;
                };
                let processed = without_fields(processed);
                if out.send(ToCommit::Batch(InFlight { load: processed, permit })).await.is_err() {
                    return Ok(());
                }
                continue;
            }
        }
        let processed = loop {
            let Ok(processed) = process(&mut binding, &on, records.clone()).await else { break None };
            if processed.new_columns.columns.is_empty() {
                // Fields without any value so far are watched for one from here on.
                if binding.plan.learned.merge(&processed.new_columns.learned) {
                    binding.rebind(binding.plan.demand.clone())?;
                }
                break Some(processed);
            }
            if binding.plan.unknown_fields == Some(UnknownFields::Fail)
                && let Some(failure) = unknown_fields(&processed.new_columns, &binding.plan)
            {
                return Err(failure);
            }
            let Some(demand) = define(&out, processed.new_columns, &mut binding.plan).await else { return Ok(()) };
            binding.rebind(demand)?;
        };
        let Some(processed) = processed else {
            parts.extend(halves(&records, permit));
            continue;
        };
        if out.send(ToCommit::Batch(InFlight { load: processed, permit })).await.is_err() {
            return Ok(()); // the commit stage has failed and says why
        }
    }
}

/// What comes to too much at once, in two parts, of which the last is the one to go on with.
fn halves(records: &Records, mut permit: OwnedSemaphorePermit) -> [InFlight<Arc<Records>>; 2] {
    let (first, second) = records.halves();
    let half = permit.num_permits() / 2;
    let share = permit.split(half);
    let [first, second] = [Arc::new(first), Arc::new(second)];
    match share {
        Some(share) => [InFlight { load: second, permit: share }, InFlight { load: first, permit }],
        None => unreachable!("half of a permit is less than the permit"),
    }
}

/// Fields without a column, where the spec says that they are a failure.
fn unknown_fields(found: &Inferred, plan: &Plan) -> Option<Failure> {
    // A field that had no value yet when the columns were made is none of them.
    let waits = |name: &str| plan.learned.0.get(name) == Some(&None);
    let names = found.columns.iter().map(|column| column.name.as_str()).filter(|name| !waits(name));
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return None;
    }
    let message = format!("records have fields that the sink has no column for: {}", names.join(", "));
    let fix = "add the columns, leave the fields out with a map transform, or set unknownFields to ignore, add or dead";
    Some(Failure::decide("unknown-field", "sink", message, fix))
}

/// Rows of records without any field, while the sink's columns are not known: nobody can say what would hold them.
fn without_fields(mut processed: Processed) -> Processed {
    let mut rows = processed.output.rows.clone();
    rows.dedup();
    processed.output = processed.output.retain(|_| false);
    processed.dead.extend(rows.into_iter().map(|row| Dead {
        row,
        stage: "sink".into(),
        code: "no-fields",
        cause: "the record has no fields, and none before it had any that the sink's columns could be made of".into(),
    }));
    processed.dead.sort_by_key(|dead| dead.row);
    processed
}

async fn process(binding: &mut Binding, on: &Arc<dyn Compute>, records: Arc<Records>) -> Result<Processed, TooMuch> {
    let mut program = std::mem::replace(&mut binding.program, Box::new(Gone));
    let (program, processed) = compute(&**on, move || {
        let processed = program.process(records);
        (program, processed)
    })
    .await;
    binding.program = program;
    processed
}

async fn infer(binding: &mut Binding, on: &Arc<dyn Compute>, records: &Arc<Records>) -> Result<Inferred, TooMuch> {
    let mut program = std::mem::replace(&mut binding.program, Box::new(Gone));
    let records = records.clone();
    let (program, found) = compute(&**on, move || {
        let found = program.infer(&records);
        (program, found)
    })
    .await;
    binding.program = program;
    found
}

/// Has the sink define columns, behind all commits before; none: the commit stage is gone.
async fn define(out: &mpsc::Sender<ToCommit>, found: Inferred, plan: &mut Plan) -> Option<Demand> {
    let (answer, demand) = oneshot::channel();
    plan.learned.merge(&found.learned);
    out.send(ToCommit::Define { found, answer }).await.ok()?;
    demand.await.ok()
}

/// Stands where a program is while it works on a compute thread.
struct Gone;

impl Program for Gone {
    fn infer(&mut self, _: &Arc<Records>) -> Result<Inferred, TooMuch> {
        unreachable!("a program is used by one call at a time")
    }
    fn process(&mut self, _: Arc<Records>) -> Result<Processed, TooMuch> {
        unreachable!("a program is used by one call at a time")
    }
}
