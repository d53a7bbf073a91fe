//! Opening and writing: token and rows in one transaction, the token first.
use super::{
    encode::{Encoder, Refused},
    failure, holders, others, pipeline,
    pool::Server,
    search::Search,
    statement::Encoded,
    target::{self, Target},
    tokens,
    transaction::Transaction,
};
use crate::{
    blocking,
    claim::Claim,
    table::{
        Options, Order, Pages, Remembered, Written, ddl,
        kept::{self, Kept},
        keys::{self, Place, reject},
        order::Run,
        tokens::Found,
    },
};
use async_trait::async_trait;
use dataflow_core::token::Token;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Output, Warning},
    sink::{CommitError, Committed, OpenLane, Opened, Writer},
};
use deadpool_postgres::Object;
use std::{ops::Range, pin::pin, sync::Arc, time::Duration};

/// Fences older writers, reads the token, and reads the table.
pub(super) async fn open(
    server: Server,
    mut options: Options,
    wait: Duration,
    lane: &OpenLane,
) -> Result<Opened, Error> {
    let schema = target::schema_of(&server, &options.table).await?;
    let mut client = server.connection().await?;
    target::check(&server, &client, &options.table, &schema).await?;
    tokens::create(&server, &mut client, &schema, wait).await?;
    let Found { token, pages, others, begins } =
        tokens::fence(&server, &mut client, &schema, target::name_of(&options.table), lane, wait).await?;
    let (mut warnings, mut added, claim) = (Vec::new(), Vec::new(), Claim::of(lane));
    let prepared = target::prepare(&server, &mut client, &options, (&schema, &claim), None, &mut added, wait).await?;
    let target = prepared.map(|(target, more)| {
        warnings.extend(more);
        Arc::new(target)
    });
    if target.as_ref().is_some_and(|target| target.layout.key.is_empty()) {
        warnings.extend(others::of_ancestors(&server, &mut client, &schema, &options.table, lane).await?);
    }
    let demand = demand(target.as_deref());
    let remembered = target.as_ref().map(|target| Remembered::of(&options, &target.layout));
    options = options.as_before(remembered.as_ref());
    let handle = remembered.map(|remembered| remembered.to_json()).transpose()?;
    let writer = Box::new(PostgresWriter {
        server,
        options,
        schema,
        claim,
        pages,
        target,
        added,
        wait,
        kept: None,
        swallowed: 0,
    });
    Ok(Opened { writer, token, others, begins, demand, warnings, handle })
}

/// What is wanted of each row. A table without columns has rows of nulls only, and gets columns as a missing one does.
fn demand(target: Option<&Target>) -> Demand {
    target.filter(|target| !target.layout.slots.is_empty()).map_or(Demand::AllColumns, |target| target.layout.demand())
}

/// How often a commit is retried at once after a deadlock with another lane, for which the server ends one of the two.
const MAX_CONFLICTS: usize = 5;
/// How often a commit reads a table that keeps changing before the run is reopened.
const MAX_LOOKS: usize = 100;
/// From this time on a commit may be waiting for a lock.
const LONG: Duration = Duration::from_secs(2);
/// The table's definition has changed.
const CHANGED: &str = "table-changed";

/// The writer of one lane. Between commits it holds no connection, except after a refused commit.
struct PostgresWriter {
    server: Server,
    options: Options,
    schema: String,
    /// The rows that the table must contain.
    claim: Claim,
    /// Where the lane's positions are stored.
    pages: Pages,
    /// `None`: the table is missing, and will be created from the first batch.
    target: Option<Arc<Target>>,
    /// Columns that were added for fields of records.
    added: Vec<String>,
    /// How long to wait for a lock of an earlier writer before breaking it.
    wait: Duration,
    /// The rows that a refused commit has written.
    kept: Option<(Kept, Transaction)>,
    /// Accepted rows without an effect since the last warning.
    swallowed: u64,
}

/// The rows of a commit, kept to be encoded as a whole or in parts.
#[derive(Clone)]
struct Rows {
    target: Arc<Target>,
    outputs: Arc<[Output]>,
    order: Arc<Order>,
}

