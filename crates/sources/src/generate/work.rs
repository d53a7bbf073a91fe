//! Making batches of records, no faster than the rate.
use super::{GenerateSource, record::Template};
use crate::ahead::{Step, Work};
use bytes::Bytes;
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{
    Context, Error, Records,
    records::{Layout, Span},
    source::Assignment,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Longest wait for a record.
const LONGEST: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct Generate {
    template: Template,
    seed: u64,
    partitions: u64,
    parts: Vec<Part>,
    next: usize,
    max_records: u64,
    max_bytes: usize,
    pace: Option<Pace>,
    /// Records of a high rate come together.
    linger: Duration,
}

#[derive(Debug)]
struct Part {
    name: Partition,
    number: u64,
    /// Records made, and how many there are in all.
    at: u64,
    end: u64,
}

/// How many records may have been made by now.
#[derive(Debug)]
struct Pace {
    start: Instant,
    rate: f64,
    made: u64,
}

impl Pace {
    /// Until the next record.
    fn wait(&self) -> Duration {
        let next = Duration::try_from_secs_f64(self.made as f64 / self.rate).unwrap_or(LONGEST);
        // A little more, so that it surely is due then.
        (next.saturating_sub(self.start.elapsed()) + Duration::from_millis(1)).min(LONGEST)
    }
}

impl Generate {
    pub(super) fn new(source: &GenerateSource, cx: &Context, lane: &Assignment) -> Result<Self, Error> {
        let mine = (0..source.partitions).filter(|p| p % lane.lanes.max(1) == lane.lane);
        let part = |p| {
            let name = GenerateSource::partition(p);
            let from = lane.positions.get(&name).cloned().unwrap_or(Position::offset(0));
            let Some(at) = from.as_offset() else {
                let error =
                    Error::fatal("bad-position", format!("position {from} of {name} is not a number of records"));
                return Err(error.fix("set the checkpoint to a number of records").for_user());
            };
            Ok(Part { name, number: p.into(), at, end: source.share(p).unwrap_or(u64::MAX) })
        };
        let parts = mine.map(part).collect::<Result<Vec<_>, _>>()?;
        let share = parts.len() as f64 / f64::from(source.partitions);
        Ok(Self {
            template: Template::new(&source.schema),
            seed: source.seed,
            partitions: source.partitions.into(),
            parts,
            next: 0,
            max_records: cx.batch.max_records.max(1).into(),
            max_bytes: cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize,
            pace: source.rate.filter(|_| !cx.again).map(|rate| Pace {
                start: Instant::now(),
                rate: rate * share,
                made: 0,
            }),
            linger: Duration::from_millis(cx.batch.linger.0.clamp(1, 50)),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl Work for Generate {
    fn step(&mut self) -> Result<Step, Error> {
        let due = match &self.pace {
            Some(pace) => {
                // The first record at once, the others one after the other.
                let due = (pace.start.elapsed().as_secs_f64() * pace.rate) as u64 + 1;
                due.saturating_sub(pace.made).min(self.max_records)
            }
            None => self.max_records,
        };
        let parts = self.parts.len();
        let Some(k) = (0..parts).map(|i| (self.next + i) % parts).find(|&k| self.parts[k].at < self.parts[k].end)
        else {
            return Ok(Step::End);
        };
        if let Some(pace) = self.pace.as_ref().filter(|_| due == 0) {
            return Ok(Step::Idle(pace.wait().max(self.linger)));
        }
        self.next = k + 1;
        let part = &mut self.parts[k];
        let most = due.min(part.end - part.at);
        let mut records = Records::empty(part.name.clone(), Position::offset(part.at), Layout::Json);
        records.shared = Arc::new(vec![("partition".into(), part.number.to_string())]);
        records.spans.reserve(most as usize);
        records.offsets.reserve(most as usize);
        let mut data = Vec::with_capacity((most as usize * 256).min(self.max_bytes));
        while (records.spans.len() as u64) < most && (data.is_empty() || data.len() < self.max_bytes) {
            let begin = data.len();
            self.template.write(self.seed, part.at * self.partitions + part.number, &mut data);
            records.spans.push(Span::new(begin, data.len()));
            records.offsets.push(part.at);
            part.at += 1;
        }
        records.to = Position::offset(part.at);
        records.bytes_read = data.len() as u64;
        records.data = Bytes::from(data);
        if let Some(pace) = &mut self.pace {
            pace.made += records.spans.len() as u64;
        }
        Ok(Step::Records(Box::new(records)))
    }

    fn lag(&self) -> Option<u64> {
        self.parts.iter().map(|part| (part.end != u64::MAX).then(|| part.end.saturating_sub(part.at))).sum()
    }
}
