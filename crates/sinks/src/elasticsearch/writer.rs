//! Writing: the rows of a commit, in bulk requests, until each has been applied or refused.
use super::{
    ElasticsearchSink,
    bulk::{self, Actions, Bulk, Sent, Whole},
    client::Client,
    indices::Indices,
    rows::{Rows, Wanted},
    verdict::{Item, REFUSED, Verdict},
};
use async_trait::async_trait;
use dataflow_core::{
    spec::Millis,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Error,
    batch::{Output, Warning},
    sink::{CommitError, Committed, RejectedRow, Reserved, Writer},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// An open lane.
pub(super) struct Lane {
    pub(super) config: ElasticsearchSink,
    pub(super) wanted: Wanted,
    pub(super) client: Client,
    pub(super) fence: Fence,
    pub(super) reserved: Reserved,
    pub(super) indices: Indices,
    pub(super) spoilt: Option<Spoilt>,
}

/// The last document that a whole request was refused for, if none was accepted since: its id, and the server's words.
pub(super) type Spoilt = (String, String);

/// A row: the number of its output, and its own.
type Place = (usize, usize);

/// What became of the rows of a commit so far.
#[derive(Default)]
struct Course {
    applied: u64,
    refused: Vec<RejectedRow>,
    spoilt: Option<Spoilt>,
    /// Names of which the server was too busy to say what they stand for.
    untold: BTreeSet<String>,
}

#[async_trait]
impl Writer for Lane {
    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        if token.fence.rank() != self.fence.rank() {
            return Err(
                Error::Fenced(format!("the commit is of opening {}, not of this one", token.fence.opening)).into()
            );
        }
        let wanted = self.wanted.clone();
        let rows = outputs.iter().map(|output| Rows::of(output, &wanted)).collect::<Result<Vec<_>, _>>()?;
        let places =
            || rows.iter().enumerate().flat_map(|(output, rows)| (0..rows.len()).map(move |row| (output, row)));
        let unfit = self.unfit(&rows, places()).await?;
        if !unfit.is_empty() {
            return Err(CommitError::Rejected(unfit));
        }
        let mut course = Course { spoilt: self.spoilt.take(), ..Course::default() };
        let mut waiting: Vec<Place> = places().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let (busy, why) = self.send(&rows, &waiting, token.version, &mut course).await?;
            // What gets on goes on; otherwise the lane waits and is opened again.
            if busy.len() == before {
                let message = format!("{} had no room for {before} documents: {why}", self.client.name());
                return Err(Error::transient("busy", message).into());
            }
            waiting = busy;
        }
        if let Some(name) = course.untold.first() {
            let message = format!("{} was too busy to say which index {name:?} is", self.client.name());
            return Err(Error::transient("busy", message).into());
        }
        self.spoilt = course.spoilt.take();
        match course.refused.is_empty() {
            true => Ok(Committed { rows_written: course.applied }),
            false => Err(CommitError::Rejected(course.refused)),
        }
    }

    fn warnings(&mut self) -> Vec<Warning> {
        self.indices.warnings()
    }

    async fn close(self: Box<Self>) {}
}

