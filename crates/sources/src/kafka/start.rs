//! Determines where reading begins in each partition of a lane: an explicit offset, checked against the log.
use super::{
    KafkaSource,
    client::{Client, Found, Log, MISSING},
    first::Start,
    gather::Gather,
    known_by, partition, position,
    shared::Mine,
    topic_of,
};
use crate::lost::OnPositionLost;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Error, Records,
    records::{Layout, Lost},
};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

/// A partition, and the offset from which it is read.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) found: Found,
    pub(super) offset: i64,
    /// The leader epoch of the record before it, as far as known: the client asks whether the log still has that epoch
    /// up to there.
    pub(super) epoch: Option<i32>,
    /// An interval without records that comes first: it skips what the user chose to skip.
    pub(super) first: Option<Records>,
}

/// Plans where to begin in all partitions: a topic that the plan does not know yet begins as the spec says, a new
/// partition of a known topic at its first record. A topic that does not exist yet will begin with its first partition at 0, so that
/// it is known by the time it exists. Partitions that are gone are planned, too, so that their readers tell of them.
pub(super) fn plan(
    source: &KafkaSource,
    client: &Client,
    known: &Positions,
) -> Result<Vec<(Partition, Position)>, Error> {
    let topics: HashSet<&str> = known.keys().filter_map(topic_of).collect();
    // What the pattern finds later has appeared later.
    let has_begun = topics.iter().any(|topic| source.may_find(topic));
    let (mut order, mut places, mut fresh) = (Vec::new(), known.clone(), Vec::new());
    let mut all = Vec::new();
    for topic in source.named() {
        match client.partitions_if_any(topic)? {
            None if matches!(source.start, Start::Offsets(_)) => all.extend(client.partitions_of(topic)?),
            None => {
                let first = partition(topic, 0);
                places.entry(first.clone()).or_insert(position(0, None));
                order.push(first);
            }
            Some(found) => all.extend(found),
        }
    }
    let matching = client.matching()?;
    if let Some(pattern) = &source.topic_pattern
        && source.start != Start::Earliest
        && !has_begun
        && matching.is_empty()
    {
        let error = Error::fatal(MISSING, format!("no topic matches {pattern} yet: `start` can't say where to begin"));
        return Err(
            error.fix("create a topic, correct `topicPattern`, or leave out `start`, which then waits for topics")
        );
    }
    for found in all.into_iter().chain(matching) {
        let name = found.name();
        order.push(name.clone());
        if places.contains_key(&name) {
            continue;
        }
        let log = client.log(&found.topic, found.number)?;
        if topics.contains(&*found.topic) || has_begun && source.may_find(&found.topic) {
            places.insert(name, position(log.earliest, found.id.as_ref()));
        } else {
            fresh.push((found, log));
        }
    }
    places.extend(source.start.places(client, &fresh, &topics)?);
    let listed: HashSet<&Partition> = order.iter().collect();
    let gone =
        known.keys().filter(|name| !listed.contains(name) && topic_of(name).is_some_and(|it| source.reads_topic(it)));
    let gone: Vec<_> = gone.cloned().collect();
    order.extend(gone);
    Ok(order.into_iter().filter_map(|name| places.get(&name).cloned().map(|at| (name, at))).collect())
}

/// Returns where to begin in a partition with this position; `None`: at its first record. `decided`: where to continue if the
/// position is lost and the journal has that already.
pub(super) fn begin(
    source: &KafkaSource,
    client: &Client,
    found: Found,
    wanted: Option<&Position>,
    decided: Option<&Position>,
) -> Result<Begin, Error> {
    let name = found.name();
    let log = client.log(&found.topic, found.number)?;
    client.told.reaches(&found.topic, found.number, log.latest);
    let id = found.id.clone();
    let at = |offset| position(offset, id.as_ref());
    let Some(wanted) = wanted.cloned() else {
        return Ok(Begin { found, offset: log.earliest, epoch: None, first: None });
    };
    let Some(offset) = wanted.as_offset().and_then(|at| i64::try_from(at).ok()) else {
        let error = Error::fatal("bad-position", format!("position {wanted} of {name} is not an offset"));
        return Err(error.fix("set the checkpoint to an offset").for_user());
    };
    let Log { earliest, latest } = log;
    let (was, epoch) = known_by(&wanted);
    let (reason, gone) = if let (Some(was), Some(is)) = (was, id.as_deref())
        && was != is
    {
        // The number of unread records in the former topic is unknown.
        (format!("the topic was recreated: it has the id {is}, not {was}"), 0)
    } else if offset < earliest {
        (format!("the records {offset} to {} have expired", earliest - 1), earliest - offset)
    } else if offset > latest {
        (format!("the log ends at {latest}: the topic was recreated, or lost records"), 0)
    } else {
        // A position without a topic id (set by a user, or from before there were ids) gets one from here on.
        let adopted = (was.is_none() && id.is_some()).then(|| {
            let mut records = Records::empty(name, wanted.clone(), Layout::Json);
            records.to = at(offset);
            records
        });
        return Ok(Begin { found, offset, epoch, first: adopted });
    };
    let there = There { name, id, log, decided: decided.cloned() };
    let (offset, passed) = there.pass(source, wanted, &reason, gone)?;
    Ok(Begin { found, offset, epoch: None, first: Some(passed) })
}

