//! A connector whose texts have no secrets in them: all that it says passes through here.
//!
//! A method that is added to one of these traits must be forwarded here: the lint `missing_trait_methods` enforces it.
use super::redactor::Redactor;
use crate::{
    Context, Error, Problem,
    audit::{Audit, Audited, Auditor, Example, Finding, Findings, Unwritten},
    batch::{Column, Demand, Notice, Output, Warning},
    extent::Extents,
    sink::{CommitError, Committed, OpenLane, Opened, RejectedRow, Seal, Sealed, Sink, Traces, Writer},
    source::{Assignment, Edge, LagUnit, Placed, Read, Reader, Source},
};
use async_trait::async_trait;
use dataflow_core::{
    position::{Partition, Position, Positions},
    token::{Fence, Token},
    warned::Warned,
};
use serde_json::Value;
use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

impl Redactor {
    fn error(&self, error: Error) -> Error {
        match error {
            Error::Transient { code, message, fix } => {
                Error::Transient { code, message: self.owned(message), fix: fix.map(|fix| self.owned(fix)) }
            }
            Error::Fatal { code, message, fix, retryable } => {
                Error::Fatal { code, message: self.owned(message), fix: fix.map(|fix| self.owned(fix)), retryable }
            }
            Error::Contradicts { code, message, fix, begins, ledger } => {
                Error::Contradicts { code, message: self.owned(message), fix: self.owned(fix), begins, ledger }
            }
            Error::Fenced(message) => Error::Fenced(self.owned(message)),
            Error::PositionLost { partition, wanted, earliest, latest, reason } => {
                Error::PositionLost { partition, wanted, earliest, latest, reason: self.owned(reason) }
            }
        }
    }

    /// The same finding without any secret in it.
    pub(super) fn problem(&self, problem: Problem) -> Problem {
        if self.is_empty() {
            return problem;
        }
        Problem { message: self.owned(problem.message), fix: problem.fix.map(|fix| self.owned(fix)), ..problem }
    }

    fn commit_error(&self, error: CommitError) -> CommitError {
        match error {
            CommitError::Failed(error) => CommitError::Failed(self.error(error)),
            CommitError::Rejected(rows) => CommitError::Rejected(
                rows.into_iter().map(|row| RejectedRow { cause: self.owned(row.cause), ..row }).collect(),
            ),
        }
    }

    fn warning(&self, warning: Warning) -> Warning {
        Warning { subject: self.owned(warning.subject), message: self.owned(warning.message), ..warning }
    }

    fn notice(&self, notice: Notice) -> Notice {
        match notice {
            Notice::Holds(warned) => Notice::Holds(Warned {
                subject: self.owned(warned.subject),
                message: self.owned(warned.message),
                ..warned
            }),
            Notice::Over { code, subject } => Notice::Over { code, subject: self.owned(subject) },
        }
    }

    /// Of rows and fields, which are the user's data, nothing is hidden; only where in the target they are.
    fn findings(&self, findings: Findings) -> Findings {
        let example = |example: Example| Example { place: example.place.map(|place| self.owned(place)), ..example };
        let finding =
            |finding: Finding| Finding { examples: finding.examples.into_iter().map(example).collect(), ..finding };
        let unwritten = |field: Unwritten| Unwritten { example: example(field.example), ..field };
        let Findings { expected, found, lost, doubled, altered, unexpected, unwritten: fields, unverifiable } =
            findings;
        Findings {
            expected,
            found,
            lost: finding(lost),
            doubled: finding(doubled),
            altered: finding(altered),
            unexpected: finding(unexpected),
            unwritten: fields.into_iter().map(unwritten).collect(),
            unverifiable: unverifiable.into_iter().map(|reason| self.owned(reason)).collect(),
        }
    }
}

/// A part of a connector, and the secrets that it was given.
struct Guarded<T> {
    inner: T,
    redactor: Arc<Redactor>,
    /// Files that the connection of the node's settings names: the operator's own, which have no limits.
    granted: Vec<PathBuf>,
}

impl<T> Guarded<T> {
    /// The same for something that opens no files.
    fn of<U>(&self, inner: U) -> Guarded<U> {
        Guarded { inner, redactor: self.redactor.clone(), granted: Vec::new() }
    }

    fn with<'a>(&self, cx: &'a Context) -> Cow<'a, Context> {
        match self.granted.is_empty() {
            true => Cow::Borrowed(cx),
            false => Cow::Owned(Context { paths: Arc::new(cx.paths.granting(&self.granted)), ..cx.clone() }),
        }
    }
}

/// Without the connector, whose settings hold the secrets.
impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

/// The same source, saying nothing of its secrets, which may read the `granted` files.
pub(super) fn source(inner: Box<dyn Source>, redactor: Arc<Redactor>, granted: Vec<PathBuf>) -> Box<dyn Source> {
    if redactor.is_empty() && granted.is_empty() { inner } else { Box::new(Guarded { inner, redactor, granted }) }
}

