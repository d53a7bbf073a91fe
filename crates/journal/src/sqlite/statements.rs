//! The statements: every question and every write, and how rows map to them.
use super::sums::{Damaged, check, sum};
use crate::{Appended, Error, Head, Snapshot, range, range::Extent, stored::Row};
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};
use rusqlite::{Connection, OptionalExtension, Result, params};

/// SQLite's integers are signed. No counter of ours ever gets near 2^63.
fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))
}

/// A number of a row whose checksum is compared next: a negative one is damage, which that tells.
fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn row(shard: ShardId, row: &rusqlite::Row<'_>) -> Result<Row> {
    let event = Row { seq: Seq(unsigned(row, 0)?), pipeline: row.get(1)?, kind: row.get(2)?, body: row.get(3)? };
    let what = format_args!("shard {shard}, event {} of {:?}", event.seq, event.pipeline);
    check(row, 4, event_sum(shard, &event), what)?;
    Ok(event)
}

fn event_sum(shard: ShardId, row: &Row) -> i64 {
    sum(&[shard.0.into(), row.seq.0, row.kind.into()], &row.pipeline, row.body.as_bytes())
}

/// A shard's head as it is stored.
#[derive(Clone, Copy)]
struct Stored {
    epoch: Epoch,
    next: Seq,
    snapshot_at: Seq,
    /// The checksums of all its snapshots, combined in no order.
    snapshots: i64,
}

impl Stored {
    /// Of a shard that nobody has claimed yet.
    const EMPTY: Self = Self { epoch: Epoch(0), next: Seq(1), snapshot_at: Seq(1), snapshots: 0 };

    fn sum(&self, shard: ShardId) -> i64 {
        let snapshots = self.snapshots.cast_unsigned();
        sum(&[shard.0.into(), self.epoch.0, self.next.0, self.snapshot_at.0, snapshots], "", &[])
    }

    fn extent(&self) -> Extent {
        Extent { next: self.next, compacted: self.snapshot_at }
    }
}

fn stored(row: &rusqlite::Row<'_>) -> Result<(ShardId, Stored)> {
    let shard = ShardId(row.get(0)?);
    let head = Stored {
        epoch: Epoch(unsigned(row, 1)?),
        next: Seq(unsigned(row, 2)?),
        snapshot_at: Seq(unsigned(row, 3)?),
        snapshots: row.get(4)?,
    };
    check(row, 5, head.sum(shard), format_args!("shard {shard}, its head"))?;
    Ok((shard, head))
}

/// The head of a shard that was claimed once.
fn claimed(db: &Connection, shard: ShardId) -> Result<Option<Stored>> {
    let found = db
        .prepare_cached("SELECT shard, epoch, next_seq, snapshot_at, snapshots, sum FROM head WHERE shard = ?1")?
        .query_row([shard.0], |row| stored(row).map(|(_, head)| head))
        .optional()?;
    let sql = "SELECT EXISTS (SELECT 1 FROM log WHERE shard = ?1) OR EXISTS (SELECT 1 FROM snapshot WHERE shard = ?1)";
    if found.is_none() && db.prepare_cached(sql)?.query_row([shard.0], |row| row.get(0))? {
        return Err(Damaged::row(format_args!("shard {shard}, its head")));
    }
    Ok(found)
}

fn head(db: &Connection, shard: ShardId) -> Result<Stored> {
    Ok(claimed(db, shard)?.unwrap_or(Stored::EMPTY))
}

/// All heads, each by itself: a damaged one is told by whoever uses it, and the others have nothing to do with it.
fn heads(db: &Connection) -> Result<Vec<Result<(ShardId, Stored)>>> {
    let mut all = db.prepare_cached("SELECT shard, epoch, next_seq, snapshot_at, snapshots, sum FROM head")?;
    let (mut rows, mut heads) = (all.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        heads.push(stored(row));
    }
    Ok(heads)
}

fn put_head(db: &Connection, shard: ShardId, head: &Stored) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO head (shard, epoch, next_seq, snapshot_at, snapshots, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        shard.0,
        signed(head.epoch.0)?,
        signed(head.next.0)?,
        signed(head.snapshot_at.0)?,
        head.snapshots,
        head.sum(shard)
    ])
    .map(drop)
}

pub(super) fn claim(db: &Connection, shard: ShardId) -> Result<Head> {
    let head = head(db, shard)?;
    let head = Stored { epoch: head.epoch.next(), ..head };
    put_head(db, shard, &head)?;
    Ok(Head { epoch: head.epoch, next_seq: head.next })
}

/// Raises the epochs of all shards to at least this one.
pub(super) fn raise_epochs(db: &Connection, least: Epoch) -> Result<()> {
    for head in heads(db)? {
        let (shard, head) = head?;
        put_head(db, shard, &Stored { epoch: head.epoch.max(least), ..head })?;
    }
    Ok(())
}

