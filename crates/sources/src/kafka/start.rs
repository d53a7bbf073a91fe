//! Where each partition of a lane begins: an explicit offset, checked against the log.
use super::{
    KafkaSource, Start,
    client::{Client, Found, Log},
    partition,
};
use crate::lost::OnPositionLost;
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Error, Records,
    records::{Layout, Lost},
};

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
    let Some(wanted) = positions.get(&name).cloned() else {
        // Where others of the topic have positions, this partition appeared since.
        let siblings =
            positions.keys().any(|known| known.0.rsplit_once('/').is_some_and(|(topic, _)| topic == found.topic));
        if source.start == Start::Earliest || siblings {
            return Ok(Begin { found, offset: log.earliest, first: None });
        }
        // "From now on" is kept, so that a restart before the first record finds the same place.
        let now = Records::empty(name, Position::offset(log.latest as u64), Layout::Json);
        return Ok(Begin { found, offset: log.latest, first: Some(now) });
    };
    let Some(offset) = wanted.as_offset().and_then(|at| i64::try_from(at).ok()) else {
        let error = Error::fatal("bad-position", format!("position {wanted} of {name} is not an offset"));
        return Err(error.fix("set the checkpoint to an offset").for_user());
    };
    let Log { earliest, latest } = log;
    let (reason, gone) = if offset < earliest {
        (format!("the records {offset} to {} have expired", earliest - 1), earliest - offset)
    } else if offset > latest {
        (format!("the log ends at {latest}: the topic was made anew, or lost records"), 0)
    } else {
        return Ok(Begin { found, offset, first: None });
    };
    // How many records an offset beyond the log has passed in the former one can't be known.
    let (to, records) = match source.on_position_lost {
        OnPositionLost::Fail => {
            let (earliest, latest) = (Position::offset(earliest as u64), Position::offset(latest as u64));
            return Err(Error::PositionLost { partition: name, wanted, earliest, latest, reason });
        }
        OnPositionLost::Earliest => (earliest, gone),
        OnPositionLost::Latest => (latest, gone + (latest - earliest)),
    };
    tracing::warn!(partition = %name, %wanted, to, reason, "position lost; going on");
    let mut passed = Records::empty(name, wanted, Layout::Json);
    passed.to = Position::offset(to as u64);
    passed.lost = Some(Lost { records: records as u64, to: passed.to.clone() });
    Ok(Begin { found, offset: to, first: Some(passed) })
}
