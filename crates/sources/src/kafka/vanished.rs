//! Topics that the pattern had found and that are not there any more: deleted, or hidden by a missing right.
//!
//! Their positions stay where they are, so that reading goes on there if they come back. A topic that was recreated has
//! another id, which makes the position a lost one as usual.
use super::{
    client::Found,
    out::Dropped,
    poll::{Poll, verify},
    position, topic_of,
};
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{
    Context, Error,
    batch::{Notice, Warning},
};
use rdkafka::{TopicPartitionList, consumer::Consumer};
use std::collections::{BTreeSet, HashSet};

/// The most partitions that a warning names.
const SHOWN: usize = 3;

impl Poll {
    /// Tells of topics that are gone or back since the last look, or that there is none at all. Who reads again what a run
    /// has read can't get what is gone.
    pub(super) fn tell_of_gone(&self, all: &[Found], cx: &Context) -> Result<(), Error> {
        let gone = self.gone(all);
        let is_gone = |name: &Partition| topic_of(name).is_some_and(|topic| gone.contains(topic));
        let mut lost = self.mine.iter().filter_map(|(name, at)| Some((name, at.as_ref().filter(|_| is_gone(name))?)));
        if let Some((partition, wanted)) = lost.next().filter(|_| cx.again) {
            return Err(Error::PositionLost {
                partition: partition.clone(),
                wanted: wanted.clone(),
                earliest: position(0, None),
                latest: position(0, None),
                reason: "the topic is gone".to_owned(),
            });
        }
        self.tell(all, gone);
        Ok(())
    }

    /// Stops reading topics that are gone, once what was read of them is handed out.
    pub(super) fn let_go(&mut self, all: &[Found]) -> Result<Result<(), Dropped>, Error> {
        let gone = self.gone(all);
        let read: Vec<usize> = (0..self.gathers.len()).filter(|k| gone.contains(&self.gathers[*k].topic)).collect();
        let mut list = TopicPartitionList::new();
        for &k in &read {
            if self.gathers[k].is_ready() {
                verify(&self.client, &mut self.verified, &self.gathers)?;
                self.held = self.held.saturating_sub(self.gathers[k].bytes());
                let records = self.gathers[k].take();
                if let Err(dropped) = self.out.hand(records, &self.client, &self.gathers)? {
                    return Ok(Err(dropped));
                }
            }
            let gather = &self.gathers[k];
            self.mine.insert(super::partition(&gather.topic, gather.number), Some(gather.position()));
            list.add_partition(&gather.topic, gather.number);
        }
        if !read.is_empty() {
            let released = self.client.consumer.incremental_unassign(&list);
            released.map_err(|error| self.client.failed("the assignment", &error))?;
            self.gathers.retain(|gather| !gone.contains(&gather.topic));
            self.by_place.clear();
            for (k, gather) in self.gathers.iter().enumerate() {
                self.by_place.entry(gather.topic.clone()).or_default().insert(gather.number, k);
            }
        }
        self.tell(all, gone);
        Ok(Ok(()))
    }

    /// The topics of this lane's partitions that are not there. Those that are named must be.
    fn gone(&self, all: &[Found]) -> BTreeSet<String> {
        let there: HashSet<&str> = all.iter().map(|found| &*found.topic).collect();
        let topics = self.mine.keys().filter_map(topic_of).filter(|topic| !there.contains(topic));
        topics.filter(|topic| self.source.may_find(topic)).map(str::to_owned).collect()
    }

    fn tell(&self, all: &[Found], gone: BTreeSet<String>) {
        let mut shared = self.shared.lock();
        let mut notices: Vec<Notice> = gone.difference(&shared.gone).map(|topic| self.warning(topic).into()).collect();
        notices.extend(shared.gone.difference(&gone).map(|topic| Notice::over("topic-removed", topic)));
        if let Some(pattern) = &self.source.topic_pattern {
            let message = || format!("no topic matches {pattern} yet: those that appear are read from their beginning");
            let warning = || Warning { code: "no-match", subject: pattern.to_string(), message: message(), records: 0 };
            match (all.is_empty(), shared.is_idle) {
                (true, false) => notices.push(warning().into()),
                (false, true) => notices.push(Notice::over("no-match", pattern.to_string())),
                _ => {}
            }
            shared.is_idle = all.is_empty();
        }
        shared.notices.extend(notices);
        shared.gone = gone;
    }

    fn warning(&self, topic: &str) -> Warning {
        let mine = self.mine.iter().filter(|(name, _)| topic_of(name) == Some(topic));
        let (mut places, mut unread) = (Vec::new(), 0);
        for (name, at) in mine {
            let at = at.as_ref().and_then(Position::as_offset).unwrap_or_default();
            let number = name.0.rsplit_once('/').and_then(|(_, number)| number.parse().ok());
            let end = number.and_then(|number| self.client.told.end(topic, number));
            unread += end.map_or(0, |end| u64::try_from(end).unwrap_or_default().saturating_sub(at));
            places.push(format!("{name} to {at}"));
        }
        let more = places.len().saturating_sub(SHOWN);
        places.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let unread = match unread {
            0 => String::new(),
            unread => format!("; {unread} offsets after that were not read"),
        };
        let message = format!(
            "the topic {topic} is gone: it was deleted, or this user may not see it any more. It was read {}{more}{unread}. If it comes back, \
             reading goes on there",
            places.join(", ")
        );
        Warning { code: "topic-removed", subject: topic.to_owned(), message, records: 0 }
    }
}
