//! Bodies of requests, read up to a limit.
use crate::error::Error;
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::header,
};
use bytes::{Bytes, BytesMut};
use dataflow_core::{limits, problem::Problem};
use futures::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Largest body that isn't a batch, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How much of a body that is too large is still taken in and thrown away, so that the client gets to read the answer.
const MAX_DISCARDED: usize = 64 << 20;

/// A body of JSON. The content type doesn't matter.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Error;
    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let body = read(request, MAX_BODY).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::malformed_json("the body is empty"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| Error::malformed_json(error.to_string()))
    }
}

/// The body of a pushed batch, as it came, and its share of what all that are under way may hold.
#[derive(Debug)]
pub(crate) struct Batch(pub(crate) Bytes, pub(crate) SemaphorePermit<'static>);

/// KiB of batches that are under way, from the first byte to the answer. More have to wait before they are read.
static UNDER_WAY: Semaphore = Semaphore::const_new(64 << 10);
/// Who sends more slowly may not keep others waiting.
const SLOWEST: Duration = Duration::from_secs(60);

impl<S: Send + Sync> FromRequest<S> for Batch {
    type Rejection = Error;
    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let most = announced(&request).unwrap_or(limits::MAX_BATCH_BODY).min(limits::MAX_BATCH_BODY);
        let share = UNDER_WAY.acquire_many((most >> 10) as u32 + 1).await;
        let share = share.unwrap_or_else(|_| unreachable!("it is never closed"));
        let body = tokio::time::timeout(SLOWEST, read(request, limits::MAX_BATCH_BODY)).await.map_err(|_| {
            let message = format!("the body did not come within {SLOWEST:?}");
            Error::invalid(vec![Problem::new("", "invalid-value", message)])
        })?;
        Ok(Self(body?, share))
    }
}

/// The length that a request says its body has.
fn announced(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(request: Request, most: usize) -> Result<Bytes, Error> {
    let announced = announced(&request);
    if announced.is_some_and(|length| length > MAX_DISCARDED) {
        return Err(Error::too_large(most));
    }
    let expects_go_ahead = request.headers().contains_key(header::EXPECT);
    if expects_go_ahead && announced.is_some_and(|length| length > most) {
        return Err(Error::too_large(most));
    }
    collect(request.into_body(), most).await
}

async fn collect(body: Body, most: usize) -> Result<Bytes, Error> {
    let mut stream = body.into_data_stream();
    let (mut whole, mut length) = (BytesMut::new(), 0_usize);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            Error::invalid(vec![Problem::new("", "invalid-value", format!("the body could not be read: {error}"))])
        })?;
        length += piece.len();
        if length > MAX_DISCARDED {
            break;
        } else if length > most {
            whole.clear();
        } else {
            whole.extend_from_slice(&piece);
        }
    }
    if length > most { Err(Error::too_large(most)) } else { Ok(whole.freeze()) }
}
