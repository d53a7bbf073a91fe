//! Opening a lane: fence, publish what the journal counts, and abort what was never sealed.
use super::{
    columns::Columns,
    copies::Copies,
    handle::Handle,
    layout::{Format, Layout},
    lost,
    open_objects::{Names, OpenObjects},
    record::{self, Begin, Kept, Record, Upload},
    store::{Store, Version},
    writer::ObjectWriter,
};
use crate::{blocking::Owned, owner::Owner};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Context, Error,
    batch::{Column, Demand},
    sink::{OpenLane, Opened, TakeOver},
};
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;

/// Opens a lane.
pub(super) async fn open(config: &Layout, store: Store, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
    let (root, fence) = (config.root(), &lane.fence);
    let key = record::key(&root, &fence.branch, fence.lane);
    let handle = lane.journalled.as_ref().and_then(|known| known.handle.as_ref()).map(Handle::from_json).transpose()?;
    let found = look(&store, &root, &key, &lane, handle.as_ref()).await?;
    let mut others = Vec::new();
    if fence.lane == 0 {
        others = surplus(&store, &root, &lane).await?;
        others.extend(of_other_branches(&store, &root, &lane).await?);
    }

    // From here on an owner of before can begin no upload, and so seal nothing that nobody knows of.
    let (before, version) = found.map_or((None, None), |(record, version)| (Some(record), Some(version)));
    let mut record = Record::new(&lane, before.as_ref(), handle.as_ref());
    record.uploads =
        left(before.as_ref(), &lane).chain(others.iter().flat_map(|(_, record)| left(Some(record), &lane))).collect();
    if handle.is_none() && fence.lane == 0 && !lane.sealed.is_empty() {
        record.published = record::published(&store, &root, &fence.branch).await?;
    }
    let begins = [(record.generation, record.begin.clone())].into();
    let mut kept = Kept { store: store.clone(), key, record, version };
    kept.write().await?;
    for (key, _) in &others {
        store.delete(key).await?;
    }

    let reached = lane.journalled.as_ref().filter(|_| handle.is_some()).map(|known| &known.positions);
    // Of a generation that nobody could settle, the first lane publishes all.
    let publishes = handle.is_some() || fence.lane == 0;
    let sealed: Vec<Handle> = match handle {
        Some(handle) => vec![handle],
        None => lane.sealed.iter().filter_map(|sealed| Handle::from_json(sealed).ok()).collect(),
    };
    let mut copies = Copies::new(cx, fence.lane, if store.may_forget() { config.max_open_bytes } else { 0 });
    for handle in sealed.iter().filter(|_| publishes) {
        kept.complete(handle, &copies, reached).await?;
    }
    copies.clear().await?;
    let counted: BTreeSet<&str> =
        sealed.iter().flat_map(|handle| &handle.objects).map(|object| object.upload.as_str()).collect();
    for Upload { key, id } in kept.record.uploads.iter().filter(|upload| !counted.contains(&*upload.id)) {
        store.abort(key, id).await?;
    }
    kept.record.uploads.clear();

    let series = kept.record.series(&fence.branch);
    let mut columns = Columns::open(&store, record::columns(&root, &fence.branch, &series)).await?;
    let demand = match (config.format, &config.columns) {
        (Format::Json, _) => Demand::Lines,
        (Format::Csv, Some(names)) if columns.all.is_empty() => {
            columns.all = names.iter().map(|name| Column { name: name.clone(), ty: Type::Any }).collect();
            columns.demand()
        }
        _ => columns.demand(),
    };
    let sequence = lane.journalled.as_ref().map_or(0, |known| known.sequence);
    let mut positions = lane.begin.clone();
    positions.extend(lane.journalled.iter().flat_map(|known| known.positions.clone()));
    let positions = Arc::new(positions);
    let (config, handle) = (Arc::new(config.clone()), kept.record.handle(&series, sequence));
    let nonce = format!("{:016x}", Uuid::new_v4().as_u64_pair().0);
    let objects = Owned::new(OpenObjects::new(
        config.clone(),
        columns.all.clone(),
        Names { series: series.clone(), lane: fence.lane, nonce },
    ));
    let writer = ObjectWriter {
        config,
        store,
        record: kept,
        columns,
        objects,
        copies,
        series,
        before: lane.counted,
        sequence,
        positions: positions.clone(),
        published: positions,
    };
    Ok(Opened {
        writer: Box::new(writer),
        token: None,
        others: Vec::new(),
        begins,
        demand,
        warnings: Vec::new(),
        handle: Some(handle.to_json()?),
    })
}