impl Lane {
    /// The rows that the server would not take, before anything is sent.
    async fn unfit(
        &mut self,
        rows: &[Rows<'_>],
        places: impl Iterator<Item = Place>,
    ) -> Result<Vec<RejectedRow>, Error> {
        let (mut unfit, mut looked_up) = (Vec::new(), HashMap::new());
        for (output, row) in places {
            let cause = match rows[output].get(row).map(|action| action.index) {
                Err(cause) => Some(cause),
                Ok(None) => None,
                Ok(Some(name)) => match looked_up.get(&name) {
                    Some(known) => Option::clone(known),
                    None => {
                        let why = self.indices.learn(&self.client, &name, self.config.create_index.as_ref()).await?;
                        let why = why.map(|why| format!("{REFUSED}{why}"));
                        looked_up.entry(name).or_insert(why).clone()
                    }
                },
            };
            unfit.extend(cause.map(|cause| RejectedRow { output, row, cause }));
        }
        Ok(unfit)
    }

    /// Sends rows in order, in requests of no more than so many bytes. Returns those that the server was too busy for, and
    /// why.
    async fn send(
        &mut self,
        rows: &[Rows<'_>],
        places: &[Place],
        version: u64,
        course: &mut Course,
    ) -> Result<(Vec<Place>, String), CommitError> {
        let (mut busy, mut why, mut done) = (Vec::new(), String::new(), Vec::new());
        let (mut at, mut most) = (0, usize::MAX);
        while at < places.len() {
            let actions = self.fill(rows, &places[at..], version, most);
            let count = actions.count();
            let chunk = &places[at..at + count];
            match self.bulk().send(actions).await? {
                Sent::Items(items, told) => {
                    course.spoilt = None;
                    self.reached(told, course)?;
                    for (place, item) in chunk.iter().zip(items) {
                        match item.judge() {
                            Verdict::Done => done.push(*place),
                            Verdict::Stale(current) => {
                                self.superseded(rows, *place, current)?;
                                done.push(*place);
                            }
                            Verdict::Refused(cause) => course.refused.push(refused(*place, cause)),
                            Verdict::Busy(reason) => {
                                busy.push(*place);
                                why = reason;
                            }
                            Verdict::Stop(error) => return Err(error.into()),
                        }
                    }
                }
                Sent::Whole(_, _) if count > 1 => {
                    most = count / 2;
                    continue;
                }
                Sent::Whole(what, cause) => {
                    if what == Whole::Spoilt {
                        let id = rows[chunk[0].0].get(chunk[0].1).map(|action| action.id.into_owned());
                        course.spoil(id.unwrap_or_default(), &cause)?;
                    }
                    course.refused.push(refused(chunk[0], format!("{REFUSED}{cause}")));
                }
                Sent::Busy(reason) => {
                    busy.extend(chunk);
                    why = reason;
                }
            }
            at += count;
            most = most.saturating_mul(2);
        }
        course.applied += done.len() as u64;
        if !busy.is_empty() {
            let overtaken = overtaken(rows, &busy, &done);
            course.applied += (busy.len() - overtaken.len()) as u64;
            busy = overtaken;
        }
        Ok((busy, why))
    }

    fn bulk(&self) -> Bulk<'_> {
        Bulk {
            client: &self.client,
            index: self.wanted.index.name(),
            refresh: self.config.refresh,
            patience: Millis(self.config.request_timeout.0 / 2),
        }
    }

    /// The rows that come next, as many as may be in one request.
    fn fill(&self, rows: &[Rows<'_>], places: &[Place], commit: u64, most: usize) -> Actions {
        let limit = usize::try_from(self.config.max_request_bytes).unwrap_or(usize::MAX);
        let mut actions = Actions::default();
        // All of them were looked at before.
        let next = places.iter().take(most).filter_map(|(output, row)| rows[*output].get(*row).ok());
        for action in next {
            if !actions.push(&action, commit, limit) {
                break;
            }
        }
        actions
    }

    /// Which indices a request has reached.
    fn reached(&mut self, told: Vec<(String, Item)>, course: &mut Course) -> Result<(), Error> {
        let only = self.wanted.index.name();
        for (name, item) in told {
            let name = only.unwrap_or(&name);
            match (item.index_id(), item.judge()) {
                (Some(id), _) => {
                    course.untold.remove(name);
                    self.indices.reached(&self.client, name, id, only.is_some())?;
                }
                (None, Verdict::Busy(_)) => drop(course.untold.insert(name.into())),
                // Such as a login that may not delete: the next opening looks.
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// A document has a greater version: that of a later commit of this run, or of somebody who must not be there.
    fn superseded(&self, rows: &[Rows<'_>], (output, row): Place, current: Option<u64>) -> Result<(), Error> {
        let given = bulk::highest_of(self.reserved.given());
        let reserved = bulk::highest_of(self.reserved.highest());
        let action = rows[output].get(row).ok();
        let (id, index) = action.map(|action| (action.id.into_owned(), action.index)).unwrap_or_default();
        let index = index.unwrap_or_else(|| self.config.index.clone());
        let document = format!("document {id:?} of index {index}");
        match current {
            Some(current) if current <= given => Ok(()),
            // Whoever else has reserved versions would have written a greater one: it was ours, and was raised.
            Some(current) if current <= reserved => Err(Error::Fenced(format!(
                "{document} has version {current}, and this run has written none above {given}: somebody else has changed it since, \
                 as `_update` does; it is written again with a greater version"
            ))),
            Some(current) => Err(Error::fatal(
                "fenced",
                format!(
                    "{document} has version {current}, and this run may write up to {reserved}: another copy of the node has written it, or \
                     a program that uses versions of its own"
                ),
            )
            .fix(
                "stop whoever else writes these documents for good; then start the pipeline again: from there on its versions are greater \
                 while its clock is right; if they are not, delete the document or the index",
            )
            .for_user()),
            None => Err(Error::Fenced(format!(
                "{document} has a greater version, and this run may write up to {reserved}: a later owner of the pipeline has written it, \
                 or somebody else"
            ))),
        }
    }
}

impl Course {
    /// A request of this document alone was refused as a whole. Where the next document is refused in the same words, it is not
    /// for what they say.
    fn spoil(&mut self, id: String, cause: &str) -> Result<(), Error> {
        match self.spoilt.replace((id.clone(), cause.into())) {
            Some((other, before)) if other != id && before == cause => {
                let message = format!("requests are refused whatever document they have: {cause}");
                Err(Error::fatal("index-refused", message)
                    .fix("see the text: it is a setting of the server or of a proxy"))
            }
            _ => Ok(()),
        }
    }
}

fn refused((output, row): Place, cause: String) -> RejectedRow {
    RejectedRow { output, row, cause }
}

/// Those that have to be sent again: all but those after which a later row of the same document was applied.
fn overtaken(rows: &[Rows<'_>], busy: &[Place], done: &[Place]) -> Vec<Place> {
    let key = |(output, row): Place| rows[output].get(row).ok().map(|action| (action.index, action.id));
    let last: HashMap<_, _> = done.iter().filter_map(|place| Some((key(*place)?, *place))).collect();
    busy.iter()
        .copied()
        .filter(|place| key(*place).and_then(|key| last.get(&key)).is_none_or(|later| later < place))
        .collect()
}
