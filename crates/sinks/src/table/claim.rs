//! Tracks that a pipeline has written rows to a table: if that table is missing, it is not recreated without the user's
//! decision.
use dataflow_core::{id::Generation, token::Fence};
use dataflow_sdk::{Error, sink::OpenLane};

/// A pipeline whose rows a table must contain.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its fence.
    pub fence: Fence,
    /// The generations whose rows may be missing, because a user has decided to continue without them, or they are
    /// elsewhere.
    excused: Vec<Generation>,
}

impl Claim {
    /// The claim of a lane that is opened.
    pub fn of(lane: &OpenLane) -> Self {
        let excused = lane.known.iter().copied().filter(|known| !lane.left.contains(known));
        Self { fence: lane.fence.clone(), excused: excused.collect() }
    }

    /// Of the generations that have `written` so many rows, those whose rows must be there, and how many these are. None: no row
    /// has to be there.
    pub fn required(&self, written: impl IntoIterator<Item = (Generation, i64)>) -> Option<(Vec<Generation>, i64)> {
        let required = |(of, rows): &(Generation, i64)| *rows > 0 && !self.excused.contains(of);
        let (generations, rows): (Vec<_>, Vec<_>) = written.into_iter().filter(required).unzip();
        (!generations.is_empty()).then(|| (generations, rows.iter().sum()))
    }

    /// Checks that a `table` which is `missing` or not the one written before may be created or written, because it
    /// need not contain any rows. `written` gives the number of rows that each generation wrote.
    ///
    /// # Errors
    /// If it had rows: the user decides.
    pub fn check(
        &self,
        table: &str,
        missing: bool,
        written: impl IntoIterator<Item = (Generation, i64)>,
    ) -> Result<(), Error> {
        let Some((generations, rows)) = self.required(written) else { return Ok(()) };
        let (code, what) = match missing {
            true => ("table-missing", "is missing; this pipeline has written"),
            false => ("table-replaced", "was recreated; to its predecessor this pipeline has written"),
        };
        Err(Error::Contradicts {
            code,
            message: format!("table {table} {what} {rows} rows"),
            fix: "restore the table, or choose: set the checkpoint to \"beginning\" to write everything again, or to \"journal\" to continue after the last checkpoint and count the missing rows as lost"
                .into(),
            begins: generations.into_iter().map(|generation| (generation, Default::default())).collect(),
            ledger: None,
        })
    }
}
