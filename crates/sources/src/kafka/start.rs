//! Where each partition of a lane begins: an explicit offset, checked against the log.
use super::{
    KafkaSource, Start,
    client::{Client, Found, Log},
    partition, position,
};
use crate::lost::OnPositionLost;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Error, Records,
    records::{Layout, Lost},
    source::Assignment,
};
use std::collections::VecDeque;

/// A partition, and the offset from which it is read.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) found: Found,
    pub(super) offset: i64,
    /// An interval without records that comes first: what was passed over by choice.
    pub(super) first: Option<Records>,
}

/// Where to begin with a partition that has this position, or none.
pub(super) fn begin(
    source: &KafkaSource,
    client: &Client,
    found: Found,
    positions: &Positions,
) -> Result<Begin, Error> {
    let name = partition(&found.topic, found.number);
    let log = client.log(&found.topic, found.number)?;
    client.told.reaches(&found.topic, found.number, log.latest);
    let id = found.id.clone();
    let at = |offset| position(offset, id.as_ref());
    let Some(wanted) = positions.get(&name).cloned() else {
        // Where others of the topic have positions, this partition appeared since.
        let siblings =
            positions.keys().any(|known| known.0.rsplit_once('/').is_some_and(|(topic, _)| topic == found.topic));
        if source.start == Start::Earliest || siblings {
            return Ok(Begin { found, offset: log.earliest, first: None });
        }
        // "From now on" is kept, so that a restart before the first record finds the same place.
        let now = Records::empty(name, at(log.latest), Layout::Json);
        return Ok(Begin { found, offset: log.latest, first: Some(now) });
    };
    let Some(offset) = wanted.as_offset().and_then(|at| i64::try_from(at).ok()) else {
        let error = Error::fatal("bad-position", format!("position {wanted} of {name} is not an offset"));
        return Err(error.fix("set the checkpoint to an offset").for_user());
    };
    let Log { earliest, latest } = log;
    let (reason, gone) = if let (Some(was), Some(is)) = (&wanted.identity, &id)
        && was != is
    {
        // How many records of the former topic were not read yet can't be known.
        (format!("the topic was made anew: it has the id {is}, not {was}"), 0)
    } else if offset < earliest {
        (format!("the records {offset} to {} have expired", earliest - 1), earliest - offset)
    } else if offset > latest {
        (format!("the log ends at {latest}: the topic was made anew, or lost records"), 0)
    } else {
        // A position that is not known by the topic's id yet (set by a user, or from before there were ids) is from here on.
        let adopted = (wanted.identity != id).then(|| {
            let mut records = Records::empty(name, wanted, Layout::Json);
            records.to = at(offset);
            records
        });
        return Ok(Begin { found, offset, first: adopted });
    };
    let (to, records) = match source.on_position_lost {
        OnPositionLost::Fail => {
            return Err(Error::PositionLost {
                partition: name,
                wanted,
                earliest: at(earliest),
                latest: at(latest),
                reason,
            });
        }
        OnPositionLost::Earliest => (earliest, gone),
        OnPositionLost::Latest => (latest, gone + (latest - earliest)),
    };
    Ok(Begin { found, offset: to, first: Some(passed(name, wanted, at(to), records as u64, &reason)) })
}

/// Positions of this lane in partitions that are not there any more: a topic can only have fewer when it was made anew.
pub(super) fn gone(source: &KafkaSource, all: &[Found], lane: &Assignment) -> Result<VecDeque<Records>, Error> {
    let mut first = VecDeque::new();
    for (name, wanted) in &lane.positions {
        let place = name.0.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse::<i32>().ok()?)));
        let Some((topic, number)) = place else { continue };
        let Some(sibling) = all.iter().find(|found| found.topic == topic) else { continue };
        let turn = sibling.turn - sibling.number as u32 + number as u32;
        let there = all.iter().any(|found| found.topic == topic && found.number == number);
        let beginning = position(0, sibling.id.as_ref());
        if there || turn % lane.lanes.max(1) != lane.lane || *wanted == beginning {
            continue;
        }
        let reason = "the topic was made anew, with fewer partitions".to_owned();
        if source.on_position_lost == OnPositionLost::Fail {
            let (earliest, latest) = (beginning.clone(), beginning);
            return Err(Error::PositionLost {
                partition: name.clone(),
                wanted: wanted.clone(),
                earliest,
                latest,
                reason,
            });
        }
        first.push_back(passed(name.clone(), wanted.clone(), beginning, 0, &reason));
    }
    Ok(first)
}

/// An interval that passes over what is lost.
fn passed(name: Partition, wanted: Position, to: Position, records: u64, reason: &str) -> Records {
    tracing::warn!(partition = %name, %wanted, %to, reason, "position lost; going on");
    let mut passed = Records::empty(name, wanted, Layout::Json);
    passed.lost = Some(Lost { records, to: to.clone() });
    passed.to = to;
    passed
}
