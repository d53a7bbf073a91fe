//! Tables that pipelines have made, noted beside their tokens: they get a column for each field.
use super::database::{Database, key};
use dataflow_core::{id::Generation, token::Fence};
use dataflow_sdk::{Context, Error};
use rusqlite::params;

/// Notes the table that a pipeline has made.
const MADE: &str = "update dataflow_tokens set made = ?5 where pipeline = ?1 and incarnation = ?2 and generation = ?3 and lane = ?4 and page = 0";
/// Notes the same for this generation, too, if any pipeline has made it.
const HAS_MADE: &str = "update dataflow_tokens set made = ?5 where pipeline = ?1 and incarnation = ?2 and generation = ?3 and lane = ?4 and page = 0 \
    and exists (select 1 from dataflow_tokens where made = ?5 collate nocase)";

impl Database {
    /// Notes, beside the token of a lane, that a pipeline has made the table `target`.
    pub(super) fn note_made(&self, target: &str, fence: &Fence) -> Result<(), Error> {
        self.note(MADE, target, fence).map(drop)
    }

    /// Whether any pipeline has made the table `target`: if two start at once, it is chance which one.
    pub(super) fn has_made(&self, target: &str, fence: &Fence) -> Result<bool, Error> {
        Ok(self.note(HAS_MADE, target, fence)? > 0)
    }

    fn note(&self, statement: &str, target: &str, fence: &Fence) -> Result<usize, Error> {
        let (pipeline, incarnation, generation) = key(fence);
        let noted = self.connection.execute(statement, params![pipeline, incarnation, generation, fence.lane, target]);
        noted.map_err(|error| self.failed("keep progress (table dataflow_tokens) in", &error))
    }

    /// Whether this generation of the context's branch has noted that a pipeline has made the table `target`.
    pub(super) fn is_made(&self, target: &str, cx: &Context, generation: &Generation) -> Result<bool, Error> {
        if !self.has_tokens()? {
            return Ok(false);
        }
        let noted = "select exists (select 1 from dataflow_tokens \
            where pipeline = ?1 and incarnation = ?2 and generation = ?3 and made = ?4 collate nocase)";
        let key = params![cx.branch.as_str(), cx.incarnation.as_str(), generation.to_string(), target];
        let noted = self.connection.query_row(noted, key, |row| row.get(0));
        noted.map_err(|error| self.failed("read progress (table dataflow_tokens) in", &error))
    }
}
