//! What the client library says beside its answers, and what its errors mean.
use crate::Cluster;
use dataflow_sdk::Error;
use dataflow_tls::Verify;
use rdkafka::{
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long a broker may take to shake hands when it is asked why it did not.
const PROBE: Duration = Duration::from_secs(5);

/// What the client library has said in its log and its events.
#[derive(Debug)]
pub struct Heard {
    cluster: Cluster,
    /// The last error message.
    complaint: Mutex<Option<String>>,
    /// A broker has rejected the login.
    refused: AtomicBool,
    /// The last handshake of TLS that failed, in the library's words.
    insecure: Mutex<Option<String>>,
}

impl Heard {
    /// Nothing yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, complaint: Mutex::default(), refused: AtomicBool::default(), insecure: Mutex::default() }
    }

    /// The next token of the login.
    ///
    /// # Errors
    /// If the provider is out of reach, or refuses.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.cluster.token().map_err(Into::into)
    }

    /// Takes a line of the library's log, and logs it.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                self.complain(message);
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    /// Takes an error that comes as an event.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        if matches!(error.rdkafka_error_code(), Some(Code::Authentication | Code::SaslAuthenticationFailed)) {
            self.refused.store(true, Ordering::Relaxed);
        }
        if error.rdkafka_error_code() == Some(Code::SSL) || reason.contains("SSL alert") {
            *self.insecure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
        if !matches!(error.rdkafka_error_code(), Some(Code::PartitionEOF | Code::AllBrokersDown)) {
            self.complain(reason);
        }
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }

    /// Whether a login or a handshake has failed.
    pub(crate) fn is_shut_out(&self) -> bool {
        let insecure = self.insecure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        insecure || self.refused.load(Ordering::Relaxed)
    }

    fn complain(&self, text: &str) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// The last error message, which says more than a code.
    pub fn complaint(&self, code: Code) -> String {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(|| code.to_string())
    }

    /// The failure behind a code that any client may get; none: what it means depends on what was asked.
    pub fn failure(&self, brokers: &str, code: Code) -> Option<Error> {
        let login = || {
            let settings = match self.cluster.oauth {
                Some(_) => "`oauth`, and what the brokers expect of a token",
                None => {
                    "`saslMechanism`, `saslUsername` and `saslPassword`, and that the brokers have this user for this mechanism"
                }
            };
            Error::fatal("login-failed", format!("Kafka {brokers} refuses the login: {}", self.complaint(code)))
                .fix(format!("check {settings}"))
        };
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => Some(login()),
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::SSL => {
                // A rejected login, and a handshake that failed, also look like a broker that does not answer.
                let insecure = self.insecure.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Some(match insecure {
                    _ if self.refused.load(Ordering::Relaxed) => login(),
                    Some(why) => self.insecure(brokers, &why),
                    None => {
                        let why = self.complaint(code);
                        Error::transient("unreachable", format!("Kafka is out of reach at {brokers}: {why}")).fix(
                            "see whether the brokers run, and whether `brokers` names them; the pipeline goes on by itself once one answers",
                        )
                    }
                })
            }
            _ => None,
        }
    }

    /// Why there is no TLS: the library says less than a handshake of our own.
    fn insecure(&self, brokers: &str, why: &str) -> Error {
        let asked = address(why).or_else(|| self.cluster.brokers().first().and_then(|broker| address(broker)));
        let found = asked.and_then(|(host, port)| {
            let config = self.cluster.material.client(Verify::Full);
            let config = match config {
                Ok(config) => config,
                Err(error) => return Some(error),
            };
            let refused = dataflow_tls::probe(config, host, port, PROBE).err()?;
            dataflow_tls::failure(&format!("the Kafka broker {host}:{port}"), &refused)
        });
        found.unwrap_or_else(|| {
            Error::fatal("tls-failed", format!("there is no TLS with Kafka {brokers}: {why}"))
                .fix("check `securityProtocol` and `tls`, and that the port is the brokers' for TLS")
        })
    }
}

/// Host and port in what the library says of a broker (`ssl://db:9093/bootstrap: …`), or in how a setting names it.
fn address(text: &str) -> Option<(&str, u16)> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let end = text.find(['/', ' ']).unwrap_or(text.len());
    let (host, port) = text[..end].trim_end_matches(':').rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_broker_is_found_in_words() {
        for (text, expected) in [
            ("ssl://db.local:9093/bootstrap: SSL handshake failed: …", Some(("db.local", 9093))),
            ("sasl_ssl://[::1]:9093/1: SSL handshake failed", Some(("::1", 9093))),
            ("127.0.0.1:9093", Some(("127.0.0.1", 9093))),
            ("SSL://a:9093", Some(("a", 9093))),
            ("1/1 brokers are down", None),
            ("a", None),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }
}