/// The record that is there, if the lane may be opened beside it; `handle` is what the journal has of it.
async fn look(
    store: &Store,
    root: &str,
    key: &str,
    lane: &OpenLane,
    handle: Option<&Handle>,
) -> Result<Option<(Record, Version)>, Error> {
    let place = store.place(key);
    let Some((bytes, version)) = store.read(key).await? else {
        if let Some(handle) = handle.filter(|handle| handle.counted > 0 && lane.fence.lane == 0)
            && published(store, root, &[Begin::of(&handle.series)]).await?.is_empty()
        {
            return Err(lost::missing(handle, lane, &place));
        }
        // A later generation with fewer lanes has no record of those that are over.
        let Some(journalled) = &lane.journalled else { return Ok(None) };
        let record = Record::new(lane, None, None);
        let begins = [Begin::after(&record.series(&lane.fence.branch), lane.fence.lane, journalled.sequence)];
        let objects = published(store, root, &begins).await?;
        return if objects.is_empty() { Ok(None) } else { Err(record.ahead(lane, &place, &objects, &begins)) };
    };
    let mut record = Record::from_json(&bytes)?;
    if let Some(handle) = handle.filter(|_| record.owner == Owner::of(lane)) {
        record.has_all_of(handle, lane, &place)?;
    }
    if let Some(journalled) = record.admits(lane, &place)? {
        // Unless somebody has removed them, what would be written again is there. Only who was told of it has removed it for that.
        let number = record::lane_of(key).unwrap_or_default();
        let mut begins = vec![Begin::after(&record.series(&lane.fence.branch), number, journalled)];
        if record.generation != lane.fence.generation {
            // What the one before published after the backup is of the generation that opens here.
            let own = record::series(&lane.fence.branch, &record.owner, lane.fence.generation);
            let journalled = lane.journalled.as_ref().filter(|_| number == lane.fence.lane);
            begins.push(Begin::after(&own, number, journalled.map_or(0, |known| known.sequence)));
        }
        begins.extend(record.unknown(lane).map(|of| Begin::of(&record::series(&lane.fence.branch, &record.owner, of))));
        let objects = published(store, root, &begins).await?;
        let gone = record.published.iter().any(|key| begins.iter().any(|begin| begin.is_of(key)));
        let has_published = gone || record.has_published_after(journalled);
        let was_refused = record.refused == Some(journalled);
        let starts_again = was_refused && lane.take_over == TakeOver::Nobody; // otherwise a user chooses
        if !objects.is_empty() || has_published && !starts_again {
            let refusal = record.ahead(lane, &place, &objects, &begins);
            if !was_refused {
                record.refused = Some(journalled);
                let mut kept = Kept { store: store.clone(), key: key.into(), record, version: Some(version) };
                kept.write().await?;
            }
            return Err(refusal);
        }
    }
    Ok(Some((record, version)))
}

/// The objects that are there whose names begin so.
async fn published(store: &Store, root: &str, begins: &[Begin]) -> Result<Vec<String>, Error> {
    let mut objects: Vec<String> = store.list(root).await?.into_iter().map(|(key, _)| key).collect();
    objects.retain(|key| begins.iter().any(|begin| begin.is_of(key)));
    objects.sort_unstable_by(|one, other| one.rsplit('/').next().cmp(&other.rsplit('/').next()));
    Ok(objects)
}

/// The records of lanes that this generation has not.
async fn surplus(store: &Store, root: &str, lane: &OpenLane) -> Result<Vec<(String, Record)>, Error> {
    let mut others = Vec::new();
    for (key, _) in store.list(&record::folder(root, &lane.fence.branch)).await? {
        if record::lane_of(&key).is_some_and(|number| number >= lane.lanes)
            && let Some((record, _)) = look(store, root, &key, lane, None).await?
        {
            others.push((key, record));
        }
    }
    Ok(others)
}

/// The records of the pipeline under another number of the branch that are taken over.
async fn of_other_branches(store: &Store, root: &str, lane: &OpenLane) -> Result<Vec<(String, Record)>, Error> {
    let mut others = Vec::new();
    for folder in record::other_branches(store, root, &lane.fence.branch).await? {
        for (key, _) in store.list(&folder).await? {
            let Some((bytes, _)) = store.read(&key).await?.filter(|_| record::lane_of(&key).is_some()) else {
                continue;
            };
            let record = Record::from_json(&bytes)?;
            if record.owner.is_taken_over(lane, !lane.siblings.contains(&record.generation), &store.place(&key))? {
                others.push((key, record));
            }
        }
    }
    Ok(others)
}

/// The uploads that an earlier opening of this very journal has left. Those of another journal are that one's to complete.
fn left<'a>(record: Option<&'a Record>, lane: &OpenLane) -> impl Iterator<Item = Upload> + use<'a> {
    let journal = Owner::of(lane).journal;
    record.filter(move |record| record.owner.journal == journal).into_iter().flat_map(|record| record.uploads.clone())
}
