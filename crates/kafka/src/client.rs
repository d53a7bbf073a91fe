//! Clients of the library, logged in.
use crate::{Cluster, Heard, raw, settings::SaslMechanism};
use dataflow_sdk::Error;
use rdkafka::{
    ClientConfig,
    admin::AdminClient,
    client::{Client, ClientContext},
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaResult,
    metadata::Metadata,
    producer::{BaseProducer, NoCustomPartitioner, Producer, ProducerContext},
};
use std::time::Duration;

/// The most events that are heard at once.
const EVENTS: u32 = 100;

/// A consumer, a producer, or an admin client.
pub trait HasClient<C: ClientContext> {
    /// What it has in common with the others.
    fn client_of(&self) -> &Client<C>;
}

impl<C: ConsumerContext> HasClient<C> for BaseConsumer<C> {
    fn client_of(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ProducerContext<NoCustomPartitioner>> HasClient<C> for BaseProducer<C> {
    fn client_of(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ClientContext> HasClient<C> for AdminClient<C> {
    fn client_of(&self) -> &Client<C> {
        self.inner()
    }
}

/// Asks for what the brokers know of a topic, or of all that the user may see. Hears meanwhile what else the library has to say, and gives up once that tells
/// that there is no way in: the library itself would try until the time is over.
///
/// # Errors
/// If there is no answer in time.
pub fn metadata<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: Option<&str>,
    heard: &Heard,
    mut timeout: Duration,
) -> KafkaResult<Metadata> {
    let mut wait = Duration::from_secs(1);
    loop {
        wait = wait.min(timeout);
        match consumer.fetch_metadata(topic, wait) {
            Err(_) if !timeout.is_zero() => {}
            done => return done,
        }
        timeout -= wait;
        wait *= 2;
        // What waits is heard by whoever reads records once something is read.
        if consumer.assignment().is_ok_and(|list| list.count() == 0) {
            (0..EVENTS).for_each(|_| drop(consumer.poll(Duration::ZERO)));
        }
        if heard.is_shut_out() {
            timeout = Duration::ZERO;
        }
    }
}

impl Cluster {
    /// A client of these settings, which have what `reach` puts into them. It connects in the background.
    ///
    /// # Errors
    /// If the settings can't be used, or the login has no token.
    pub fn connect<C, T>(&self, settings: &ClientConfig, context: C) -> Result<T, Error>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C> + HasClient<C>,
    {
        // The library asks for one only when it is polled, which is too late for a client that only asks.
        let token = match self.sasl_mechanism {
            Some(SaslMechanism::OauthBearer) => Some(self.token()?),
            _ => None,
        };
        let made: T = settings.create_with_context(context).map_err(|error| {
            Error::fatal("bad-property", format!("can't create the Kafka client: {error}"))
                .fix("check `tls` and `properties`")
        })?;
        if let Some(token) = token {
            raw::set_token(made.client_of(), &token).map_err(|why| {
                Error::fatal("login-failed", format!("the token of {} can't be used: {why}", self.token_url()))
                    .fix("let the provider give access tokens that are JWTs")
            })?;
        }
        Ok(made)
    }
}