/// The available part of a partition in which a position is lost.
struct There {
    name: Partition,
    id: Option<Arc<str>>,
    /// Its log, from the first unread record.
    log: Log,
    /// Where to continue, if that was decided before.
    decided: Option<Position>,
}

impl There {
    /// Returns where to continue by the user's choice, and the interval that leads there. `gone`: records that are lost
    /// in any case.
    fn pass(self, source: &KafkaSource, wanted: Position, reason: &str, gone: i64) -> Result<(i64, Records), Error> {
        let Self { name, id, log: Log { earliest, latest }, decided } = self;
        let at = |offset| position(offset, id.as_ref());
        let (to, records) = match source.on_position_lost {
            OnPositionLost::Fail => {
                let (earliest, latest, reason) = (at(earliest), at(latest), reason.to_owned());
                return Err(Error::PositionLost { partition: name, wanted, earliest, latest, reason });
            }
            OnPositionLost::Earliest => (earliest, gone),
            OnPositionLost::Latest => {
                let decided = decided.filter(|to| known_by(to).0 == id.as_deref());
                let to = decided.and_then(|to| i64::try_from(to.as_offset()?).ok());
                let to = to.map_or(latest, |to| to.clamp(earliest, latest));
                (to, gone + (to - earliest))
            }
        };
        Ok((to, passed(name, wanted, at(to), records as u64, reason)))
    }
}

/// Returns where to continue in a log that lost its end and was written again. Records of the position's leader end
/// before it, at `end`; `None`: the log no longer knows that leader.
pub(super) fn cut(
    source: &KafkaSource,
    client: &Client,
    gather: &Gather,
    end: Option<i64>,
    decided: Option<&Position>,
) -> Result<(i64, Records), Error> {
    let wanted = gather.position();
    let Log { earliest, latest } = client.log(&gather.topic, gather.number)?;
    let (name, epoch) = (partition(&gather.topic, gather.number), known_by(&wanted).1.unwrap_or_default());
    let reason = match end {
        Some(end) => format!(
            "the log lost its records from {end} on (an unclean election, or older data) and has others there now: the \
             epoch {epoch} of its leader ends at {end}"
        ),
        None => format!("the log no longer has records of the leader epoch {epoch}: it contains older data"),
    };
    // The part before it was read.
    let log = Log { earliest: end.unwrap_or(earliest).clamp(earliest, latest), latest };
    There { name, id: gather.id.clone(), log, decided: decided.cloned() }.pass(source, wanted, &reason, 0)
}

/// Returns positions of this lane in partitions that no longer exist: a topic can only have fewer after it was
/// recreated.
pub(super) fn gone(source: &KafkaSource, all: &[Found], mine: &Mine) -> Result<VecDeque<Records>, Error> {
    let mut first = VecDeque::new();
    for (name, wanted) in mine.iter().filter_map(|(name, wanted)| Some((name, wanted.as_ref()?))) {
        let place = name.0.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse::<i32>().ok()?)));
        let Some((topic, number)) = place else { continue };
        let Some(sibling) = all.iter().find(|found| found.topic == topic) else { continue };
        let there = all.iter().any(|found| found.topic == topic && found.number == number);
        let beginning = position(0, sibling.id.as_ref());
        if there || *wanted == beginning {
            continue;
        }
        let reason = "the topic was recreated, with fewer partitions".to_owned();
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

/// An interval that skips lost records.
fn passed(name: Partition, wanted: Position, to: Position, records: u64, reason: &str) -> Records {
    tracing::warn!(partition = %name, %wanted, %to, reason, "position lost; continuing");
    let mut passed = Records::empty(name, wanted, Layout::Json);
    passed.lost = Some(Lost { records, bytes: 0, reason: reason.to_owned(), to: to.clone() });
    passed.to = to;
    passed
}