impl Rows {
    /// The number of rows.
    fn len(&self) -> usize {
        self.order.places.len()
    }

    /// Encodes a part of the rows, each piece with its start in the part; for an empty part, the statements of
    /// all parts without rows. Runs on a thread that may block.
    async fn encode(&self, part: Range<usize>) -> Result<Result<Vec<(usize, Encoded)>, Refused>, Error> {
        let rows = self.clone();
        let encode = move || {
            let batches = keys::batches(&rows.outputs)?;
            let encoder = Encoder::new(&rows.target.layout.slots, &rows.target.wires, &batches)?;
            // A row may be left out only if the table would have accepted it.
            let mut refused = match part.len() == rows.len() {
                true => encoder.refusals(&rows.order.covered),
                false => Refused::new(),
            };
            let mut sent = Vec::new();
            let none = rows.order.said().filter(|_| part.is_empty());
            let none = none.map(|said| Run { said: said.clone(), rows: part.clone() });
            for run in rows.order.runs(part.clone()).chain(none) {
                let places = &rows.order.places[run.rows.clone()];
                match rows.target.statements.encode(&encoder, &run.said, places) {
                    Ok(encoded) => sent.push((run.rows.start - part.start, encoded)),
                    Err(more) => refused.extend(more),
                }
            }
            Ok(if refused.is_empty() { Ok(sent) } else { Err(refused) })
        };
        blocking::run(encode).await?
    }

    fn rejected(&self, refused: Refused) -> CommitError {
        let rows = refused.iter().map(|(place, cause)| reject(*place, cause));
        CommitError::Rejected(rows.collect())
    }
}

/// The reason why a transaction, or a part of one, failed.
enum Failure {
    /// The table may reject some rows; the server names one of them, or none.
    Rows(tokio_postgres::Error, Option<usize>),
    Other(CommitError),
}

impl Failure {
    /// Converts the failure of something without rows.
    fn of_all(self, writer: &PostgresWriter) -> CommitError {
        match self {
            Self::Rows(error, _) => writer.failed(&error).into(),
            Self::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error.into())
    }
}

