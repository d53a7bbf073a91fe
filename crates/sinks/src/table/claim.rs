//! What a pipeline has written to a table: one that is missing then is not made anew unasked.
use dataflow_core::{id::Generation, token::Fence};
use dataflow_sdk::{Error, sink::OpenLane};

/// Whose rows a table must hold.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose.
    pub fence: Fence,
    /// The generations whose rows need not be there, as a user has decided to go on without them, or they are elsewhere.
    excused: Vec<Generation>,
}

impl Claim {
    /// That of a lane that is opened.
    pub fn of(lane: &OpenLane) -> Self {
        let excused = lane.known.iter().copied().filter(|known| !lane.left.contains(known));
        Self { fence: lane.fence.clone(), excused: excused.collect() }
    }

    /// That a `table` which is `missing`, or another one than was written to, may be made or written to, if none of the rows
    /// that it must hold were written. `written` says how many rows each generation wrote.
    ///
    /// # Errors
    /// If it had rows: the user decides.
    pub fn check(
        &self,
        table: &str,
        missing: bool,
        written: impl IntoIterator<Item = (Generation, i64)>,
    ) -> Result<(), Error> {
        let required = |(of, rows): &(Generation, i64)| *rows > 0 && !self.excused.contains(of);
        let (generations, rows): (Vec<_>, Vec<_>) = written.into_iter().filter(required).unzip();
        if generations.is_empty() {
            return Ok(());
        }
        let rows: i64 = rows.iter().sum();
        let (code, what) = match missing {
            true => ("table-missing", "is gone; this pipeline has written"),
            false => ("table-replaced", "was made anew; to the one before it this pipeline has written"),
        };
        Err(Error::Contradicts {
            code,
            message: format!("table {table} {what} {rows} rows"),
            fix: "put the table back as it was, or choose: set the checkpoint to \"beginning\" to write all again, or to \"journal\" to go on after the last checkpoint, which counts what is gone as lost"
                .into(),
            generations,
        })
    }
}
