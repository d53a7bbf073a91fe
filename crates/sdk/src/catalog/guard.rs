//! A connector whose texts have no secrets in them: all that it says passes through here.
//!
//! A method that is added to one of these traits must be forwarded here: the lint `missing_trait_methods` enforces it.
use super::redactor::Redactor;
use crate::{
    Context, Error, Problem,
    audit::{Audit, Audited, Auditor, Example, Finding, Findings, Unwritten},
    batch::{Column, Demand, Output, Warning},
    extent::Extents,
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, RejectedRow, Seal, Sealed, Sink, Traces, Writer},
    source::{Assignment, Place, Placed, Read, Reader, Source},
};
use async_trait::async_trait;
use dataflow_core::{
    position::{Partition, Position, Positions},
    token::{Fence, Token},
};
use serde_json::Value;
use std::{cmp::Ordering, collections::BTreeMap, fmt, sync::Arc};

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

    /// Of rows and fields, which are the user's data, nothing is hidden; only where in the target they are.
    fn findings(&self, findings: Findings) -> Findings {
        let example = |example: Example| Example { place: example.place.map(|place| self.owned(place)), ..example };
        let finding =
            |finding: Finding| Finding { examples: finding.examples.into_iter().map(example).collect(), ..finding };
        let unwritten = |field: Unwritten| Unwritten { example: example(field.example), ..field };
        let Findings { expected, found, lost, doubled, altered, unexpected, unwritten: fields } = findings;
        Findings {
            expected,
            found,
            lost: finding(lost),
            doubled: finding(doubled),
            altered: finding(altered),
            unexpected: finding(unexpected),
            unwritten: fields.into_iter().map(unwritten).collect(),
        }
    }
}

/// A part of a connector, and the secrets that it was given.
struct Guarded<T> {
    inner: T,
    redactor: Arc<Redactor>,
}

/// Without the connector, whose settings hold the secrets.
impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

/// The same source, saying nothing of its secrets.
pub(super) fn source(inner: Box<dyn Source>, redactor: &Arc<Redactor>) -> Box<dyn Source> {
    if redactor.is_empty() { inner } else { Box::new(Guarded { inner, redactor: redactor.clone() }) }
}

/// The same sink, saying nothing of its secrets.
pub(super) fn sink(inner: Box<dyn Sink>, redactor: &Arc<Redactor>) -> Box<dyn Sink> {
    if redactor.is_empty() { inner } else { Box::new(Guarded { inner, redactor: redactor.clone() }) }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Guarded<Box<dyn Source>> {
    fn single_lane(&self) -> bool {
        self.inner.single_lane()
    }

    async fn partitions(&self, cx: &Context) -> Result<Vec<Partition>, Error> {
        self.inner.partitions(cx).await.map_err(|error| self.redactor.error(error))
    }

    async fn plan(&self, cx: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        self.inner.plan(cx, known).await.map_err(|error| self.redactor.error(error))
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let inner = self.inner.open(cx, lane).await.map_err(|error| self.redactor.error(error))?;
        Ok(Box::new(Guarded { inner, redactor: self.redactor.clone() }))
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

    async fn resolve(&self, cx: &Context, to: &Place) -> Result<Positions, Error> {
        self.inner.resolve(cx, to).await.map_err(|error| self.redactor.error(error))
    }

    async fn given_up(&self, cx: &Context, from: &Positions, to: Positions) -> Result<Positions, Error> {
        self.inner.given_up(cx, from, to).await.map_err(|error| self.redactor.error(error))
    }

    async fn lines(&self, cx: &Context, records: Vec<Placed>) -> Vec<Option<u64>> {
        self.inner.lines(cx, records).await
    }

    async fn extents(&self, cx: &Context) -> Result<Extents, Error> {
        self.inner.extents(cx).await.map_err(|error| self.redactor.error(error))
    }

    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        self.inner.count(cx, from, to).await.map_err(|error| self.redactor.error(error))
    }

    async fn place(
        &self,
        cx: &Context,
        at: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let placed = self.inner.place(cx, at, named).await.map_err(|error| self.redactor.error(error))?;
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

    fn warnings(&mut self) -> Vec<Warning> {
        self.inner.warnings().into_iter().map(|warning| self.redactor.warning(warning)).collect()
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
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Sink for Guarded<Box<dyn Sink>> {
    fn delivery(&self) -> DeliveryMode {
        self.inner.delivery()
    }

    fn single_lane(&self) -> bool {
        self.inner.single_lane()
    }

    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let opened = self.inner.open(cx, lane).await.map_err(|error| self.redactor.error(error))?;
        let warnings = opened.warnings.into_iter().map(|warning| self.redactor.warning(warning)).collect();
        let writer = Box::new(Guarded { inner: opened.writer, redactor: self.redactor.clone() });
        Ok(Opened { writer, warnings, ..opened })
    }

    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        self.inner.token(cx, fence).await.map_err(|error| self.redactor.error(error))
    }

    async fn missing(&self, cx: &Context, handle: &Value, rows: u64) -> Result<Option<u64>, Error> {
        self.inner.missing(cx, handle, rows).await.map_err(|error| self.redactor.error(error))
    }

    fn recognizes(&self, handle: Option<&Value>) -> bool {
        self.inner.recognizes(handle)
    }

    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        self.inner.is_target_of(cx, traces).await.map_err(|error| self.redactor.error(error))
    }

    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        let audited = self.inner.audit(cx, audit).await.map_err(|error| self.redactor.error(error))?;
        let guard = |Audited { auditor: inner, demand, not_durable }| Audited {
            auditor: Box::new(Guarded { inner, redactor: self.redactor.clone() }),
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

    async fn commit(&mut self, outputs: &[Output], token: &Token) -> Result<Committed, CommitError> {
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

    async fn publish(&mut self, handle: &Value) -> Result<(), Error> {
        self.inner.publish(handle).await.map_err(|error| self.redactor.error(error))
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
        let Self { inner, redactor } = *self;
        inner.finish().await.map(|findings| redactor.findings(findings)).map_err(|error| redactor.error(error))
    }
}