/// The same sink, saying nothing of its secrets, which may read the `granted` files.
pub(super) fn sink(inner: Box<dyn Sink>, redactor: Arc<Redactor>, granted: Vec<PathBuf>) -> Box<dyn Sink> {
    if redactor.is_empty() && granted.is_empty() { inner } else { Box::new(Guarded { inner, redactor, granted }) }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Guarded<Box<dyn Source>> {
    fn single_lane(&self) -> bool {
        self.inner.single_lane()
    }

    async fn partitions(&self, cx: &Context) -> Result<Vec<Partition>, Error> {
        self.inner.partitions(&self.with(cx)).await.map_err(|error| self.redactor.error(error))
    }

    async fn plan(&self, cx: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        self.inner.plan(&self.with(cx), known).await.map_err(|error| self.redactor.error(error))
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let inner = self.inner.open(&self.with(cx), lane).await.map_err(|error| self.redactor.error(error))?;
        Ok(Box::new(self.of(inner)))
    }

    fn beginning(&self) -> Position {
        self.inner.beginning()
    }

    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        self.inner.order(one, other)
    }

    fn between(&self, from: Option<&Position>, to: &Position) -> Option<u64> {
        self.inner.between(from, to)
    }

    fn is_same(&self, one: &Position, other: &Position) -> bool {
        self.inner.is_same(one, other)
    }

    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        self.inner.resolve(&self.with(cx), to).await.map_err(|error| self.redactor.error(error))
    }

    async fn given_up(&self, cx: &Context, from: &Positions, to: Positions) -> Result<Positions, Error> {
        self.inner.given_up(&self.with(cx), from, to).await.map_err(|error| self.redactor.error(error))
    }

    async fn lines(&self, cx: &Context, records: Vec<Placed>) -> Vec<Option<u64>> {
        self.inner.lines(&self.with(cx), records).await
    }

    async fn extents(&self, cx: &Context) -> Result<Extents, Error> {
        self.inner.extents(&self.with(cx)).await.map_err(|error| self.redactor.error(error))
    }

    fn renames(&self) -> bool {
        self.inner.renames()
    }

    fn lag_unit(&self) -> LagUnit {
        self.inner.lag_unit()
    }
    async fn lag(&self, cx: &Context, at: &Positions) -> Result<Option<u64>, Error> {
        self.inner.lag(&self.with(cx), at).await.map_err(|error| self.redactor.error(error))
    }

    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        self.inner.count(&self.with(cx), from, to).await.map_err(|error| self.redactor.error(error))
    }

    async fn place(
        &self,
        cx: &Context,
        at: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let placed = self.inner.place(&self.with(cx), at, named).await.map_err(|error| self.redactor.error(error))?;
        Ok(placed.map_err(|problems| problems.into_iter().map(|problem| self.redactor.problem(problem)).collect()))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Reader for Guarded<Box<dyn Reader>> {
    async fn read(&mut self) -> Result<Read, Error> {
        self.inner.read().await.map_err(|error| self.redactor.error(error))
    }

    fn lag(&self) -> Option<u64> {
        self.inner.lag()
    }

    fn warnings(&mut self) -> Vec<Notice> {
        self.inner.warnings().into_iter().map(|notice| self.redactor.notice(notice)).collect()
    }

    fn appeared(&mut self) -> Vec<(Partition, Position)> {
        self.inner.appeared()
    }

    fn assign(&mut self, planned: Positions) {
        self.inner.assign(planned);
    }

    fn checkpointed(&mut self, positions: &Positions) {
        self.inner.checkpointed(positions);
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Sink for Guarded<Box<dyn Sink>> {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let opened = self.inner.open(&self.with(cx), lane).await.map_err(|error| self.redactor.error(error))?;
        let warnings = opened.warnings.into_iter().map(|warning| self.redactor.warning(warning)).collect();
        let writer = Box::new(self.of(opened.writer));
        Ok(Opened { writer, warnings, ..opened })
    }

    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        self.inner.token(&self.with(cx), fence).await.map_err(|error| self.redactor.error(error))
    }

    async fn missing(&self, cx: &Context, handle: &Value, rows: u64) -> Result<Option<u64>, Error> {
        self.inner.missing(&self.with(cx), handle, rows).await.map_err(|error| self.redactor.error(error))
    }

    fn recognizes(&self, handle: Option<&Value>) -> bool {
        self.inner.recognizes(handle)
    }

    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        self.inner.is_target_of(&self.with(cx), traces).await.map_err(|error| self.redactor.error(error))
    }

    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        let audited = self.inner.audit(&self.with(cx), audit).await.map_err(|error| self.redactor.error(error))?;
        let guard = |Audited { auditor: inner, demand, not_durable }| Audited {
            auditor: Box::new(self.of(inner)),
            demand,
            not_durable,
        };
        Ok(audited.map(guard))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Writer for Guarded<Box<dyn Writer>> {
    fn is_untyped(&self) -> bool {
        self.inner.is_untyped()
    }

    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        self.inner.define(columns).await.map_err(|error| self.redactor.error(error))
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        self.inner.commit(outputs, token).await.map_err(|error| self.redactor.commit_error(error))
    }

    fn warnings(&mut self) -> Vec<Warning> {
        self.inner.warnings().into_iter().map(|warning| self.redactor.warning(warning)).collect()
    }

    async fn release(&mut self) {
        self.inner.release().await;
    }

    async fn seal(&mut self, how_much: Seal) -> Result<Sealed, Error> {
        self.inner.seal(how_much).await.map_err(|error| self.redactor.error(error))
    }

    async fn salvage(&mut self) -> Option<Value> {
        self.inner.salvage().await
    }

    async fn publish(&mut self, handle: &Value, token: &Token) -> Result<Option<Value>, Error> {
        self.inner.publish(handle, token).await.map_err(|error| self.redactor.error(error))
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Auditor for Guarded<Box<dyn Auditor>> {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        self.inner.expect(rows).await.map_err(|error| self.redactor.error(error))
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let refusals = self.inner.refusals(output).await.map_err(|error| self.redactor.error(error))?;
        Ok(refusals.into_iter().map(|cause| cause.map(|cause| self.redactor.owned(cause))).collect())
    }

    fn is_own_reason(&self, cause: &str) -> bool {
        self.inner.is_own_reason(cause)
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        let Self { inner, redactor, .. } = *self;
        inner.finish().await.map(|findings| redactor.findings(findings)).map_err(|error| redactor.error(error))
    }
}
