//! Tracks that a pipeline has written to a table or a topic: if that is missing, it is not made anew, nor written, without the
//! user's decision.
use dataflow_core::{id::Generation, token::Fence};
use dataflow_sdk::{Error, sink::OpenLane};

/// A pipeline, whose rows its target must contain.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Its fence.
    pub(crate) fence: Fence,
    /// The generations whose rows may be missing, because a user has decided to continue without them, or they are
    /// elsewhere.
    excused: Vec<Generation>,
}

/// A kind of target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A table of a database, which has rows.
    Table,
    /// A topic of Kafka, which has records.
    Topic,
}

impl Claim {
    /// The claim of a lane that is opened.
    pub(crate) fn of(lane: &OpenLane) -> Self {
        let excused = lane.known.iter().copied().filter(|known| !lane.left.contains(known));
        Self { fence: lane.fence.clone(), excused: excused.collect() }
    }

    /// Checks that a target which is `missing`, or not the one written before, may be made or written, because it need not
    /// contain any rows. `written` gives the number of rows that each generation wrote.
    ///
    /// # Errors
    /// If it had rows: the user decides.
    pub(crate) fn check(
        &self,
        kind: Kind,
        name: &str,
        missing: bool,
        written: impl IntoIterator<Item = (Generation, i64)>,
    ) -> Result<(), Error> {
        let required = |(of, rows): &(Generation, i64)| *rows > 0 && !self.excused.contains(of);
        let (generations, rows): (Vec<_>, Vec<_>) = written.into_iter().filter(required).unzip();
        if generations.is_empty() {
            return Ok(());
        }
        let (target, has, restore, code) = match (kind, missing) {
            (Kind::Table, true) => ("table", "rows", "restore the table, or ", "table-missing"),
            (Kind::Table, false) => ("table", "rows", "restore the table, or ", "table-replaced"),
            (Kind::Topic, true) => ("topic", "records", "", "topic-missing"),
            (Kind::Topic, false) => ("topic", "records", "", "topic-replaced"),
        };
        let rows = rows.iter().sum::<i64>();
        let what = match missing {
            true => format!("is missing; this pipeline has written {rows} {has}"),
            false => format!("was recreated; this pipeline had written {rows} {has} to the old one"),
        };
        Err(Error::Contradicts {
            code,
            message: format!("{target} {name} {what}"),
            fix: format!(
                "{restore}choose: set the checkpoint to \"beginning\" to write everything again, or to \"journal\" to continue after the last checkpoint and count the missing {has} as lost"
            ),
            begins: generations.into_iter().map(|generation| (generation, Default::default())).collect(),
            ledger: None,
        })
    }
}