/// The epochs of all shards whose heads are whole.
pub(super) fn epochs(db: &Connection) -> Result<Vec<(ShardId, Epoch)>> {
    Ok(heads(db)?.into_iter().flatten().map(|(shard, head)| (shard, head.epoch)).collect())
}

/// Claims and events of all shards, ever; none if a head is damaged, as its share is not known.
pub(super) fn moves(db: &Connection) -> Result<Option<u64>> {
    let heads = heads(db)?;
    if heads.iter().any(Result::is_err) {
        return Ok(None);
    }
    Ok(Some(heads.iter().flatten().map(|(_, head)| head.epoch.0 + head.next.0 - 1).sum()))
}

pub(super) fn append(db: &Connection, shard: ShardId, epoch: Epoch, next: Seq, rows: &[Row]) -> Result<Appended> {
    let Some(head) = claimed(db, shard)?.filter(|head| (head.epoch, head.next) == (epoch, next)) else {
        return Ok(Appended::Fenced);
    };
    put_head(db, shard, &Stored { next: Seq(next.0 + rows.len() as u64), ..head })?;
    let mut insert =
        db.prepare_cached("INSERT INTO log (shard, seq, pipeline, kind, body, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for row in rows {
        let sum = event_sum(shard, row);
        insert.execute(params![shard.0, signed(row.seq.0)?, row.pipeline, row.kind, row.body, sum])?;
    }
    Ok(Appended::Applied)
}

pub(super) const READ: &str =
    "SELECT seq, pipeline, kind, body, sum FROM log WHERE shard = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";

pub(super) fn read(db: &Connection, shard: ShardId, from: Seq, limit: usize) -> Result<(Extent, Vec<Row>)> {
    let extent = head(db, shard)?.extent();
    let rows = db
        .prepare_cached(READ)?
        .query_map(params![shard.0, signed(from.0)?, limited(limit)], |found| row(shard, found))?
        .collect::<Result<_>>()?;
    Ok((extent, rows))
}

pub(super) const HISTORY: &str = "SELECT seq, pipeline, kind, body, sum FROM log INDEXED BY log_history
    WHERE pipeline = ?1 AND seq > ?2 AND kind = 0 AND shard = ?3 ORDER BY seq LIMIT ?4";

