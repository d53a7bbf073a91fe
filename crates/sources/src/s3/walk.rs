//! From object to object: those that were begun first, then all that are listed and were not read, page by page.
use super::{
    S3Source,
    keys::Key,
    known::{Known, offset},
    list::{self, Listed},
    object::Bucket,
    open::{Open, Opened},
};
use crate::{
    ahead::{Step, Work},
    lost::OnPositionLost,
};
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_s3::Trouble;
use dataflow_sdk::{
    Context, Error, Records,
    batch::{Notice, Warning},
    records::{self, Layout},
};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Where the list is that is being looked through.
#[derive(Debug)]
enum Look {
    /// It begins.
    Begin,
    /// It goes on after a key.
    After(String),
    /// It has ended.
    End,
}

/// Which of several lanes this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    pub(super) number: u32,
    pub(super) of: u32,
}

impl Lane {
    /// Whether it reads an object: each is read by one.
    fn reads(self, partition: &Partition) -> bool {
        self.of <= 1 || xxh3_64(partition.0.as_bytes()) % u64::from(self.of) == u64::from(self.number)
    }
}

#[derive(Debug)]
pub(super) struct Walk {
    source: S3Source,
    cx: Context,
    bucket: Bucket,
    lane: Lane,
    positions: Positions,
    /// Objects to look for by themselves: those that were begun, before any other.
    begun: VecDeque<Partition>,
    look: Look,
    /// Whether what this look has not shown was looked for.
    looked_again: bool,
    /// When the next look may begin.
    rests: Option<Instant>,
    /// Objects of the last page that are to be read.
    page: VecDeque<Listed>,
    current: Option<Box<Open>>,
    /// Whether any object was found so far.
    found: bool,
    warnings: Vec<Warning>,
    warned: BTreeSet<(&'static str, String)>,
}

impl Walk {
    pub(super) fn new(source: S3Source, cx: &Context, bucket: Bucket, lane: Lane, positions: Positions) -> Self {
        let mut walk = Self {
            begun: VecDeque::new(),
            found: positions.keys().any(|partition| source.key_of(partition).is_some()),
            source,
            cx: cx.clone(),
            bucket,
            lane,
            positions,
            look: Look::Begin,
            looked_again: false,
            rests: None,
            page: VecDeque::new(),
            current: None,
            warnings: Vec::new(),
            warned: BTreeSet::new(),
        };
        walk.begun = walk.unfinished(|at| offset(at) > 0);
        walk
    }

    /// Objects that were found, and not read to their end. Who reads again what a run has read asks for those that are there.
    fn unfinished(&self, which: impl Fn(&Position) -> bool) -> VecDeque<Partition> {
        let is = |(partition, at): &(&Partition, &Position)| {
            !self.cx.again
                && Known::of(at).is_some_and(|known| !known.ended)
                && which(at)
                && self.lane.reads(partition)
                && self.source.key_of(partition).is_some_and(|key| self.source.key(key) == Key::Read)
        };
        self.positions.iter().filter(is).map(|(partition, _)| partition.clone()).collect()
    }

    fn warn(&mut self, code: &'static str, subject: String, message: String) {
        if self.warned.insert((code, subject.clone())) {
            self.warnings.push(Warning { code, subject, message, records: 0 });
        }
    }

    /// The next part of the list.
    fn turn(&mut self, after: Option<String>) -> Result<(), Error> {
        let asked = list::page(&self.bucket.connection, self.source.prefix(), after.as_deref(), None);
        let page = self.bucket.wait(asked).map_err(Trouble::error)?;
        for listed in page.objects {
            let name = self.source.name(&listed.key);
            match self.source.key(&listed.key) {
                Key::Read if self.is_to_read(&listed) => self.page.push_back(listed),
                Key::Read | Key::Other => {}
                Key::Hidden => {
                    let message = format!(
                        "objects whose names begin with _ or . are not read, such as {name}: name them in `path` to read them"
                    );
                    self.warn("object-hidden", self.source.name(self.source.prefix()), message);
                }
                Key::Unreadable => {
                    let message = format!("{name} is not read: no request can name a key with . or .. between slashes");
                    self.warn("object-unreadable", name, message);
                }
            }
        }
        self.look = page.next.map_or(Look::End, Look::After);
        Ok(())
    }

