//! Bodies of requests, read up to a limit.
use crate::error::Error;
use axum::{
    body::BodyDataStream,
    extract::{FromRequest, Request},
    http::header,
};
use bytes::{Bytes, BytesMut};
use dataflow_core::{limits, problem::Problem, spec};
use futures::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Largest body that isn't a batch, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How much of a body that is too large is still taken in and thrown away, so that the client gets to read the answer.
const MAX_DISCARDED: usize = 64 << 20;

/// How compressed bodies begin, as no JSON does.
const COMPRESSED: [(&[u8], &str); 2] = [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd")];

/// A body of JSON. The content type doesn't matter.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Error;
    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let mut body = Coming::of(request, MAX_BODY)?;
        body.take(usize::MAX, PATIENCE).await?;
        let body = body.whole()?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::malformed_json("the body is empty"));
        }
        spec::from_json(&body).map(Self).map_err(|error| Error::malformed_json(error.to_string()))
    }
}

/// The body of a pushed batch, as it came.
#[derive(Debug)]
pub(crate) struct Batch(pub(crate) Bytes);

/// A body that gives its share of [`UNDER_WAY`] back when nobody holds it any more: once it is durable, not only once it is
/// delivered, which others would have to wait for.
struct Shared {
    body: Bytes,
    _share: SemaphorePermit<'static>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// KiB of batches that are under way, from their share on until they are durable. More have to wait before they are read on.
static UNDER_WAY: Semaphore = Semaphore::const_new(64 << 10);
/// So much of a body is read before it gets its share: who sends nothing keeps nobody waiting.
const BEGINNING: usize = 64 << 10;
/// Longest wait for the next piece of a body; with a share, which others wait for.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_WITH_SHARE: Duration = Duration::from_secs(5);
/// Longest for a body in all.
const SLOWEST: Duration = Duration::from_secs(60);

impl<S: Send + Sync> FromRequest<S> for Batch {
    type Rejection = Error;
    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let most = announced(&request).unwrap_or(limits::MAX_BATCH_BODY).min(limits::MAX_BATCH_BODY);
        let mut body = Coming::of(request, limits::MAX_BATCH_BODY)?;
        body.take(BEGINNING, PATIENCE).await?;
        let needed = if body.ended { body.length.min(most) } else { most };
        let share = UNDER_WAY.acquire_many((needed >> 10) as u32 + 1).await;
        let share = share.unwrap_or_else(|_| unreachable!("it is never closed"));
        body.take(usize::MAX, PATIENCE_WITH_SHARE).await?;
        let body = body.whole()?;
        Ok(Self(Bytes::from_owner(Shared { body, _share: share })))
    }
}

/// The length that a request says its body has.
fn announced(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that comes in.
struct Coming {
    pieces: BodyDataStream,
    most: usize,
    bytes: BytesMut,
    length: usize,
    ended: bool,
}

impl Coming {
    fn of(request: Request, most: usize) -> Result<Self, Error> {
        if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")
        {
            return Err(Error::compressed(format!(
                "the body has the Content-Encoding {encoding:?}, and none is read here"
            )));
        }
        let announced = announced(&request);
        let expects_go_ahead = request.headers().contains_key(header::EXPECT);
        let largest = if expects_go_ahead { most } else { MAX_DISCARDED };
        if announced.is_some_and(|length| length > largest) {
            return Err(Error::too_large(most));
        }
        let pieces = request.into_body().into_data_stream();
        Ok(Self { pieces, most, bytes: BytesMut::new(), length: 0, ended: false })
    }

    /// Takes in pieces until there are more than `bytes`, or all.
    async fn take(&mut self, bytes: usize, patience: Duration) -> Result<(), Error> {
        let taking = async {
            while !self.ended && self.length <= bytes {
                let late = |_| Error::too_slow(format!("no more of the body arrived within {patience:?}"));
                match tokio::time::timeout(patience, self.pieces.next()).await.map_err(late)? {
                    Some(piece) => self.add(&piece.map_err(broken)?),
                    None => self.ended = true,
                }
            }
            Ok(())
        };
        let late = |_| Error::too_slow(format!("the body did not arrive within {SLOWEST:?}"));
        tokio::time::timeout(SLOWEST, taking).await.map_err(late)?
    }

    fn add(&mut self, piece: &[u8]) {
        self.length += piece.len();
        if self.length > self.most {
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(piece);
        }
        self.ended |= self.length > MAX_DISCARDED;
    }

    fn whole(self) -> Result<Bytes, Error> {
        if self.length > self.most {
            return Err(Error::too_large(self.most));
        }
        match COMPRESSED.iter().find(|(begin, _)| self.bytes.starts_with(begin)) {
            Some((_, name)) => Err(Error::compressed(format!("the body looks like {name}"))),
            None => Ok(self.bytes.freeze()),
        }
    }
}

fn broken(error: axum::Error) -> Error {
    Error::invalid(vec![Problem::new("", "invalid-value", format!("the body could not be read: {error}"))])
}
