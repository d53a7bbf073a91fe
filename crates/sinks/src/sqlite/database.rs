//! An open database file, and the tokens in it.
use super::failure;
use crate::{
    claim::{Claim, Kind},
    on_disk::FileId,
    table::{
        pages::Pages,
        tokens::{Counts, Found, Holder, Row, Stored, TABLE, began, fenced, guarded, outdated, stored_id},
    },
};
use dataflow_core::{
    id::{Epoch, Generation},
    token::{Fence, Token},
};
use dataflow_sdk::{
    Error,
    sink::{OpenLane, Traces},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const CREATE_TOKENS: &str = "create table if not exists dataflow_tokens (\
    pipeline text not null, incarnation text not null, generation text not null, lane integer not null, \
    journal text not null, target text not null collate nocase, \
    epoch integer not null, opening integer not null, sequence integer not null, positions text not null, counters text not null, chunks text not null, \
    updated_at text not null, began text not null, page integer not null, partitions integer not null, made text, \
    primary key (pipeline, incarnation, generation, lane, page))";
const UP_TO_DATE: &str = "select count(*) = 5 from pragma_table_info(?1) where name in ('opening', 'page') \
    or name in ('journal', 'generation', 'began') and type = 'text' collate nocase";
/// A column that is missing in tables of before there was it. Later builds may add others, so columns are named wherever rows are inserted.
const HAS_MADE: &str = "select count(*) = 1 from pragma_table_info(?1) where name = 'made'";
const ADD_MADE: &str = "alter table dataflow_tokens add column made text";
const FENCE: &str = "insert into dataflow_tokens (pipeline, incarnation, generation, lane, journal, target, epoch, opening, \
        sequence, positions, counters, chunks, updated_at, began, page, partitions) \
    values (?1, ?2, ?3, ?4, ?7, ?8, ?5, ?6, 0, '{}', '{}', '[]', strftime('%Y-%m-%dT%H:%M:%fZ'), ?9, 0, 0) \
    on conflict do update set epoch = excluded.epoch, opening = excluded.opening where (epoch, opening) <= (excluded.epoch, excluded.opening)";
const ADVANCE: &str = "update dataflow_tokens set sequence = ?7, positions = ?8, counters = ?9, chunks = ?10, partitions = ?11, \
    updated_at = strftime('%Y-%m-%dT%H:%M:%fZ') \
    where pipeline = ?1 and incarnation = ?2 and generation = ?3 and lane = ?4 and page = 0 and epoch = ?5 and opening = ?6 and sequence = ?7 - 1";
/// A page belongs to whom the row of its lane does, and says nothing else.
const PUT: &str = "insert into dataflow_tokens (pipeline, incarnation, generation, lane, journal, target, epoch, opening, \
        sequence, positions, counters, chunks, updated_at, began, page, partitions) \
    select pipeline, incarnation, generation, lane, journal, target, epoch, opening, \
        0, ?6, '{}', '[]', updated_at, '{}', ?5, 0 \
    from dataflow_tokens where pipeline = ?1 and incarnation = ?2 and generation = ?3 and lane = ?4 and page = 0 \
    on conflict do update set positions = excluded.positions";
const RESTATE: &str = "update dataflow_tokens set counters = ?5, chunks = ?6 \
    where pipeline = ?1 and incarnation = ?2 and generation = ?3 and lane = ?4 and page = 0";
/// What may keep a row as it is.
const GUARDS: &str =
    "select 'trigger ' || name from sqlite_schema where type = 'trigger' and tbl_name = 'dataflow_tokens'";
/// The start of what reads tokens, with their pages.
macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "select epoch, opening, sequence, positions, counters, chunks, partitions, \
                (select '[' || coalesce(group_concat(p.positions), '') || ']' from dataflow_tokens p where p.page > 0 \
                    and (p.pipeline, p.incarnation, p.generation, p.lane) = (t.pipeline, t.incarnation, t.generation, t.lane)), \
                generation, lane, began \
            from dataflow_tokens t where page = 0 and ",
            $rest
        )
    };
}
const READ: &str = tokens!("pipeline = ?1 and incarnation = ?2 and generation = ?3 and lane = ?4");
const WRITTEN: &str = "select generation, coalesce(sum(counters ->> 'rowsWritten'), 0) from dataflow_tokens \
    where pipeline = ?1 and incarnation = ?2 and target = ?3 group by generation";
