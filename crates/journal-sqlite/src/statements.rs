//! All SQL statements, and the mapping of their rows.
use crate::sums::{Damaged, check, sum};
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    shard::{SHARDS, ShardId},
};
use dataflow_journal::{
    Appended, Claim, Error, Head, Holder, Snapshot, other_content, place,
    store::{Page, Span},
    stored::Row,
};
use rusqlite::{Connection, OptionalExtension, Result, params};

/// SQLite's integers are signed. No counter here ever gets near 2^63.
fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))
}

/// Reads a number from a row whose checksum is compared next: that comparison reports a negative number as damage.
fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn row(shard: ShardId, row: &rusqlite::Row<'_>) -> Result<Row> {
    let (seq, number) = (Seq(unsigned(row, 0)?), unsigned(row, 2)?);
    let event = Row { seq, pipeline: row.get(1)?, number, kind: row.get(3)?, body: row.get(4)? };
    let what = format_args!("shard {shard}, event {} of {:?}", event.seq, event.pipeline);
    check(row, 5, event_sum(shard, &event), what)?;
    Ok(event)
}

fn event_sum(shard: ShardId, row: &Row) -> i64 {
    sum(&[shard.0.into(), row.seq.0, row.number, row.kind.into()], &row.pipeline, row.body.as_bytes())
}

/// A shard's head as it is stored.
#[derive(Clone)]
struct Stored {
    head: Head,
    snapshot_at: Seq,
    compacted: Seq,
    /// The checksums of all its snapshots, combined independently of their order.
    snapshots: i64,
}

impl Stored {
    /// The head of a shard that nobody has claimed yet.
    const UNCLAIMED: Self = Self { head: Head::UNCLAIMED, snapshot_at: Seq(1), compacted: Seq(1), snapshots: 0 };

    fn holder(&self) -> &str {
        self.head.holder.as_ref().map_or("", Holder::as_str)
    }

    fn sum(&self, shard: ShardId) -> i64 {
        let places = [self.head.next_seq.0, self.snapshot_at.0, self.compacted.0];
        let numbers =
            [shard.0.into(), self.head.epoch.0, places[0], places[1], places[2], self.snapshots.cast_unsigned()];
        sum(&numbers, self.holder(), &[])
    }
}

const HEADS: &str = "SELECT shard, epoch, holder, next_seq, snapshot_at, compacted, snapshots, sum FROM head";

fn stored(row: &rusqlite::Row<'_>) -> Result<(ShardId, Stored)> {
    let shard = ShardId(row.get(0)?);
    let holder: String = row.get(2)?;
    let stored = Stored {
        head: Head {
            epoch: Epoch(unsigned(row, 1)?),
            holder: Some(holder).filter(|holder| !holder.is_empty()).map(Holder::new),
            next_seq: Seq(unsigned(row, 3)?),
        },
        snapshot_at: Seq(unsigned(row, 4)?),
        compacted: Seq(unsigned(row, 5)?),
        snapshots: row.get(6)?,
    };
    check(row, 7, stored.sum(shard), format_args!("shard {shard}, head"))?;
    Ok((shard, stored))
}

/// Returns the head of a shard that was claimed at least once.
fn claimed(db: &Connection, shard: ShardId) -> Result<Option<Stored>> {
    let found = db
        .prepare_cached(&format!("{HEADS} WHERE shard = ?1"))?
        .query_row([shard.0], |row| stored(row).map(|(_, head)| head))
        .optional()?;
    let sql = "SELECT EXISTS (SELECT 1 FROM log WHERE shard = ?1) OR EXISTS (SELECT 1 FROM snapshot WHERE shard = ?1)";
    if found.is_none() && db.prepare_cached(sql)?.query_row([shard.0], |row| row.get(0))? {
        return Err(Damaged::row(format_args!("shard {shard}, head")));
    }
    Ok(found)
}

fn of(db: &Connection, shard: ShardId) -> Result<Stored> {
    Ok(claimed(db, shard)?.unwrap_or(Stored::UNCLAIMED))
}

/// Returns the head of a shard if its epoch is `epoch`.
fn fenced(db: &Connection, shard: ShardId, epoch: Epoch) -> Result<Result<Stored, Error>> {
    Ok(claimed(db, shard)?.filter(|stored| stored.head.epoch == epoch).ok_or(Error::Fenced { shard, epoch }))
}

/// Returns all heads separately: a damaged head affects only its own shard, and its user reports it.
fn heads(db: &Connection) -> Result<Vec<Result<(ShardId, Stored)>>> {
    let mut all = db.prepare_cached(HEADS)?;
    let (mut rows, mut heads) = (all.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        heads.push(stored(row));
    }
    Ok(heads)
}

