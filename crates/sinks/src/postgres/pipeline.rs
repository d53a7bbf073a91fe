//! Sends statements without waiting for each answer, so that many small ones need few round trips.
use super::{failure, statement::Encoded};
use crate::table::Written;
use deadpool_postgres::ClientWrapper;
use futures::{
    future::{MaybeDone, maybe_done},
    poll,
};
use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    future::Future,
    pin::Pin,
};
use tokio_postgres::Error;

/// The most statements in flight.
const MOST: usize = 256;

/// The reason why rows were not written, and the row that the server names, counted from the first one sent.
pub(super) type Failed = (Error, Option<usize>);

/// Sends rows, each part with its start. In a transaction, nothing is written after a failure.
pub(super) async fn send(client: &ClientWrapper, encoded: Vec<(usize, Encoded)>) -> Result<Written, Failed> {
    // All preparations come first: later statements would overtake one that waits for its answer.
    let mut prepared = HashMap::new();
    for (_, encoded) in &encoded {
        if let Entry::Vacant(vacant) = prepared.entry(encoded.kind()) {
            vacant.insert(encoded.prepare(client).await.map_err(|error| (error, None))?);
        }
    }
    let mut written = Written::default();
    let mut under_way = VecDeque::new();
    for (start, encoded) in encoded {
        let (is_copy, single) = (encoded.is_copy(), encoded.is_single());
        if under_way.len() == MOST || is_copy {
            let most = if is_copy { 0 } else { MOST / 2 };
            answered(&mut under_way, most, &mut written).await?;
        }
        let statements = &prepared[&encoded.kind()];
        let sent = async move {
            encoded.run(client, statements).await.map_err(|error| {
                let named = failure::copy_line(&error).or(single.then_some(0));
                (error, named.map(|row| start + row))
            })
        };
        let mut sent = Box::pin(maybe_done(sent));
        // A future polled once has sent its statement; its answer is awaited in order.
        let _answered = poll!(sent.as_mut()).is_ready();
        under_way.push_back(sent);
        if is_copy {
            answered(&mut under_way, 0, &mut written).await?;
        }
    }
    answered(&mut under_way, 0, &mut written).await?;
    Ok(written)
}

/// Waits until at most this many statements are in flight.
async fn answered<F: Future<Output = Result<Written, Failed>>>(
    under_way: &mut VecDeque<Pin<Box<MaybeDone<F>>>>,
    most: usize,
    written: &mut Written,
) -> Result<(), Failed> {
    while under_way.len() > most
        && let Some(mut first) = under_way.pop_front()
    {
        first.as_mut().await;
        if let Some(done) = first.as_mut().take_output() {
            *written += done?;
        }
    }
    Ok(())
}
