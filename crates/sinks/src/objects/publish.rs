//! Publication: the uploads that a handle names become objects, each once, whoever takes which away in between.
use super::{
    copies::Copies,
    handle::{Handle, Object},
    record::Kept,
    store::{Completed, Store},
};
use bytes::Bytes;
use dataflow_core::position::Positions;
use dataflow_s3::Trouble;
use dataflow_sdk::Error;
use futures::future::join_all;

/// Uploads that are completed at a time.
const AT_ONCE: usize = 8;

impl Kept {
    /// Makes objects of all that a handle names and that is not known to be one, and notes it: whoever reads the store may take
    /// them away from then on. `reached`: where the lane is with them, if they are of its generation.
    pub(super) async fn complete(
        &mut self,
        handle: &Handle,
        copies: &Copies,
        reached: Option<&Positions>,
    ) -> Result<(), Error> {
        if reached.is_some() && self.record.through >= handle.sequence {
            return Ok(());
        }
        let open = handle.objects.iter().filter(|object| !self.record.published.contains(&object.key));
        let open: Vec<&Object> = open.collect();
        let (mut published, mut lost, mut failed) = (Vec::new(), Vec::new(), None);
        for some in open.chunks(AT_ONCE) {
            let completed = join_all(some.iter().map(|object| complete(&self.store, object, copies))).await;
            for (object, completed) in some.iter().zip(completed) {
                match completed {
                    Ok(true) => published.push(object.key.clone()),
                    Ok(false) => lost.push(*object),
                    Err(error) => failed = Some(error),
                }
            }
            if failed.is_some() {
                break;
            }
        }
        // What has become an object is noted in any case: it may be gone when this is tried again.
        if !published.is_empty() {
            if let (None, true, Some(reached)) = (&failed, lost.is_empty(), reached) {
                (self.record.through, self.record.reached) = (handle.sequence, reached.clone());
            }
            self.record.uploads.retain(|upload| !published.contains(&upload.key));
            self.record.published.extend(published);
            self.write().await?;
        }
        match failed {
            Some(error) => Err(error),
            None if lost.is_empty() => Ok(()),
            None => Err(upload_lost(&self.store, handle, &lost)),
        }
    }
}

/// Makes an object of its upload, or of its copy if the server has forgotten the upload's part. False: there is neither.
async fn complete(store: &Store, object: &Object, copies: &Copies) -> Result<bool, Error> {
    match store.complete(object).await? {
        Completed::Published => return Ok(true),
        // It may have become an object that somebody has taken away by now.
        Completed::Gone => return Ok(false),
        Completed::Forgotten => {}
    }
    let Some(bytes) = copies.of(object).await? else { return Ok(false) };
    // By another upload: the first one may be half completed, and then it never is.
    let upload = store.begin(&object.key).await.map_err(Trouble::error)?;
    let again = Object { upload, ..object.clone() };
    let done = complete_again(store, &again, bytes).await;
    let spent = if matches!(done, Ok(true)) { object } else { &again };
    store.abort(&spent.key, &spent.upload).await?;
    done
}

/// Makes an object of a copy, if it has the bytes that were uploaded before.
async fn complete_again(store: &Store, object: &Object, bytes: Bytes) -> Result<bool, Error> {
    match store.put_part(&object.key, &object.upload, 0, bytes).await {
        Ok(etag) if object.parts == [etag.as_str()] => Ok(store.complete(object).await? == Completed::Published),
        Ok(_) | Err(Trouble::Gone) => Ok(false),
        Err(trouble) => Err(trouble.error()),
    }
}

/// Sealed objects whose uploads are gone: everything since the last publication has to be written again, or is lost.
fn upload_lost(store: &Store, handle: &Handle, lost: &[&Object]) -> Error {
    let from: Vec<String> = handle.from.iter().map(|(partition, at)| format!("{partition}={at}")).collect();
    let from = from.join(",");
    let whole: Vec<&str> = handle.whole.iter().map(|partition| &*partition.0).collect();
    let whole = whole.join(", ");
    let (range, to) = match (from.as_str(), whole.as_str()) {
        (from, "") => (format!("the records from {from} on"), from.to_owned()),
        ("", whole) => (format!("all records of {whole}"), "beginning".into()),
        (from, whole) => {
            (format!("the records from {from} on, and all of {whole}"), format!("{from} and the beginning of {whole}"))
        }
    };
    let name = |object: &Object| object.key.rsplit('/').next().unwrap_or_default().to_owned();
    let places: Vec<String> = lost.iter().take(3).map(|object| store.place(&object.key)).collect();
    let message = format!(
        "{} of {} sealed objects can't be published, as their uploads are gone and no object is in their place: {}{}. The server or \
         somebody else has aborted them, or has taken the objects away before the node, which was killed, could note that they were \
         published. They had {} rows, of {range}",
        lost.len(),
        handle.objects.len(),
        places.join(", "),
        if lost.len() > places.len() { ", …" } else { "" },
        lost.iter().map(|object| object.rows).sum::<u64>(),
    );
    // An object is begun after what was published before it is sealed: the number of the commit in its name is greater.
    let first = handle.objects.iter().map(name).min().unwrap_or_default();
    let begin = first.rsplitn(3, '-').last().unwrap_or_default();
    let fix = if lost.len() < handle.objects.len() {
        format!(
            "remove the objects whose names begin with {begin} or a greater number, which were published with them, wherever they are by \
             now, and set"
        )
    } else {
        "set".into()
    };
    let fix = format!(
        "to write them again, once, {fix} the checkpoint to {to}; to count them as lost, or if somebody has taken them away, set it to \
         \"journal\". Have incomplete uploads live for longer than an outage (a lifecycle rule, or the server, aborts them)"
    );
    Error::contradicts("upload-lost", message, fix)
}