fn put_head(db: &Connection, shard: ShardId, stored: &Stored) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO head (shard, epoch, holder, next_seq, snapshot_at, compacted, snapshots, sum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        shard.0,
        signed(stored.head.epoch.0)?,
        stored.holder(),
        signed(stored.head.next_seq.0)?,
        signed(stored.snapshot_at.0)?,
        signed(stored.compacted.0)?,
        stored.snapshots,
        stored.sum(shard)
    ])
    .map(drop)
}

/// Returns the claim, and whether it has changed the head.
pub(crate) fn claim(db: &Connection, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<(Claim, bool)> {
    let stored = of(db, shard)?;
    let Some(head) = stored.head.claimed(expected, holder) else { return Ok((Claim::Held(stored.head), false)) };
    let moved = head != stored.head;
    if moved {
        put_head(db, shard, &Stored { head: head.clone(), ..stored })?;
    }
    Ok((Claim::Claimed(head), moved))
}

pub(crate) fn head(db: &Connection, shard: ShardId) -> Result<Head> {
    Ok(of(db, shard)?.head)
}

/// Raises the epochs of all shards to at least `least`.
pub(crate) fn raise_epochs(db: &Connection, least: Epoch) -> Result<()> {
    for found in heads(db)? {
        let (shard, stored) = found?;
        let head = Head { epoch: stored.head.epoch.max(least), holder: None, ..stored.head };
        put_head(db, shard, &Stored { head, ..stored })?;
    }
    Ok(())
}

/// The epochs of those of these shards that have undamaged heads.
pub(crate) fn epochs(db: &Connection, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>> {
    let head = |shard: &ShardId| match claimed(db, *shard) {
        Ok(found) => Ok(found.map(|stored| (*shard, stored.head.epoch))),
        Err(error) if Damaged::is(&error) => Ok(None),
        Err(error) => Err(error),
    };
    of.iter().filter_map(|shard| head(shard).transpose()).collect()
}

/// Returns whether heads have disappeared: a node claims all shards before anything else.
pub(crate) fn lacks_heads(db: &Connection) -> Result<bool> {
    let sql = format!("SELECT (SELECT count(*) FROM head) < {SHARDS} AND EXISTS (SELECT 1 FROM log)");
    db.query_row(&sql, [], |row| row.get(0))
}

/// Counts claims and events of all shards since the journal was created; `None` if a head is damaged, as its share is
/// unknown.
pub(crate) fn moves(db: &Connection) -> Result<Option<u64>> {
    let heads = heads(db)?;
    if heads.iter().any(Result::is_err) {
        return Ok(None);
    }
    Ok(Some(heads.iter().flatten().map(|(_, stored)| stored.head.epoch.0 + stored.head.next_seq.0 - 1).sum()))
}

pub(crate) fn append(db: &Connection, shard: ShardId, epoch: Epoch, next: Seq, rows: &[Row]) -> Result<Appended> {
    let found = claimed(db, shard)?.filter(|stored| (stored.head.epoch, stored.head.next_seq) == (epoch, next));
    let Some(mut stored) = found else { return Ok(Appended::Fenced) };
    stored.head.next_seq = Seq(next.0 + rows.len() as u64);
    put_head(db, shard, &stored)?;
    let mut insert = db.prepare_cached(
        "INSERT INTO log (shard, seq, pipeline, number, kind, body, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for row in rows {
        let sum = event_sum(shard, row);
        let (seq, number) = (signed(row.seq.0)?, signed(row.number)?);
        insert.execute(params![shard.0, seq, row.pipeline, number, row.kind, row.body, sum])?;
    }
    Ok(Appended::Applied)
}

pub(crate) const READ: &str =
    "SELECT seq, pipeline, number, kind, body, sum FROM log WHERE shard = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";

pub(crate) fn read(db: &Connection, shard: ShardId, from: Seq, limit: usize) -> Result<Page> {
    page(db, shard, &of(db, shard)?, from, limit)
}

fn page(db: &Connection, shard: ShardId, stored: &Stored, from: Seq, limit: usize) -> Result<Page> {
    let rows = db
        .prepare_cached(READ)?
        .query_map(params![shard.0, signed(from.0)?, limited(limit)], |found| row(shard, found))?
        .collect::<Result<_>>()?;
    Ok(Page { next: stored.head.next_seq, compacted: stored.compacted, rows })
}

pub(crate) const HISTORY: &str = "SELECT seq, pipeline, number, kind, body, sum FROM log INDEXED BY log_history
    WHERE pipeline = ?1 AND number > ?2 AND kind = 0 AND shard = ?3 ORDER BY number LIMIT ?4";

pub(crate) const HISTORY_BEFORE: &str = "SELECT seq, pipeline, number, kind, body, sum FROM log INDEXED BY log_history
    WHERE pipeline = ?1 AND number < ?2 AND kind = 0 AND shard = ?3 ORDER BY number DESC LIMIT ?4";

pub(crate) fn history(db: &Connection, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>> {
    let (sql, number) = match span {
        Span::After(number) => (HISTORY, number),
        Span::Before(number) => (HISTORY_BEFORE, number),
    };
    // No event has a larger number.
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let shard = ShardId::of(pipeline);
    db.prepare_cached(sql)?
        .query_map(params![pipeline.as_str(), number, shard.0, limited(limit)], |found| row(shard, found))?
        .collect()
}

pub(crate) fn snapshot(
    db: &Connection,
    shard: ShardId,
    epoch: Epoch,
    next: Seq,
    changed: &[Snapshot],
) -> Result<Result<(), Error>> {
    let stored = match fenced(db, shard, epoch)? {
        Ok(stored) => stored,
        Err(fenced) => return Ok(Err(fenced)),
    };
    if let Err(refused) = place(shard, "a snapshot", next, stored.snapshot_at, stored.head.next_seq) {
        return Ok(Err(refused));
    }
    let mut snapshots = stored.snapshots;
    let mut take = db.prepare_cached("DELETE FROM snapshot WHERE shard = ?1 AND pipeline = ?2 RETURNING sum")?;
    let mut put = db.prepare_cached("INSERT INTO snapshot (shard, pipeline, state, sum) VALUES (?1, ?2, ?3, ?4)")?;
    let mut take = |pipeline: &PipelineId| {
        let taken: Option<i64> = take.query_row(params![shard.0, pipeline.as_str()], |row| row.get(0)).optional()?;
        Ok::<_, rusqlite::Error>(taken.unwrap_or(0))
    };
    for Snapshot { pipeline, state } in changed {
        let sum = sum(&[shard.0.into()], pipeline.as_str(), state);
        snapshots ^= take(pipeline)? ^ sum;
        put.execute(params![shard.0, pipeline.as_str(), &**state, sum])?;
    }
    put_head(db, shard, &Stored { snapshot_at: next, snapshots, ..stored })?;
    Ok(Ok(()))
}

pub(crate) const COMPACT: &str = "DELETE FROM log WHERE shard = ?1 AND seq >= ?2 AND seq < ?3 AND kind > 0";

pub(crate) fn compact(db: &Connection, shard: ShardId, epoch: Epoch, before: Seq) -> Result<Result<(), Error>> {
    let stored = match fenced(db, shard, epoch)? {
        Ok(stored) => stored,
        Err(fenced) => return Ok(Err(fenced)),
    };
    if let Err(refused) = place(shard, "a compaction", before, Seq(0), stored.snapshot_at) {
        return Ok(Err(refused));
    }
    let before = before.max(stored.compacted);
    db.prepare_cached(COMPACT)?.execute(params![shard.0, signed(stored.compacted.0)?, signed(before.0)?])?;
    put_head(db, shard, &Stored { compacted: before, ..stored })?;
    Ok(Ok(()))
}

pub(crate) fn note_reader(db: &Connection, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<()> {
    let Some(next) = next else {
        let forget = "DELETE FROM reader WHERE shard = ?1 AND name = ?2";
        return db.prepare_cached(forget)?.execute(params![shard.0, reader]).map(drop);
    };
    db.prepare_cached("INSERT OR REPLACE INTO reader (shard, name, next_seq, sum) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![shard.0, reader, signed(next.0)?, sum(&[shard.0.into(), next.0], reader, &[])])
        .map(drop)
}

pub(crate) fn readers(db: &Connection, shard: ShardId) -> Result<Vec<(String, Seq)>> {
    let reader = |row: &rusqlite::Row<'_>| {
        let (name, next): (String, Seq) = (row.get(0)?, Seq(unsigned(row, 1)?));
        let sum = sum(&[shard.0.into(), next.0], &name, &[]);
        check(row, 2, sum, format_args!("shard {shard}, reader {name:?}"))?;
        Ok((name, next))
    };
    db.prepare_cached("SELECT name, next_seq, sum FROM reader WHERE shard = ?1 ORDER BY name")?
        .query_map([shard.0], reader)?
        .collect()
}

/// A pipeline's id and its encoded state.
pub(crate) type State = (String, Vec<u8>);

fn state(shard: ShardId, row: &rusqlite::Row<'_>) -> Result<(State, i64)> {
    let (pipeline, state): State = (row.get(0)?, row.get(1)?);
    let sum = sum(&[shard.0.into()], &pipeline, &state);
    check(row, 2, sum, format_args!("shard {shard}, snapshot of {pipeline:?}"))?;
    Ok(((pipeline, state), sum))
}

pub(crate) fn snapshots(db: &Connection, shard: ShardId) -> Result<(Vec<State>, Seq)> {
    let stored = of(db, shard)?;
    let mut left = stored.snapshots;
    let all = db
        .prepare_cached("SELECT pipeline, state, sum FROM snapshot WHERE shard = ?1 ORDER BY pipeline")?
        .query_map([shard.0], |row| state(shard, row))?
        .map(|found| found.map(|(state, sum)| (state, left ^= sum).0))
        .collect::<Result<_>>()?;
    if left != 0 {
        return Err(Damaged::row(format_args!("shard {shard}, set of snapshots")));
    }
    Ok((all, stored.snapshot_at))
}

/// Loads a pipeline's snapshot, and everything its shard has written since.
///
/// It reads all events of the shard, not only the pipeline's own, which an index would find: only a complete read shows
/// that none is missing. In a node there are seldom any, as states that changed since the snapshot are in memory.
pub(crate) fn load(db: &Connection, pipeline: &PipelineId) -> Result<(Option<Vec<u8>>, Seq, Page)> {
    let shard = ShardId::of(pipeline);
    let found = db
        .prepare_cached("SELECT pipeline, state, sum FROM snapshot WHERE shard = ?1 AND pipeline = ?2")?
        .query_row(params![shard.0, pipeline.as_str()], |row| state(shard, row))
        .optional()?;
    if found.is_none() {
        // There is no snapshot, or it can't be found any more.
        snapshots(db, shard)?;
    }
    let stored = of(db, shard)?;
    let page = page(db, shard, &stored, stored.snapshot_at, usize::MAX)?;
    Ok((found.map(|((_, state), _)| state), stored.snapshot_at, page))
}

pub(crate) fn put_chunk(db: &Connection, id: &ChunkId, body: &[u8]) -> Result<Result<(), Error>> {
    let put = db
        .prepare_cached("INSERT INTO chunk (id, body, sum) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING")?
        .execute(params![&*id.0, body, sum(&[], &id.0, body)])?;
    if put == 0 && chunk(db, id)?.as_deref() != Some(body) {
        return Ok(Err(other_content(id)));
    }
    Ok(Ok(()))
}

pub(crate) fn chunk(db: &Connection, id: &ChunkId) -> Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT id, body, sum FROM chunk WHERE id = ?1")?.query_row([&*id.0], stored_chunk).optional()
}

fn stored_chunk(row: &rusqlite::Row<'_>) -> Result<Vec<u8>> {
    let (id, body): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
    check(row, 2, sum(&[], &id, &body), format_args!("chunk {id}"))?;
    Ok(body)
}

/// Reads every row of every table; fails for the first damaged one.
pub(crate) fn check_all(db: &Connection) -> Result<()> {
    for head in heads(db)? {
        let (shard, _) = head?;
        snapshots(db, shard)?;
        readers(db, shard)?;
        let mut log = db.prepare(READ)?;
        let mut rows = log.query(params![shard.0, 0, i64::MAX])?;
        while let Some(found) = rows.next()? {
            row(shard, found)?;
        }
    }
    db.prepare("SELECT id, body, sum FROM chunk")?.query_map([], stored_chunk)?.try_for_each(|body| body.map(drop))
}

pub(crate) const CHUNKS: &str = "SELECT id FROM chunk WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// Names of a scope, which begin with this prefix and are sorted by their bytes, so that they are adjacent.
pub(crate) fn chunks(db: &Connection, prefix: &str, after: Option<&ChunkId>, limit: usize) -> Result<Vec<String>> {
    let from = after.map_or(prefix, |after| &after.0);
    // A prefix ends with a slash, whose successor is the digit zero.
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let mut statement = db.prepare_cached(CHUNKS)?;
    statement.query_map(params![from, end, limit as i64], |row| row.get(0))?.collect()
}

pub(crate) fn remove_chunks(db: &Connection, ids: &[ChunkId]) -> Result<()> {
    let mut remove = db.prepare_cached("DELETE FROM chunk WHERE id = ?1")?;
    for id in ids {
        remove.execute([&*id.0])?;
    }
    Ok(())
}
