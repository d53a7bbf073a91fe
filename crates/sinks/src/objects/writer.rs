//! Writing: rows go into open objects, whose parts are uploaded as they get whole; a seal uploads the rest; what a journal counts
//! is completed.
use super::{
    avro,
    columns::Columns,
    copies::Copies,
    handle::Handle,
    layout::{Format, Layout},
    object::Part,
    open_objects::OpenObjects,
    record::{Kept, Upload},
    store::Store,
};
use crate::blocking::Owned;
use async_trait::async_trait;
use dataflow_core::{ledger::Counters, position::Positions, token::Token, types::Type};
use dataflow_s3::Trouble;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Output, Warning},
    sink::{CommitError, Committed, Seal, Sealed, Writer},
};
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

/// Requests of a lane that are under way at a time.
const AT_ONCE: usize = 8;

/// The writer of a lane.
pub(super) struct ObjectWriter {
    pub(super) config: Arc<Layout>,
    pub(super) store: Store,
    pub(super) record: Kept,
    pub(super) columns: Columns,
    pub(super) objects: Owned<OpenObjects>,
    pub(super) copies: Copies,
    /// What the names of the generation's objects have in common.
    pub(super) series: String,
    /// What the ledger counts before this generation.
    pub(super) before: Counters,
    /// Where the lane is with its last commit, and where it was with what is published.
    pub(super) sequence: u64,
    pub(super) positions: Arc<Positions>,
    pub(super) published: Arc<Positions>,
}

fn closed() -> Error {
    Error::fatal("internal", "the sink was closed")
}

impl ObjectWriter {
    fn objects(&self) -> Result<std::sync::MutexGuard<'_, OpenObjects>, Error> {
        self.objects.get().ok_or_else(closed)
    }

    /// Uploads parts. The ids of new uploads are recorded before anything is sent to them.
    async fn upload(&mut self, parts: Vec<Part>) -> Result<(), Error> {
        if parts.is_empty() {
            return Ok(());
        }
        self.copies.keep(&parts).await?;
        let mut fresh: Vec<String> = Vec::new();
        {
            let mut objects = self.objects()?;
            for part in &parts {
                if fresh.last() != Some(&part.key) && objects.upload(&part.key).is_none() {
                    fresh.push(part.key.clone());
                }
            }
        }
        if !fresh.is_empty() {
            let begin = |key: String| {
                let store = self.store.clone();
                async move { store.begin(&key).await.map(|upload| (key, upload)) }
            };
            let begun: Vec<(String, String)> = stream::iter(fresh.into_iter().map(begin))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await
                .map_err(Trouble::error)?;
            {
                let mut objects = self.objects()?;
                begun.into_iter().for_each(|(key, upload)| objects.begun(&key, upload));
            }
            self.note().await?;
        }
        let mut put = Vec::with_capacity(parts.len());
        {
            let mut objects = self.objects()?;
            for part in parts {
                let upload = objects.upload(&part.key).ok_or_else(closed)?;
                let store = self.store.clone();
                put.push(async move {
                    let put = store.put_part(&part.key, &upload, part.number, part.bytes).await;
                    put.map(|etag| (part.key, part.number, etag))
                });
            }
        }
        let mut put = stream::iter(put).buffer_unordered(AT_ONCE);
        while let Some(uploaded) = put.next().await {
            let (key, number, etag) = uploaded.map_err(|trouble| match trouble {
                Trouble::Gone => {
                    Error::transient("conflict", "an upload was aborted by others while its parts were sent")
                }
                trouble => trouble.error(),
            })?;
            self.objects()?.uploaded(&key, number, etag);
        }
        Ok(())
    }

    /// Records the uploads that are under way.
    async fn note(&mut self) -> Result<(), Error> {
        let uploads: Vec<Upload> = {
            let objects = self.objects()?;
            objects.uploads().map(|(key, id)| Upload { key: key.into(), id: id.into() }).collect()
        };
        self.record.record.uploads = uploads;
        self.record.write().await
    }
}