    fn is_to_read(&mut self, listed: &Listed) -> bool {
        self.found = true;
        let partition = self.source.partition(&listed.key);
        if !self.lane.reads(&partition) {
            return false;
        }
        let known = self.positions.get(&partition).and_then(Known::of);
        known.is_none_or(|known| !known.ended || known.etag != listed.etag)
    }

    /// Opens an object that is there, or says what comes first.
    fn begin(&mut self, listed: Listed) -> Result<Option<Box<Records>>, Error> {
        let partition = self.source.partition(&listed.key);
        let from = self.positions.get(&partition).cloned();
        let known = from.as_ref().and_then(Known::of);
        let from = from.unwrap_or(Position::offset(0));
        match known {
            Some(known) if known.etag != listed.etag && known.ended => {
                let message =
                    format!("{partition} was overwritten after it was read: it is read again, as another object");
                self.warn("object-overwritten", partition.to_string(), message);
                let mut records = Records::empty(partition, from, Layout::Json);
                records.to = now(&listed).at(0);
                self.page.push_front(listed);
                return Ok(Some(Box::new(records)));
            }
            Some(known) if known.etag != listed.etag => {
                return self.lost(partition, from, Some(&listed), OVERWRITTEN).map(Some);
            }
            _ => {}
        }
        let at = offset(&from);
        match Open::at(&self.source, &self.cx, &self.bucket, listed.clone(), from.clone()) {
            Ok(Opened::Ready(mut open)) => {
                if let Some(Warning { code, subject, message, .. }) = open.warning.take() {
                    self.warn(code, subject, message);
                }
                self.current = Some(open);
                Ok(None)
            }
            Ok(Opened::Lost(why)) => self.lost(partition, from, Some(&listed), &why).map(Some),
            Err(trouble) => self.troubled(partition, at > 0, trouble),
        }
    }

    /// What to do about an object that can't be read as it was listed.
    fn troubled(&mut self, partition: Partition, begun: bool, trouble: Trouble) -> Result<Option<Box<Records>>, Error> {
        match trouble {
            // What is there now is looked at first.
            Trouble::Changed => self.begun.push_front(partition),
            Trouble::Gone if begun => self.begun.push_front(partition),
            Trouble::Gone => {
                let message = format!("{partition} was deleted after it was listed, and before any of it was read");
                self.warn("object-vanished", partition.to_string(), message);
            }
            Trouble::Archived => {
                let message = format!(
                    "{partition} is not read: it is in an archive; it is once it is restored, and looked for again"
                );
                self.warn("object-archived", partition.to_string(), message);
            }
            other => return Err(other.error()),
        }
        Ok(None)
    }

    /// Looks again at an object that was begun.
    fn resume(&mut self, partition: Partition) -> Result<Option<Box<Records>>, Error> {
        let Some(key) = self.source.key_of(&partition).map(str::to_owned) else { return Ok(None) };
        let listed = self.bucket.wait(self.source.look(&self.bucket.connection, &key)).map_err(Trouble::error)?;
        match (listed, self.positions.get(&partition).cloned()) {
            (Some(listed), _) => self.begin(listed),
            (None, Some(from)) if Known::of(&from).is_some_and(|known| !known.ended) => {
                self.lost(partition, from, None, DELETED).map(Some)
            }
            (None, _) => self.troubled(partition, false, Trouble::Gone),
        }
    }

