//! The statements: every question and every write, and how rows map to them.
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

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn row(row: &rusqlite::Row<'_>) -> Result<Row> {
    Ok(Row { seq: Seq(unsigned(row, 0)?), pipeline: row.get(1)?, kind: row.get(2)?, body: row.get(3)? })
}

pub(super) fn claim(db: &Connection, shard: ShardId) -> Result<Head> {
    db.prepare_cached(
        "INSERT INTO head (shard, epoch, next_seq, snapshot_at, compacted) VALUES (?1, 1, 1, 1, 1)
         ON CONFLICT (shard) DO UPDATE SET epoch = epoch + 1 RETURNING epoch, next_seq",
    )?
    .query_row([shard.0], |row| Ok(Head { epoch: Epoch(unsigned(row, 0)?), next_seq: Seq(unsigned(row, 1)?) }))
}

pub(super) fn epochs(db: &Connection) -> Result<Vec<(ShardId, Epoch)>> {
    db.prepare_cached("SELECT shard, epoch FROM head")?
        .query_map([], |row| Ok((ShardId(row.get(0)?), Epoch(unsigned(row, 1)?))))?
        .collect()
}

pub(super) fn append(db: &Connection, shard: ShardId, epoch: Epoch, next: Seq, rows: &[Row]) -> Result<Appended> {
    let behind = signed(next.0 + rows.len() as u64)?;
    let moved = db
        .prepare_cached("UPDATE head SET next_seq = ?4 WHERE shard = ?1 AND epoch = ?2 AND next_seq = ?3")?
        .execute(params![shard.0, signed(epoch.0)?, signed(next.0)?, behind])?;
    if moved == 0 {
        return Ok(Appended::Fenced);
    }
    let mut insert =
        db.prepare_cached("INSERT INTO log (shard, seq, pipeline, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in rows {
        insert.execute(params![shard.0, signed(row.seq.0)?, row.pipeline, row.kind, row.body])?;
    }
    Ok(Appended::Applied)
}

fn extent(db: &Connection, shard: ShardId) -> Result<Extent> {
    db.prepare_cached("SELECT next_seq, compacted FROM head WHERE shard = ?1")?
        .query_row([shard.0], |row| Ok(Extent { next: Seq(unsigned(row, 0)?), compacted: Seq(unsigned(row, 1)?) }))
        .optional()
        .map(|found| found.unwrap_or(Extent::EMPTY))
}

pub(super) const READ: &str =
    "SELECT seq, pipeline, kind, body FROM log WHERE shard = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";

pub(super) fn read(db: &Connection, shard: ShardId, from: Seq, limit: usize) -> Result<(Extent, Vec<Row>)> {
    let rows = db
        .prepare_cached(READ)?
        .query_map(params![shard.0, signed(from.0)?, limited(limit)], row)?
        .collect::<Result<_>>()?;
    Ok((extent(db, shard)?, rows))
}

pub(super) const HISTORY: &str = "SELECT seq, pipeline, kind, body FROM log INDEXED BY log_history
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
    db.prepare_cached(HISTORY)?.query_map(params![pipeline.as_str(), after, shard.0, limited(limit)], row)?.collect()
}

pub(super) const HISTORY_BEFORE: &str = "SELECT seq, pipeline, kind, body FROM log INDEXED BY log_history
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
        .query_map(params![pipeline.as_str(), before, shard.0, limited(limit)], row)?
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
    let head = db
        .prepare_cached("SELECT next_seq, snapshot_at FROM head WHERE shard = ?1 AND epoch = ?2")?
        .query_row(params![shard.0, signed(epoch.0)?], |row| Ok((Seq(unsigned(row, 0)?), Seq(unsigned(row, 1)?))))
        .optional()?;
    let Some((head, last)) = head else { return Ok(Err(Error::Fenced { shard, epoch })) };
    if let Err(refused) = range::place(shard, next, last, head) {
        return Ok(Err(refused));
    }
    let mut put = db.prepare_cached(
        "INSERT INTO snapshot (shard, pipeline, state) VALUES (?1, ?2, ?3)
         ON CONFLICT (shard, pipeline) DO UPDATE SET state = excluded.state",
    )?;
    for snapshot in changed {
        put.execute(params![shard.0, snapshot.pipeline.as_str(), &*snapshot.state])?;
    }
    let mut remove = db.prepare_cached("DELETE FROM snapshot WHERE shard = ?1 AND pipeline = ?2")?;
    for pipeline in gone {
        remove.execute(params![shard.0, pipeline.as_str()])?;
    }
    compact(db, shard, next)?;
    db.prepare_cached("UPDATE head SET snapshot_at = ?2, compacted = ?2 WHERE shard = ?1")?
        .execute(params![shard.0, signed(next.0)?])?;
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

fn snapshot_at(db: &Connection, shard: ShardId) -> Result<Seq> {
    db.prepare_cached("SELECT snapshot_at FROM head WHERE shard = ?1")?
        .query_row([shard.0], |row| unsigned(row, 0).map(Seq))
        .optional()
        .map(|found| found.unwrap_or(Seq(1)))
}

/// A pipeline and its state.
pub(super) type State = (String, Vec<u8>);

pub(super) fn snapshots(db: &Connection, shard: ShardId) -> Result<(Vec<State>, Seq)> {
    let all = db
        .prepare_cached("SELECT pipeline, state FROM snapshot WHERE shard = ?1 ORDER BY pipeline")?
        .query_map([shard.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    Ok((all, snapshot_at(db, shard)?))
}

/// By the pipeline, so that it doesn't matter how much others of its shard have written.
pub(super) const SINCE: &str = "SELECT seq, pipeline, kind, body FROM log INDEXED BY log_history
    WHERE pipeline = ?2 AND seq >= ?3 AND kind = 0 AND shard = ?1
    UNION ALL SELECT seq, pipeline, kind, body FROM log INDEXED BY log_progress
    WHERE shard = ?1 AND pipeline = ?2 AND kind > 0 AND seq >= ?3
    ORDER BY seq";

pub(super) fn load(db: &Connection, shard: ShardId, pipeline: &PipelineId) -> Result<(Option<Vec<u8>>, Vec<Row>)> {
    let state = db
        .prepare_cached("SELECT state FROM snapshot WHERE shard = ?1 AND pipeline = ?2")?
        .query_row(params![shard.0, pipeline.as_str()], |row| row.get(0))
        .optional()?;
    let since = snapshot_at(db, shard)?;
    let rows = db
        .prepare_cached(SINCE)?
        .query_map(params![shard.0, pipeline.as_str(), signed(since.0)?], row)?
        .collect::<Result<_>>()?;
    Ok((state, rows))
}

pub(super) fn put_chunk(db: &Connection, id: &ChunkId, body: &[u8]) -> Result<Result<(), Error>> {
    let put = db
        .prepare_cached("INSERT INTO chunk (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING")?
        .execute(params![&*id.0, body])?;
    if put == 0 && chunk(db, id)?.as_deref() != Some(body) {
        return Ok(Err(range::other_content(id)));
    }
    Ok(Ok(()))
}

pub(super) fn chunk(db: &Connection, id: &ChunkId) -> Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT body FROM chunk WHERE id = ?1")?.query_row([&*id.0], |row| row.get(0)).optional()
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