#[async_trait]
impl Writer for ObjectWriter {
    fn is_untyped(&self) -> bool {
        self.config.format == Format::Csv
    }

    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        let untyped = self.is_untyped();
        let fitted = |column: &Column| Column { name: column.name.clone(), ty: fitted(column.ty, untyped) };
        // Objects of rows of nulls have columns, too; otherwise a typed column waits for a value.
        let valueless = |column: &Column| column.ty == Type::Any;
        let waits = !untyped && !columns.iter().all(valueless);
        let mut wanted: Vec<Column> =
            columns.iter().filter(|column| !(waits && valueless(column))).map(fitted).collect();
        if let (Some(names), true) = (&self.config.columns, self.columns.all.is_empty()) {
            wanted =
                names.iter().filter_map(|name| wanted.iter().find(|column| column.name == *name)).cloned().collect();
        }
        if self.config.format == Format::Avro {
            avro::names_kept(&mut wanted);
        }
        self.columns.add(&wanted).await?;
        // Objects that are open keep the columns that they began with.
        let all = self.columns.all.clone();
        let parts = self.objects.with(move |objects, _| {
            let parts = objects.finish_all()?;
            objects.columns = all;
            Ok::<_, Error>(parts)
        });
        let parts = parts.await?;
        self.upload(parts).await?;
        Ok(self.columns.demand())
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let (taken, commit) = (outputs.clone(), token.sequence);
        let (rows_written, parts) = self.objects.with(move |objects, _| objects.take(&taken, commit)).await?;
        self.upload(parts).await?;
        (self.sequence, self.positions) = (token.sequence, token.positions.clone());
        Ok(Committed { rows_written })
    }

    fn warnings(&mut self) -> Vec<Warning> {
        self.objects().map(|mut objects| objects.warnings()).unwrap_or_default()
    }

    async fn seal(&mut self, how_much: Seal) -> Result<Sealed, Error> {
        {
            let objects = self.objects()?;
            if how_much == Seal::Due && objects.has_open() && !objects.is_due() {
                return Ok(Sealed::NotYet);
            }
        }
        let parts = self.objects.with(|objects, _| objects.finish_all()).await?;
        self.upload(parts).await?;
        let mut handle = self.record.record.handle(&self.series, self.sequence);
        handle.objects.clone_from(&self.objects()?.sealed);
        if !handle.objects.is_empty() {
            let moved = self.published.iter().filter(|(partition, at)| self.positions.get(*partition) != Some(at));
            handle.from = moved.map(|(partition, at)| (partition.clone(), at.clone())).collect();
            let first = self.positions.keys().filter(|partition| !self.published.contains_key(*partition));
            handle.whole = first.cloned().collect();
        }
        Ok(Sealed::Handle(handle.to_json()?))
    }

    async fn publish(&mut self, handle: &serde_json::Value, token: &Token) -> Result<Option<serde_json::Value>, Error> {
        let handle = Handle::from_json(handle)?;
        if handle.objects.is_empty() {
            return Ok(None);
        }
        // First, so that a journal that is older than this one is noticed by what it lacks.
        let record = &mut self.record.record;
        record.counted = handle.sequence;
        record.ledger = self.before;
        record.ledger.add(&token.counters);
        record.published.retain(|key| handle.objects.iter().any(|object| object.key == *key));
        self.published = token.positions.clone();
        self.note().await?;
        self.record.complete(&handle, &self.copies, Some(&token.positions)).await?;
        self.copies.release(handle.objects.iter().map(|object| object.key.as_str()));
        let published = &self.record.record.published;
        self.objects()?.sealed.retain(|object| !published.contains(&object.key));
        Ok(Some(handle.published().to_json()?))
    }

    async fn close(self: Box<Self>) {
        if let Err(error) = self.objects.close().await {
            tracing::debug!(%error, "open objects can't be let go of");
        }
    }
}

/// The type of a column. Parquet has none for any number: a double holds what most are, exactly or as its shortest text says, and
/// what it can't hold is a dead letter.
fn fitted(ty: Type, untyped: bool) -> Type {
    match ty {
        _ if untyped => Type::Any,
        Type::Number => Type::Double,
        Type::Any => Type::Json,
        ty => ty,
    }
}
