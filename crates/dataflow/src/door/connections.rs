//! Connections to the door: bounded in number, and none for long without saying something.
use axum::{Router, extract::Request};
use dataflow_engine::parts::Spawner;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    collections::BTreeMap,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Most connections at a time.
const MOST: usize = 512;
/// How long a connection may wait for a request, and a request for the end of its headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Most headers of a request, and their bytes in all.
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 32 << 10;
/// Most bytes read ahead of what was asked for.
const READ_AHEAD: usize = 128 << 10;
/// Wait after a failure to accept: it may take a moment until there are descriptors again.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers requests until told to close; then those that are under way.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    spawner: Arc<dyn Spawner>,
    closed: oneshot::Receiver<()>,
) {
    let (guests, tasks, closing) = (Guests::default(), TaskTracker::new(), CancellationToken::new());
    let mut closed = pin!(closed);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // A door that was dropped is closed, too.
            _ = &mut closed => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let Some(guest) = guests.admit(MOST) else {
                    tracing::warn!("rejecting a connection: {MOST} requests are in progress");
                    continue;
                };
                let attending = attend(stream, router.clone(), guest, closing.clone());
                spawner.spawn("connection", Box::pin(tasks.track_future(attending)));
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection to the API");
                guests.send_away_one();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    closing.cancel();
    tasks.close();
    tasks.wait().await;
}

/// Answers the requests of one connection.
async fn attend(stream: TcpStream, router: Router, guest: Guest, closing: CancellationToken) {
    let (busy, leave) = (guest.busy.clone(), guest.leave.clone());
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let busy = Busy(busy.clone());
        let answering = hyper::service::Service::call(&router, request.map(|body| Whole::new(body, &busy)));
        async move {
            let answer = answering.await;
            drop(busy);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_headers(HEADERS)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(READ_AHEAD);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = leave.cancelled() => return,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended");
    }
    drop(guest);
}

/// Who is connected, by the order in which they came.
#[derive(Debug, Default)]
struct Guests(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    here: BTreeMap<u64, (Arc<AtomicBool>, CancellationToken)>,
}

/// One who is connected. Leaves when dropped.
#[derive(Debug)]
struct Guest {
    number: u64,
    guests: Arc<Mutex<Inner>>,
    /// Whether a request of this one has come as a whole and is under way.
    busy: Arc<AtomicBool>,
    /// Cancelled when the place is needed for another.
    leave: CancellationToken,
}

fn lock(guests: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guests {
    /// One more. If there are `most` already, the one goes that was first to come of those without a whole request; none: all
    /// have requests under way.
    fn admit(&self, most: usize) -> Option<Guest> {
        if lock(&self.0).here.len() >= most && !self.send_away_one() {
            return None;
        }
        let mut inner = lock(&self.0);
        let number = inner.next;
        inner.next += 1;
        let (busy, leave) = (Arc::default(), CancellationToken::new());
        inner.here.insert(number, (Arc::clone(&busy), leave.clone()));
        Some(Guest { number, guests: self.0.clone(), busy, leave })
    }

    /// Closes the oldest connection without a request under way; false if there is none.
    fn send_away_one(&self) -> bool {
        let mut inner = lock(&self.0);
        let idle = inner.here.iter().find(|(_, (busy, _))| !busy.load(Ordering::Relaxed)).map(|(number, _)| *number);
        let gone = idle.and_then(|number| inner.here.remove(&number));
        gone.is_some_and(|(_, leave)| {
            leave.cancel();
            true
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.guests).here.remove(&self.number);
    }
}

/// A request that is under way, once it has come as a whole, until this is dropped.
struct Busy(Arc<AtomicBool>);

/// A body that tells when it has come as a whole: until then its request makes room for others, as nobody knows whether the
/// rest comes.
struct Whole {
    body: Incoming,
    busy: Arc<AtomicBool>,
}

impl Whole {
    fn new(body: Incoming, busy: &Busy) -> Self {
        busy.0.store(body.is_end_stream(), Ordering::Relaxed);
        Self { body, busy: busy.0.clone() }
    }
}

impl Body for Whole {
    type Data = <Incoming as Body>::Data;
    type Error = <Incoming as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.busy.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_waits_longest_without_a_request_makes_room() {
        let guests = Guests::default();
        let (first, second, third) = (guests.admit(3).unwrap(), guests.admit(3).unwrap(), guests.admit(3).unwrap());
        let request = |guest: &Guest| {
            guest.busy.store(true, Ordering::Relaxed);
            Busy(guest.busy.clone())
        };
        let under_way = request(&first);
        let fourth = guests.admit(3).unwrap();
        assert!(!first.leave.is_cancelled() && second.leave.is_cancelled() && !third.leave.is_cancelled());
        drop(second);
        let requests = [request(&third), request(&fourth)];
        assert!(guests.admit(3).is_none());
        drop((under_way, requests));
        assert!(guests.admit(3).is_some() && first.leave.is_cancelled());
        drop((first, third));
        assert!(guests.admit(3).is_some() && !fourth.leave.is_cancelled());
    }
}