pub(super) fn history(
    db: &Connection,
    shard: ShardId,
    pipeline: &PipelineId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Row>> {
    // No event has a number beyond.
    let Ok(after) = i64::try_from(after.0) else { return Ok(Vec::new()) };
    db.prepare_cached(HISTORY)?
        .query_map(params![pipeline.as_str(), after, shard.0, limited(limit)], |found| row(shard, found))?
        .collect()
}

pub(super) const HISTORY_BEFORE: &str = "SELECT seq, pipeline, kind, body, sum FROM log INDEXED BY log_history
    WHERE pipeline = ?1 AND seq < ?2 AND kind = 0 AND shard = ?3 ORDER BY seq DESC LIMIT ?4";

pub(super) fn history_before(
    db: &Connection,
    shard: ShardId,
    pipeline: &PipelineId,
    before: Option<Seq>,
    limit: usize,
) -> Result<Vec<Row>> {
    // What is beyond all numbers there can be is before none of them.
    let before = before.and_then(|before| i64::try_from(before.0).ok()).unwrap_or(i64::MAX);
    db.prepare_cached(HISTORY_BEFORE)?
        .query_map(params![pipeline.as_str(), before, shard.0, limited(limit)], |found| row(shard, found))?
        .collect()
}

pub(super) fn snapshot(
    db: &Connection,
    shard: ShardId,
    epoch: Epoch,
    next: Seq,
    changed: &[Snapshot],
    gone: &[PipelineId],
) -> Result<Result<(), Error>> {
    let Some(head) = claimed(db, shard)?.filter(|head| head.epoch == epoch) else {
        return Ok(Err(Error::Fenced { shard, epoch }));
    };
    if let Err(refused) = range::place(shard, next, head.snapshot_at, head.next) {
        return Ok(Err(refused));
    }
    let mut snapshots = head.snapshots;
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
    for pipeline in gone {
        snapshots ^= take(pipeline)?;
    }
    compact(db, shard, next)?;
    put_head(db, shard, &Stored { snapshot_at: next, snapshots, ..head })?;
    Ok(Ok(()))
}

pub(super) const COMPACT: &str = "DELETE FROM log INDEXED BY log_progress
    WHERE shard = ?1 AND kind > 0 AND seq < ?2 AND EXISTS (
        SELECT 1 FROM log AS later INDEXED BY log_progress
        WHERE later.shard = log.shard AND later.pipeline = log.pipeline AND later.kind = log.kind AND later.kind > 0
        AND later.seq > log.seq AND later.seq < ?2)";

/// Drops progress before a place, but for the last of each kind of each pipeline before it.
fn compact(db: &Connection, shard: ShardId, before: Seq) -> Result<()> {
    db.prepare_cached(COMPACT)?.execute(params![shard.0, signed(before.0)?]).map(drop)
}

/// A pipeline and its state.
pub(super) type State = (String, Vec<u8>);

fn state(shard: ShardId, row: &rusqlite::Row<'_>) -> Result<(State, i64)> {
    let (pipeline, state): State = (row.get(0)?, row.get(1)?);
    let sum = sum(&[shard.0.into()], &pipeline, &state);
    check(row, 2, sum, format_args!("shard {shard}, the snapshot of {pipeline:?}"))?;
    Ok(((pipeline, state), sum))
}

pub(super) fn snapshots(db: &Connection, shard: ShardId) -> Result<(Vec<State>, Seq)> {
    let head = head(db, shard)?;
    let mut left = head.snapshots;
    let all = db
        .prepare_cached("SELECT pipeline, state, sum FROM snapshot WHERE shard = ?1 ORDER BY pipeline")?
        .query_map([shard.0], |row| state(shard, row))?
        .map(|found| found.map(|(state, sum)| (state, left ^= sum).0))
        .collect::<Result<_>>()?;
    if left != 0 {
        return Err(Damaged::row(format_args!("shard {shard}, the set of its snapshots")));
    }
    Ok((all, head.snapshot_at))
}

/// A pipeline's snapshot, and what its shard has written since.
pub(super) struct Loaded {
    pub(super) state: Option<Vec<u8>>,
    pub(super) since: Seq,
    pub(super) extent: Extent,
    pub(super) rows: Vec<Row>,
}

/// All of its shard's events, not only the pipeline's own, which an index would find: who reads all of them finds out whether
/// any is missing. In a node there are seldom any, as states that changed since the snapshot are in memory.
pub(super) fn load(db: &Connection, shard: ShardId, pipeline: &PipelineId) -> Result<Loaded> {
    let found = db
        .prepare_cached("SELECT pipeline, state, sum FROM snapshot WHERE shard = ?1 AND pipeline = ?2")?
        .query_row(params![shard.0, pipeline.as_str()], |row| state(shard, row))
        .optional()?;
    let since = match found {
        Some(_) => head(db, shard)?.snapshot_at,
        // None there, or one that can't be found any more.
        None => snapshots(db, shard)?.1,
    };
    let (extent, rows) = read(db, shard, since, usize::MAX)?;
    Ok(Loaded { state: found.map(|((_, state), _)| state), since, extent, rows })
}

pub(super) fn put_chunk(db: &Connection, id: &ChunkId, body: &[u8]) -> Result<Result<(), Error>> {
    let put = db
        .prepare_cached("INSERT INTO chunk (id, body, sum) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING")?
        .execute(params![&*id.0, body, sum(&[], &id.0, body)])?;
    if put == 0 && chunk(db, id)?.as_deref() != Some(body) {
        return Ok(Err(range::other_content(id)));
    }
    Ok(Ok(()))
}

pub(super) fn chunk(db: &Connection, id: &ChunkId) -> Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT id, body, sum FROM chunk WHERE id = ?1")?.query_row([&*id.0], stored_chunk).optional()
}

fn stored_chunk(row: &rusqlite::Row<'_>) -> Result<Vec<u8>> {
    let (id, body): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
    check(row, 2, sum(&[], &id, &body), format_args!("the chunk {id}"))?;
    Ok(body)
}

/// Reads every row of every table, and so finds all that are damaged; fails for the first.
pub(super) fn check_all(db: &Connection) -> Result<()> {
    for head in heads(db)? {
        let (shard, _) = head?;
        snapshots(db, shard)?;
        let mut log = db.prepare(READ)?;
        let mut rows = log.query(params![shard.0, 0, i64::MAX])?;
        while let Some(found) = rows.next()? {
            row(shard, found)?;
        }
    }
    db.prepare("SELECT id, body, sum FROM chunk")?.query_map([], stored_chunk)?.try_for_each(|body| body.map(drop))
}

pub(super) const CHUNKS: &str = "SELECT id FROM chunk WHERE id >= ?1 ORDER BY id";

pub(super) fn chunks(db: &Connection, prefix: &str) -> Result<Vec<String>> {
    // Names lie in the order of their bytes, so those with the prefix lie together, from the prefix on.
    let mut statement = db.prepare_cached(CHUNKS)?;
    let mut rows = statement.query([prefix])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        if !id.starts_with(prefix) {
            break;
        }
        found.push(id);
    }
    Ok(found)
}

pub(super) fn remove_chunks(db: &Connection, ids: &[ChunkId]) -> Result<()> {
    let mut remove = db.prepare_cached("DELETE FROM chunk WHERE id = ?1")?;
    for id in ids {
        remove.execute([&*id.0])?;
    }
    Ok(())
}
