//! Progress that others of a pipeline have at a target: other nodes, other lives of it, other numbers of its branches.
use super::database::{Database, key};
use crate::{
    claim::Claim,
    owner::Owner,
    table::{ddl::quote, tokens::stored_id},
};
use dataflow_core::id::Incarnation;
use dataflow_sdk::{Error, sink::OpenLane};
use rusqlite::params;
use serde_json::json;

/// Who else of this pipeline has progress at this target; who wrote last comes first.
const OTHERS: &str = "select journal, incarnation, pipeline from dataflow_tokens \
    where (pipeline = ?4 or pipeline > ?4 || '/' and pipeline < ?4 || '0') and target = ?3 \
        and (incarnation <> ?2 or pipeline <> ?1 and generation not in (select value from json_each(?5))) \
    group by journal, incarnation, pipeline order by max(sequence) > 0 desc, max(updated_at) desc";
const NEWEST: &str = "select max(cast(?3 as integer), coalesce(max(cast(generation as integer)), 0)) from dataflow_tokens where pipeline = ?1 and incarnation = ?2";
/// Makes another's progress that of generations to come.
const ADOPT: &str = "update dataflow_tokens set pipeline = ?1, incarnation = ?2, journal = ?4, \
    generation = (cast(generation as integer) + ?6) || substr(generation, instr(generation, '-')) \
    where pipeline = ?7 and incarnation = ?5 and target = ?3 and (incarnation <> ?2 or generation not in (select value from json_each(?8)))";
const FORGET: &str = "delete from dataflow_tokens where pipeline = ?1 and incarnation = ?2 and target = ?3 \
    and (incarnation <> ?4 or generation not in (select value from json_each(?5)))";

/// Drops the progress that other journals have at a target.
const FORGET_OTHERS: &str = "delete from dataflow_tokens where target = ?3 and journal <> \
    (select journal from dataflow_tokens where pipeline = ?1 and incarnation = ?2 limit 1)";

/// What earlier pipelines of an id have written to a table.
const WRITTEN_BEFORE: &str = "select coalesce(sum(counters ->> 'rowsWritten'), 0) from dataflow_tokens \
    where (pipeline = ?1 or pipeline > ?1 || '/' and pipeline < ?1 || '0') and target = ?3 \
        and incarnation in (select value from json_each(?2))";

impl Database {
    /// Makes the progress that others of this pipeline have at the target that of its next generations.
    pub(super) fn take_over(&self, lane: &OpenLane, target: &str) -> Result<(), Error> {
        let failed = |error| self.failed("keep progress (table dataflow_tokens) in", &error);
        let (pipeline, incarnation, generation) = key(&lane.fence);
        let mut others = self.connection.prepare(OTHERS).map_err(failed)?;
        let siblings: Vec<String> = lane.siblings.iter().map(ToString::to_string).collect();
        let (all, siblings) = (lane.fence.branch.pipeline().as_str(), json!(siblings).to_string());
        let others = others.query_map(params![pipeline, incarnation, target, all, siblings], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        });
        let name = format!("table {target} in {}", self.path.display());
        let mut adopted = false;
        for (journal, other, branch) in others.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)? {
            let owner = Owner { journal, incarnation: stored_id::<Incarnation>(&other)? };
            let gone = owner.is_in_the_way(lane) && self.is_empty(target).map_err(failed)?;
            if !gone && !owner.is_taken_over(lane, true, &name)? {
                continue;
            }
            if !gone && !std::mem::replace(&mut adopted, true) {
                let newest = params![pipeline, incarnation, generation];
                let newest: i64 = self.connection.query_row(NEWEST, newest, |row| row.get(0)).map_err(failed)?;
                let values = params![pipeline, incarnation, target, lane.journal, other, newest, branch, siblings];
                self.connection.execute(ADOPT, values).map_err(failed)?;
            }
            self.connection.execute(FORGET, params![branch, other, target, incarnation, siblings]).map_err(failed)?;
        }
        Ok(())
    }

    /// Whether a table has no row, or is not there: then nothing is left of what others have written to one of this name.
    fn is_empty(&self, table: &str) -> rusqlite::Result<bool> {
        let there =
            "select exists (select 1 from sqlite_schema where type in ('table', 'view') and name = ?1 collate nocase)";
        if !self.connection.query_row(there, [table], |row| row.get(0))? {
            return Ok(true);
        }
        self.connection.query_row(&format!("select not exists (select 1 from {})", quote(table)), [], |row| row.get(0))
    }

    /// The rows that earlier pipelines of this id have written to a table, unless it is empty now.
    pub(super) fn rows_before(&self, target: &str, lane: &OpenLane) -> Result<u64, Error> {
        let failed = |error| self.failed("read progress (table dataflow_tokens) in", &error);
        let ancestors = json!(lane.ancestors).to_string();
        let written = params![lane.fence.branch.pipeline().as_str(), ancestors, target];
        let rows: i64 = self.connection.query_row(WRITTEN_BEFORE, written, |row| row.get(0)).map_err(failed)?;
        let gone = rows == 0 || self.is_empty(target).map_err(failed)?;
        Ok(if gone { 0 } else { rows.unsigned_abs() })
    }

    /// Drops the progress of other nodes at a table that was missing, so that nothing is left of what they have written to it.
    pub(super) fn forget_others(&self, target: &str, claim: &Claim) -> Result<(), Error> {
        let (pipeline, incarnation, _) = key(&claim.fence);
        let forgotten = self.connection.execute(FORGET_OTHERS, params![pipeline, incarnation, target]);
        forgotten.map(drop).map_err(|error| self.failed("keep progress (table dataflow_tokens) in", &error))
    }
}