/// Whether progress is of a table of this name; what was written last comes first.
const TRACES: &str = "select generation, target = ?3 from dataflow_tokens \
    where pipeline = ?1 and incarnation = ?2 and page = 0 order by updated_at desc";

/// Tokens of other generations, or of lanes that this one has not.
const OTHER_LANES: &str = tokens!(
    "pipeline = ?1 and incarnation = ?2 and (generation <> ?3 or lane >= ?4) and sequence > 0 and (target = ?5 or not ?6)"
);
/// An open database file.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// Which file it was when it was opened.
    id: Option<FileId>,
}

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|file| FileId::from(&file))
}

/// Opens the file of this very name: SQLite takes some names for something else (`file:…` for a URI, whatever the flags;
/// `:memory:`), but none that begins at the root.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let absolute = std::path::absolute(path).map_err(|_| rusqlite::Error::InvalidPath(path.into()))?;
    Connection::open_with_flags(absolute, flags)
}

impl Database {
    /// Opens the file for writing, and makes it if it is missing and may be made.
    pub(super) fn open(path: &Path, wait: Duration, create: bool) -> Result<Self, Error> {
        let fresh = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        let failed = |error| failure::classify("open", path, &error);
        let connection = connect(path, flags).map_err(failed)?;
        connection.busy_timeout(wait).map_err(failed)?;
        if fresh {
            // A journal mode that somebody chose is left alone.
            connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        }
        connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
        let encoding: String = connection.pragma_query_value(None, "encoding", |row| row.get(0)).map_err(failed)?;
        if encoding != "UTF-8" {
            return Err(failure::encoding(path, &encoding));
        }
        Ok(Self { connection, path: path.into(), id: file_id(path) })
    }