    /// The failure, or the interval that passes over what is lost, of an object of which another one (or none) is there now.
    fn lost(
        &mut self,
        partition: Partition,
        wanted: Position,
        now_there: Option<&Listed>,
        why: &str,
    ) -> Result<Box<Records>, Error> {
        let known = Known::of(&wanted);
        let at = offset(&wanted);
        // Of compressed objects and rows nobody knows how many bytes were behind the position.
        let bytes = match &known {
            Some(known) if self.source.counts_bytes(&partition.0) => known.size.saturating_sub(at),
            Some(known) if at == 0 => known.size,
            _ => 0,
        };
        let reason = match known.as_ref().map(|known| known.size) {
            Some(size) if bytes > 0 => format!("{why}; {bytes} of its {size} bytes were not read"),
            _ => why.to_owned(),
        };
        let (earliest, latest) = match (now_there, known) {
            (Some(listed), _) => (now(listed).at(0), now(listed).ending(true).at(listed.size)),
            (None, Some(known)) => (known.clone().ending(true).at(at), known.ending(true).at(at)),
            (None, None) => (wanted.clone(), wanted.clone()),
        };
        let to = match self.source.on_position_lost {
            OnPositionLost::Fail => {
                return Err(Error::PositionLost { partition, wanted, earliest, latest, reason });
            }
            OnPositionLost::Earliest => earliest,
            OnPositionLost::Latest => latest,
        };
        tracing::warn!(%partition, %wanted, %to, bytes, reason, "position lost; continuing");
        if let Some(listed) = now_there.filter(|_| self.source.on_position_lost == OnPositionLost::Earliest) {
            self.page.push_front(listed.clone());
        }
        let mut records = Records::empty(partition, wanted, Layout::Json);
        records.to = to.clone();
        records.lost = Some(records::Lost { records: 0, bytes, reason, to });
        Ok(Box::new(records))
    }

    /// What comes next; none if that has to be looked at again.
    fn next(&mut self) -> Result<Option<Step>, Error> {
        let records = if let Some(open) = &mut self.current {
            match open.next() {
                Ok(Some(records)) => Some(records),
                Ok(None) => {
                    self.current = None;
                    None
                }
                Err(trouble) => {
                    let (partition, begun) = (open.partition.clone(), offset(&open.position) > 0);
                    self.current = None;
                    self.troubled(partition, begun, trouble)?
                }
            }
        } else if let Some(partition) = self.begun.pop_front() {
            self.resume(partition)?
        } else if let Some(listed) = self.page.pop_front() {
            self.begin(listed)?
        } else {
            // Whoever stops waiting for the next look does not bring it about.
            if let Some(rest) = self.rests.map(|until| until.saturating_duration_since(Instant::now())) {
                if !rest.is_zero() {
                    return Ok(Some(Step::Idle(rest)));
                }
                self.rests = None;
            }
            match std::mem::replace(&mut self.look, Look::Begin) {
                Look::Begin => {
                    self.looked_again = false;
                    self.turn(None)?;
                }
                Look::After(key) => self.turn(Some(key))?,
                Look::End if !std::mem::replace(&mut self.looked_again, true) => {
                    (self.begun, self.look) = (self.unfinished(|_| true), Look::End);
                }
                Look::End if self.source.follow => {
                    self.rests = Some(Instant::now() + Duration::from_millis(self.source.poll_interval.0));
                }
                Look::End if !self.found => {
                    let place = self.source.name(&self.source.path);
                    let error = Error::fatal("no-match", format!("no object matches {place}"));
                    return Err(error.fix("correct `path` (all below a folder: `folder/`; few keys begin with a slash), or put an object there"));
                }
                Look::End => {
                    self.look = Look::End;
                    return Ok(Some(Step::End));
                }
            }
            None
        };
        Ok(records.map(|records| {
            self.positions.insert(records.partition.clone(), records.to.clone());
            Step::Records(records)
        }))
    }
}

const OVERWRITTEN: &str = "the object was overwritten";
const DELETED: &str = "the object was deleted";

/// What is known of an object as it is now, before it is read.
fn now(listed: &Listed) -> Known {
    Known { etag: listed.etag.clone(), size: listed.size, ended: false }
}

impl Work for Walk {
    fn step(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(step) = self.next()? {
                return Ok(step);
            }
        }
    }

    /// None while more is to be listed.
    fn lag(&self) -> Option<u64> {
        let waiting: u64 = self.page.iter().map(|listed| listed.size).sum();
        let current = self.current.as_ref().map_or(0, |open| open.left());
        match self.look {
            Look::After(_) => None,
            // Nothing was looked at yet.
            Look::Begin if !self.found => None,
            _ => Some(waiting + current),
        }
    }

    fn warnings(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.warnings).into_iter().map(Notice::from).collect()
    }
}
