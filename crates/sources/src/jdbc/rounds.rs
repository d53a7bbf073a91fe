//! Reads in rounds: what has come since, up to where no other can come.
use super::{
    JdbcSource, Mode,
    database::{Purpose, Session},
    part::{Limits, Part},
    position::Place,
    said::Said,
};
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{Context, Error, source::Read};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The work of a reader.
pub(super) struct Rounds {
    source: JdbcSource,
    session: Box<dyn Session>,
    partition: Partition,
    shared: Arc<Vec<(String, String)>>,
    at: Place,
    /// What the reading position is known by: nothing before the first row.
    identity: Option<Arc<str>>,
    /// Whether a round has begun and not ended.
    is_open: bool,
    /// Rows of the next part, after the first one.
    asked: Option<u32>,
    most: Limits,
    again: bool,
    /// When the round began.
    begun: Option<Instant>,
    said: Said,
}

impl Rounds {
    pub(super) async fn open(
        source: &JdbcSource,
        cx: &Context,
        from: Option<&Position>,
        said: Said,
    ) -> Result<Self, Error> {
        let purpose = if cx.again { Purpose::Look } else { Purpose::Follow };
        let mut session = source.connect(cx, purpose).await?;
        let (name, partition) = (source.name(), source.partition());
        let at = match from {
            None => Place::default(),
            Some(from) => Place::read(&from.at)
                .filter(|place| place.key.is_empty() || place.key.len() == session.shape().order.len())
                .ok_or_else(|| {
                    let error = Error::fatal("bad-position", format!("{from} is not a position of {name}"));
                    error.fix("set the checkpoint to beginning, or to a position like [0] or [1000,42]").for_user()
                })?,
        };
        if let Some(from) = from
            && let Some(reason) = session.lost(from, &at).await?
        {
            let identity = session.shape().identity.clone();
            let earliest = Position { at: Place::default().text(), identity };
            let latest = super::end(&mut *session).await?;
            return Err(Error::PositionLost { partition, wanted: from.clone(), earliest, latest, reason });
        }
        let most = Limits {
            rows: cx.batch.max_records.max(1).min(source.fetch_size.unwrap_or(u32::MAX).max(1)),
            bytes: cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize,
            record: cx.max_record_bytes as usize,
        };
        let shared = source.table.iter().map(|table| ("table".to_owned(), table.clone())).collect();
        Ok(Self {
            identity: from.and_then(|from| from.identity.clone()),
            source: source.clone(),
            session,
            partition,
            shared: Arc::new(shared),
            at,
            is_open: false,
            asked: None,
            most,
            again: cx.again,
            begun: None,
            said,
        })
    }

    /// The next rows; waits while there are none.
    pub(super) async fn step(&mut self) -> Result<Read, Error> {
        let is_bounded = self.again || self.source.mode == Mode::Bulk;
        loop {
            if self.is_open {
                let shape = self.session.shape().clone();
                let part = Part::new(shape, self.at.clone(), self.identity.clone(), self.most, self.asked);
                let (part, is_last) = self.session.fill(part).await?;
                self.is_open = !is_last;
                if !part.is_empty() {
                    let (records, at, asked) = part.into_records(self.partition.clone(), self.shared.clone());
                    self.identity.clone_from(&records.to.identity);
                    (self.at, self.asked) = (at, Some(asked));
                    return Ok(Read::Records(records));
                }
            }
            if is_bounded && self.begun.is_some() {
                return Ok(Read::End);
            }
            self.rest().await;
            self.is_open = self.session.begin(&self.at, is_bounded, &self.said).await?;
        }
    }

    /// Waits until the next round is due.
    async fn rest(&mut self) {
        if let Some(begun) = self.begun {
            tokio::time::sleep_until(begun + Duration::from(self.source.poll_interval)).await;
        }
        self.begun = Some(Instant::now());
    }
}