impl PostgresWriter {
    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        self.server.failed(&format!("write to table {} in", self.options.table), error)
    }

    fn failure(&self, (error, named): pipeline::Failed) -> Failure {
        match failure::may_be_of_rows(&error) {
            true => Failure::Rows(error, named),
            false => self.failed(&error).into(),
        }
    }

    fn committed(&mut self, written: Written) -> Committed {
        self.swallowed += written.swallowed;
        Committed { rows_written: written.rows }
    }

    async fn rows(&self, outputs: &Arc<[Output]>) -> Result<Option<Rows>, CommitError> {
        if outputs.iter().all(Output::is_empty) {
            return Ok(None);
        }
        let Some(target) = self.target.clone() else { return keys::of_nothing(outputs).map(|()| None) };
        let (layout, of) = (target.clone(), outputs.clone());
        let order = blocking::run(move || Order::of(&layout.layout, &of)).await??;
        Ok(Some(Rows { target, outputs: outputs.clone(), order: Arc::new(order) }))
    }

    /// Begins a transaction with the token of these rows, and checks that the table is unchanged.
    async fn begin(&self, rows: Option<&Rows>, token: &Token) -> Result<Transaction, Error> {
        let token = token.with_rows(rows.map_or(0, |rows| rows.len() as u64));
        let transaction = match rows {
            Some(Rows { target, .. }) => target.definition.begin(&self.server).await?,
            None => Transaction::begin(&self.server, "").await?,
        };
        // Also without rows: the table that rejected all of them may have changed. Sent together, so that the check
        // costs no round trip.
        let same = async {
            match rows.map(|rows| &rows.target).or(self.target.as_ref()) {
                Some(target) => self.same(target, &transaction).await,
                None => Ok(()),
            }
        };
        let relation = self.target.as_ref().and_then(|target| target.definition.relation.as_deref());
        let advancing = tokens::advance(&self.server, &transaction, &self.schema, (&token, &self.pages), relation);
        let (same, advanced) = futures::join!(same, advancing);
        match same.and(advanced) {
            Ok(()) => Ok(transaction),
            Err(error) => {
                end(transaction).await;
                Err(error)
            }
        }
    }

    /// Checks that the table is unchanged.
    async fn same(&self, target: &Target, client: &Object) -> Result<(), Error> {
        match target.definition.holds(client).await.map_err(|error| self.failed(&error))? {
            true => Ok(()),
            false => {
                let message = format!("table {} has changed since it was opened", self.options.table);
                Err(Error::transient(CHANGED, message))
            }
        }
    }

    /// Writes token and all rows in one transaction.
    async fn write(&self, rows: Option<(&Rows, Vec<(usize, Encoded)>)>, token: &Token) -> Result<Written, Failure> {
        let of = rows.as_ref().map(|(rows, _)| *rows);
        let expected = of.map_or(0, |rows| rows.len() as u64);
        let transaction = self.begin(of, token).await?;
        let written = match rows {
            Some((_, encoded)) => {
                let copies = encoded.iter().any(|(_, encoded)| encoded.is_copy());
                match pipeline::send(&transaction, encoded).await {
                    Ok(written) => written,
                    Err(failed) => {
                        // A COPY that can't begin leaves an answer for the client to read: its connection is closed.
                        match copies && failed.1.is_none() {
                            true => drop(transaction),
                            false => end(transaction).await,
                        }
                        return Err(self.failure(failed));
                    }
                }
            }
            None => Written::default(),
        };
        if let Some(Rows { target, .. }) = of.filter(|rows| rows.target.definition.is_asked_again()) {
            self.same(target, &transaction).await?;
        }
        self.restate(&transaction, token, expected, written).await?;
        transaction.commit().await.map_err(|error| self.failure((error, None)))?;
        Ok(written)
    }

    /// Writes in parts after the whole failed: finds the rows that the table rejects, and keeps the accepted ones. If
    /// all are accepted (two rows that only the database considers the same key), the commit is done.
    async fn search(&mut self, rows: &Rows, token: &Token, named: Option<usize>) -> Result<Written, CommitError> {
        let transaction = self.begin(Some(rows), token).await?;
        let expected = rows.len() as u64;
        // Kept rows must not stay locked for long.
        let set = "set local idle_in_transaction_session_timeout = '10s'";
        transaction.batch_execute(set).await.map_err(|error| self.failed(&error))?;
        let mut search = Search::new(rows.len(), named);
        let mut parts = Parts {
            writer: self,
            rows,
            transaction: &transaction,
            before: "savepoint part",
            written: Written::default(),
        };
        // What fails without any row is not caused by rows. Other effects, by triggers, are undone.
        parts.write(0..0).await.map_err(|failure| failure.of_all(self))?;
        parts.before = UNDO;
        while let Some(part) = search.next() {
            let single = part.len() == 1;
            let done = match parts.write(part.clone()).await {
                // It may have been a transient state.
                Err(Failure::Rows(error, _)) if single && failure::may_be_of_the_server(&error) => {
                    parts.write(part).await
                }
                done => done,
            };
            match done {
                Ok(()) => search.accepted(),
                Err(Failure::Rows(error, named)) => search.refused(named, error),
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        // A failure common to all rows that is not about data is the table's.
        if search.found.len() == rows.len()
            && let Some((_, error)) = search.found.iter().find(|(_, error)| !failure::is_of_data(error, rows.len()))
        {
            return Err(self.failed(error).into());
        }
        parts.end().await.map_err(|error| self.failed(&error))?;
        let written = parts.written;
        if rows.target.definition.is_asked_again() {
            self.same(&rows.target, &transaction).await?;
        }
        if search.found.is_empty() {
            self.restate(&transaction, token, expected, written).await?;
            transaction.commit().await.map_err(|error| self.failed(&error))?;
            return Ok(written);
        }
        let found: Vec<usize> = search.found.iter().map(|(row, _)| *row).collect();
        self.kept = Some((
            Kept::of(token, &rows.outputs, &rows.order.places, &found, written.rows, written.swallowed),
            transaction,
        ));
        let (table, slots) = (&self.options.table, &rows.target.layout.slots);
        let batches = keys::batches(&rows.outputs)?;
        let cause = |place: Place, words: &str| {
            let column = failure::column_of(words, slots, batches[place.output], place.row);
            keys::refused_by(table, &format!("{words}{column}"))
        };
        let found = search.found.iter().map(|(row, error)| {
            let place = rows.order.places[*row];
            (place, cause(place, &failure::words_of(error)))
        });
        Err(rows.rejected(found.collect()))
    }

    /// Commits the kept rows of the previous commit, if this one is the same except for the rejected records.
    async fn commit_kept(&mut self, rows: &Rows, token: &Token) -> Result<Option<Written>, Error> {
        let Some((kept, transaction)) = self.kept.take() else { return Ok(None) };
        let token = kept::written(token, &self.options.table, kept.written, kept.swallowed);
        let same = kept.is(&token, &rows.outputs, &rows.order.places);
        // Nothing has taken effect before its commit: if its session has ended, everything is written again.
        if !same || tokens::restate(&self.server, &transaction, &self.schema, &token).await.is_err() {
            end(transaction).await;
            return Ok(None);
        }
        transaction.commit().await.map_err(|error| self.failed(&error))?;
        Ok(Some(Written { rows: kept.written, swallowed: kept.swallowed }))
    }

    /// Checks that rows rejected before anything was sent would be rejected by the table as it is now.
    async fn same_as_refused(&self) -> Result<(), Error> {
        match &self.target {
            Some(target) if self.kept.is_none() => self.same(target, &self.server.connection().await?).await,
            _ => Ok(()),
        }
    }

    /// Reads a changed table again. False: rows of the same demand can't be written to it any more, or the next opening
    /// has to report an obstacle.
    async fn look_again(&mut self) -> bool {
        let Some(known) = self.target.clone() else { return false };
        let Ok(mut client) = self.server.connection().await else { return false };
        let options = self.options.for_rows_of(&known.layout);
        let mut added = self.added.clone();
        let at = (self.schema.as_str(), &self.claim);
        let now = target::prepare(&self.server, &mut client, &options, at, None, &mut added, self.wait).await;
        let Ok(Some((now, _))) = now else { return false };
        let same = now.layout.demand() == known.layout.demand();
        if same {
            self.target = Some(Arc::new(now));
        }
        same
    }

    async fn commit_to_what_is_there(
        &mut self,
        outputs: &Arc<[Output]>,
        token: &Token,
    ) -> Result<Committed, CommitError> {
        let mut looks = 0;
        loop {
            let done = match self.try_commit(outputs, token).await {
                Err(CommitError::Rejected(rows)) => self
                    .same_as_refused()
                    .await
                    .map_or_else(|error| Err(error.into()), |()| Err(CommitError::Rejected(rows))),
                done => done,
            };
            match done {
                // Connections that find different tables under the name (by their `search_path`) would never agree.
                Err(CommitError::Failed(Error::Transient { code: CHANGED, .. }))
                    if looks < MAX_LOOKS && self.look_again().await =>
                {
                    looks += 1;
                }
                Ok(committed) => {
                    self.pages.committed(&token.positions);
                    return Ok(committed);
                }
                failed => return failed,
            }
        }
    }

    async fn try_commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let Some(rows) = self.rows(outputs).await? else {
            self.release().await;
            return match self.write(None, token).await {
                Ok(written) => Ok(self.committed(written)),
                Err(failure) => Err(failure.of_all(self)),
            };
        };
        if let Some(written) = self.commit_kept(&rows, token).await? {
            return Ok(self.committed(written));
        }
        let mut conflicts = 0;
        let written = loop {
            let encoded = rows.encode(0..rows.len()).await?.map_err(|refused| rows.rejected(refused))?;
            match self.write(Some((&rows, encoded)), token).await {
                Err(Failure::Other(CommitError::Failed(Error::Transient { code: "conflict", .. })))
                    if conflicts < MAX_CONFLICTS =>
                {
                    conflicts += 1;
                }
                written => break written,
            }
        };
        let written = match written {
            Ok(written) => written,
            Err(Failure::Rows(_, named)) => self.search(&rows, token, named).await?,
            Err(Failure::Other(error)) => return Err(error),
        };
        Ok(self.committed(written))
    }

    /// Corrects the token if other rows were written than it says, or some without an effect.
    async fn restate(
        &self,
        transaction: &Transaction,
        token: &Token,
        expected: u64,
        written: Written,
    ) -> Result<(), Error> {
        if written.rows == expected && written.swallowed == 0 {
            return Ok(());
        }
        let token = kept::written(token, &self.options.table, written.rows, written.swallowed);
        tokens::restate(&self.server, transaction, &self.schema, &token).await
    }
}

