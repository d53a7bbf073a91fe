//! The fault points around sources and sinks.
use super::{Faults, Point};
use async_trait::async_trait;
use dataflow_core::{
    pipeline::command::Change,
    position::{Partition, Position, Positions},
    problem::Problem,
    spec::{Component, PipelineSpec},
    token::{Fence, Token},
};
use dataflow_engine::parts::Plugins;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited},
    batch::{Column, Demand, Output, Warning},
    catalog::BuiltSink,
    declared::Declared,
    extent::Extents,
    sink::{CommitError, Committed, OpenLane, Opened, Seal, Sealed, Sink, Traces, Writer},
    source::{Assignment, Edge, LagUnit, Placed, Reader, Source},
    transform::Compiler,
};
use serde_json::Value;
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// Connectors with fault points around opening and writing.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Plugins>,
    pub(super) faults: Arc<Faults>,
}

impl Plugins for Watched {
    fn check(&self, spec: &PipelineSpec) -> Vec<Problem> {
        self.inner.check(spec)
    }

    fn source(&self, component: &Component) -> Result<Box<dyn Source>, Vec<Problem>> {
        let inner = self.inner.source(component)?;
        Ok(Box::new(WatchedSource { inner, faults: self.faults.clone() }))
    }

    fn sink(&self, component: &Component) -> Result<BuiltSink, Vec<Problem>> {
        let built = self.inner.sink(component)?;
        Ok(BuiltSink { sink: Box::new(WatchedSink { inner: built.sink, faults: self.faults.clone() }), ..built })
    }

    fn declared(&self, spec: &PipelineSpec) -> Declared {
        self.inner.declared(spec)
    }

    fn compiler(&self) -> &dyn Compiler {
        self.inner.compiler()
    }

    fn change(&self, before: &PipelineSpec, after: &PipelineSpec, positions: &Positions) -> Change {
        self.inner.change(before, after, positions)
    }

    fn target(&self, sink: &Component) -> String {
        self.inner.target(sink)
    }

    fn same_target(&self, one: &Component, other: &Component) -> bool {
        self.inner.same_target(one, other)
    }

    fn redact(&self, component: &Component) -> Component {
        self.inner.redact(component)
    }
}

#[derive(Debug)]
struct WatchedSource {
    inner: Box<dyn Source>,
    faults: Arc<Faults>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for WatchedSource {
    fn single_lane(&self) -> bool {
        self.inner.single_lane()
    }

    async fn partitions(&self, cx: &Context) -> Result<Vec<Partition>, Error> {
        self.inner.partitions(cx).await
    }

    async fn plan(&self, cx: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        self.inner.plan(cx, known).await
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        self.faults.with(Point::SourceOpen, self.inner.open(cx, lane)).await
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
        self.inner.resolve(cx, to).await
    }

    async fn given_up(&self, cx: &Context, from: &Positions, to: Positions) -> Result<Positions, Error> {
        self.inner.given_up(cx, from, to).await
    }

    async fn extents(&self, cx: &Context) -> Result<Extents, Error> {
        self.inner.extents(cx).await
    }

    fn renames(&self) -> bool {
        self.inner.renames()
    }

    fn lag_unit(&self) -> LagUnit {
        self.inner.lag_unit()
    }
    async fn lag(&self, cx: &Context, at: &Positions) -> Result<Option<u64>, Error> {
        self.inner.lag(cx, at).await
    }

    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        self.inner.count(cx, from, to).await
    }

    async fn lines(&self, cx: &Context, records: Vec<Placed>) -> Vec<Option<u64>> {
        self.inner.lines(cx, records).await
    }

    async fn place(
        &self,
        cx: &Context,
        at: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        self.inner.place(cx, at, named).await
    }
}

#[derive(Debug)]
struct WatchedSink {
    inner: Box<dyn Sink>,
    faults: Arc<Faults>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Sink for WatchedSink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let opened = self.faults.with(Point::SinkOpen, self.inner.open(cx, lane)).await?;
        Ok(Opened { writer: Box::new(WatchedWriter { inner: opened.writer, faults: self.faults.clone() }), ..opened })
    }

    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        self.inner.token(cx, fence).await
    }

    async fn missing(&self, cx: &Context, handle: &Value, rows: u64) -> Result<Option<u64>, Error> {
        self.inner.missing(cx, handle, rows).await
    }

    fn recognizes(&self, handle: Option<&Value>) -> bool {
        self.inner.recognizes(handle)
    }

    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        self.inner.is_target_of(cx, traces).await
    }

    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        self.inner.audit(cx, audit).await
    }
}

struct WatchedWriter {
    inner: Box<dyn Writer>,
    faults: Arc<Faults>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Writer for WatchedWriter {
    fn is_untyped(&self) -> bool {
        self.inner.is_untyped()
    }

    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        self.faults.with(Point::Define, self.inner.define(columns)).await
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        self.faults.with(Point::SinkCommit, self.inner.commit(outputs, token)).await
    }

    fn warnings(&mut self) -> Vec<Warning> {
        self.inner.warnings()
    }

    async fn release(&mut self) {
        self.inner.release().await;
    }

    async fn seal(&mut self, how_much: Seal) -> Result<Sealed, Error> {
        if self.faults.seals_later(how_much) {
            return Ok(Sealed::NotYet);
        }
        self.faults.with(Point::Seal, self.inner.seal(how_much)).await
    }

    async fn salvage(&mut self) -> Option<Value> {
        self.inner.salvage().await
    }

    async fn publish(&mut self, handle: &Value, token: &Token) -> Result<Option<Value>, Error> {
        self.faults.with(Point::Publish, self.inner.publish(handle, token)).await
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}
