//! What a pipeline has written to a table: one that is missing then is not made anew unasked.
use super::Remembered;
use dataflow_core::{id::Generation, token::Fence};
use dataflow_sdk::{Error, sink::OpenLane};

/// Whose rows a table must hold.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose.
    pub fence: Fence,
    /// The first generation whose rows must be there: this one, once a user has decided to go on without those of earlier ones.
    pub since: Generation,
}

impl Claim {
    /// That of a lane that is opened.
    pub fn of(lane: &OpenLane, table: &str) -> Self {
        let earlier = lane.earlier.as_ref().is_some_and(|handle| Remembered::is_of(handle, table));
        let since = if earlier { Generation(0) } else { lane.fence.generation };
        Self { fence: lane.fence.clone(), since }
    }

    /// That a `table` which is `missing`, or another one than was written to, may be made or written to, if none of the
    /// `rows` that it must hold were written. `newest` is the last generation that wrote any.
    ///
    /// # Errors
    /// If it had rows: the user decides.
    pub fn check(&self, table: &str, missing: bool, rows: i64, newest: Generation) -> Result<(), Error> {
        if rows == 0 {
            return Ok(());
        }
        let (code, what) = match missing {
            true => ("table-missing", "is gone; this pipeline has written"),
            false => ("table-replaced", "was made anew; to the one before it this pipeline has written"),
        };
        Err(Error::Contradicts {
            code,
            message: format!("table {table} {what} {rows} rows"),
            fix: "put the table back as it was, or choose: set the checkpoint to \"beginning\" to write all again, or to \"journal\" to go on after the last checkpoint, which counts what is gone as lost"
                .into(),
            newest: (newest > self.fence.generation).then_some(newest),
        })
    }
}