/// Ends a transaction and discards its effects. If that fails, its connection is closed, and the server rolls it back.
async fn end(transaction: Transaction) {
    if let Err(error) = transaction.roll_back().await {
        tracing::debug!(%error, "a transaction ends with its connection");
    }
}

/// Undoes the previous part.
const UNDO: &str = "rollback to savepoint part";

/// Writes a commit part by part: a rejected part leaves nothing.
struct Parts<'a> {
    writer: &'a PostgresWriter,
    rows: &'a Rows,
    transaction: &'a Transaction,
    /// The statements before the next part.
    before: &'static str,
    written: Written,
}

impl Parts<'_> {
    async fn write(&mut self, part: Range<usize>) -> Result<(), Failure> {
        let encoded = self.rows.encode(part).await?.map_err(|refused| Failure::Other(self.rows.rejected(refused)))?;
        // Sent together, so that a part costs one round trip.
        let (began, done) =
            futures::join!(self.transaction.batch_execute(self.before), pipeline::send(self.transaction, encoded));
        began.map_err(|error| self.writer.failed(&error))?;
        match done {
            Ok(count) => {
                self.written += count;
                self.before = "release savepoint part; savepoint part";
                Ok(())
            }
            Err(error) => {
                self.before = UNDO;
                Err(self.writer.failure(error))
            }
        }
    }

    /// Keeps what was written, and undoes a part that was rejected last.
    async fn end(&mut self) -> Result<(), tokio_postgres::Error> {
        match self.before == UNDO {
            true => self.transaction.batch_execute(UNDO).await,
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Writer for PostgresWriter {
    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        self.release().await;
        if self.target.is_some() {
            self.options.grows = true;
        }
        let mut client = self.server.connection().await?;
        let prepared = target::prepare(
            &self.server,
            &mut client,
            &self.options,
            (&self.schema, &self.claim),
            Some(columns),
            &mut self.added,
            self.wait,
        )
        .await?;
        self.target = prepared.map(|(target, _)| Arc::new(target));
        if let Some(target) = &self.target {
            self.options = self.options.clone().as_before(Some(&Remembered::of(&self.options, &target.layout)));
        }
        Ok(demand(self.target.as_deref()))
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let (server, table) = (self.server.clone(), ddl::quote_table(&self.options.table));
        let mut work = pin!(self.commit_to_what_is_there(outputs, token));
        let mut holders: Option<String> = None;
        loop {
            let look = async {
                tokio::time::sleep(LONG).await;
                holders::of(&server, &table).await
            };
            let done = tokio::select! {
                done = &mut work => done,
                found = look => {
                    holders = found.ok().flatten().or(holders);
                    continue;
                }
            };
            return match (done, holders) {
                (Err(CommitError::Failed(Error::Transient { code: "locked", message, .. })), Some(holders)) => {
                    Err(Error::transient("locked", format!("{message}; blocked by {holders}")).into())
                }
                (done, _) => done,
            };
        }
    }

    fn warnings(&mut self) -> Vec<Warning> {
        kept::swallowed(&self.options.table, std::mem::take(&mut self.swallowed))
    }

    async fn release(&mut self) {
        if let Some((_, transaction)) = self.kept.take() {
            end(transaction).await;
        }
    }

    async fn close(mut self: Box<Self>) {
        self.release().await;
    }
}