    /// Opens the file for reading; none if it is missing.
    pub(super) fn look(path: &Path, wait: Duration) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags).and_then(|connection| {
            connection.busy_timeout(wait)?;
            Ok(connection)
        });
        let connection = connection.map_err(|error| failure::classify("open", path, &error))?;
        Ok(Some(Self { connection, path: path.into(), id: file_id(path) }))
    }

    /// The class and words of an error.
    pub(super) fn failed(&self, doing: &str, error: &rusqlite::Error) -> Error {
        failure::classify(doing, &self.path, error)
    }

    /// Starts a transaction that may write; it waits for whoever holds the file.
    pub(super) fn begin(&self) -> Result<(), Error> {
        // SQLite would go on writing to a file that nobody finds any more.
        if file_id(&self.path) != self.id {
            return Err(failure::moved(&self.path));
        }
        self.connection.execute_batch("begin immediate").map_err(|error| self.failed("write to", &error))
    }

    /// Ends the transaction: all of it is durable.
    pub(super) fn commit(&self) -> Result<(), Error> {
        self.connection.execute_batch("commit").map_err(|error| self.failed("commit to", &error))
    }

    /// Ends the transaction, if there is one, as if it had never been.
    pub(super) fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("rollback")
        {
            tracing::warn!(path = %self.path.display(), %error, "a transaction could not be rolled back");
        }
    }

    /// Raises the epoch of a lane, within a transaction, and takes over what others of this pipeline have at the target, or
    /// refuses to open beside them.
    pub(super) fn fence(&self, lane: &OpenLane, target: &str) -> Result<(), Error> {
        let failed = |error| self.failed("keep progress (table dataflow_tokens) in", &error);
        self.connection.execute_batch(CREATE_TOKENS).map_err(failed)?;
        let says = |query| self.connection.query_row(query, [TABLE], |row| row.get::<_, bool>(0)).map_err(failed);
        if !says(UP_TO_DATE)? {
            return Err(outdated(&self.path.display().to_string()));
        }
        if !says(HAS_MADE)? {
            self.connection.execute_batch(ADD_MADE).map_err(failed)?;
        }
        self.take_over(lane, target)?;
        let fence = &lane.fence;
        let (pipeline, incarnation, generation) = key(fence);
        let (epoch, opening) = (signed(fence.epoch.0), signed(fence.opening));
        let values =
            params![pipeline, incarnation, generation, fence.lane, epoch, opening, lane.journal, target, began(lane)?];
        match self.connection.execute(FENCE, values).map_err(failed)? {
            0 => Err(self.unmoved(fence, |holder| holder.rank() <= fence.rank())?),
            _ => Ok(()),
        }
    }

    /// Makes sure that the missing table `target` has no rows that a pipeline has written.
    pub(super) fn unclaimed(&self, target: &str, claim: &Claim) -> Result<(), Error> {
        let failed = |error| self.failed("read progress (table dataflow_tokens) in", &error);
        let (pipeline, incarnation, _) = key(&claim.fence);
        let mut written = self.connection.prepare(WRITTEN).map_err(failed)?;
        let written = written.query_map(params![pipeline, incarnation, target], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        });
        let written = written.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
        let written = written.iter().map(|(generation, rows)| Ok((stored_id(generation)?, *rows)));
        let name = format!("{target} in {}", self.path.display());
        claim.check(Kind::Table, &name, true, written.collect::<Result<Vec<(Generation, i64)>, Error>>()?)
    }

    /// Moves the token of a lane, which has these pages, by one commit, within a transaction.
    pub(super) fn advance(&self, token: &Token, pages: &Pages) -> Result<(), Error> {
        let failed = |error| self.failed("keep progress (table dataflow_tokens) in", &error);
        let (fence, counts, moved) = (&token.fence, Counts::of(token)?, pages.moved(&token.positions)?);
        let (pipeline, incarnation, generation) = key(fence);
        let values = params![
            pipeline,
            incarnation,
            generation,
            fence.lane,
            signed(fence.epoch.0),
            signed(fence.opening),
            signed(token.sequence),
            moved.positions,
            counts.counters,
            counts.chunks,
            moved.partitions
        ];
        let advanced = self.connection.prepare_cached(ADVANCE).and_then(|mut statement| statement.execute(values));
        if advanced.map_err(failed)? == 0 {
            return Err(self.unmoved(fence, |holder| holder.is_before(token))?);
        }
        for (page, content) in moved.pages {
            let values = params![pipeline, incarnation, generation, fence.lane, page, content];
            let put = self.connection.prepare_cached(PUT).and_then(|mut statement| statement.execute(values));
            if put.map_err(failed)? == 0 {
                return Err(self.unmoved(fence, |_| true)?);
            }
        }
        Ok(())
    }

    /// Why the row of a lane was not changed, although one that is as `expected` should have been.
    fn unmoved(&self, fence: &Fence, expected: impl Fn(&Holder) -> bool) -> Result<Error, Error> {
        let holder = self.row(fence)?.map(|row| row.holder);
        let mut guards = self.connection.prepare(GUARDS).map_err(|error| self.failed("read", &error))?;
        let guards = guards.query_map([], |row| row.get(0)).and_then(Iterator::collect::<Result<Vec<String>, _>>);
        let guards = guards.map_err(|error| self.failed("read", &error))?;
        Ok(match holder.as_ref().is_none_or(expected) && !guards.is_empty() {
            true => guarded(fence, &self.path.display().to_string(), &guards),
            false => fenced(fence, holder),
        })
    }

    /// Puts other counters and chunks into the token that [`Self::advance`] has stored, within the same transaction.
    pub(super) fn restate(&self, token: &Token) -> Result<(), Error> {
        let (pipeline, incarnation, generation) = key(&token.fence);
        let Counts { counters, chunks } = Counts::of(token)?;
        let values = params![pipeline, incarnation, generation, token.fence.lane, counters, chunks];
        let restated = self.connection.prepare_cached(RESTATE).and_then(|mut statement| statement.execute(values));
        match restated.map_err(|error| self.failed("keep progress (table dataflow_tokens) in", &error))? {
            0 => Err(self.unmoved(&token.fence, |_| true)?),
            _ => Ok(()),
        }
    }

    fn row(&self, fence: &Fence) -> Result<Option<Row>, Error> {
        let (pipeline, incarnation, generation) = key(fence);
        let values = params![pipeline, incarnation, generation, fence.lane];
        let row = self.connection.query_row(READ, values, read).optional();
        row.map_err(|error| self.failed("read progress (table dataflow_tokens) in", &error))
    }

    /// What a lane finds that has [fenced](Self::fence) others.
    pub(super) fn found(&self, lane: &OpenLane, target: &str) -> Result<Found, Error> {
        let fence = &lane.fence;
        let failed = |error| self.failed("read progress (table dataflow_tokens) in", &error);
        let (pipeline, incarnation, generation) = key(fence);
        let mut others = self.connection.prepare(OTHER_LANES).map_err(failed)?;
        // A branch that was never opened has its number from one that this journal has forgotten, if that wrote elsewhere.
        let of_lane = params![pipeline, incarnation, generation, lane.lanes, target, lane.first];
        let others = others.query_map(of_lane, read);
        let others = others.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
        let own = self.row(fence)?.ok_or_else(|| fenced(fence, None))?;
        Found::of(lane, &own, others)
    }

    /// Whether a pipeline's last progress is of the table of this name.
    pub(super) fn has_traces(&self, target: &str, traces: &Traces) -> Result<bool, Error> {
        let failed = |error| self.failed("read progress (table dataflow_tokens) in", &error);
        if !self.has_tokens()? {
            return Ok(false);
        }
        let (pipeline, incarnation) = (traces.branch.as_str(), traces.incarnation.as_str());
        let mut written = self.connection.prepare(TRACES).map_err(failed)?;
        let written = written.query_map(params![pipeline, incarnation, target], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
        });
        for row in written.map_err(failed)? {
            let (generation, is_it) = row.map_err(failed)?;
            if traces.generations.contains(&stored_id::<Generation>(&generation)?) {
                return Ok(is_it);
            }
        }
        Ok(false)
    }

    pub(super) fn has_tokens(&self) -> Result<bool, Error> {
        let known = self.connection.query_row("select 1 from sqlite_schema where name = ?1", [TABLE], |_| Ok(()));
        Ok(known.optional().map_err(|error| self.failed("read", &error))?.is_some())
    }

    /// The token of a lane.
    pub(super) fn token(&self, fence: &Fence) -> Result<Option<Token>, Error> {
        match if self.has_tokens()? { self.row(fence)? } else { None } {
            Some(Row { holder, stored, .. }) => stored.to_token(holder.of(fence), holder.sequence),
            None => Ok(None),
        }
    }
}

/// Reads a row of [`tokens!`].
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let [epoch, opening, sequence] = [row.get(0)?, row.get(1)?, row.get(2)?].map(|number: i64| number as u64);
    let counts = Counts { counters: row.get(4)?, chunks: row.get(5)? };
    let stored = Stored { positions: row.get(3)?, partitions: row.get(6)?, pages: row.get(7)?, counts };
    let holder = Holder { epoch: Epoch(epoch), opening, sequence };
    Ok(Row { holder, stored, generation: row.get(8)?, lane: row.get(9)?, began: row.get(10)? })
}

pub(super) fn key(fence: &Fence) -> (&str, &str, String) {
    (fence.branch.as_str(), fence.incarnation.as_str(), fence.generation.to_string())
}

/// As SQLite stores it; none of our numbers gets near 2^63.
fn signed(number: u64) -> i64 {
    number as i64
}
