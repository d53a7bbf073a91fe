//! What the client library says beside its answers, and what its errors mean.
use dataflow_sdk::Error;
use rdkafka::{
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// What the client library has said in its log and its events.
#[derive(Debug, Default)]
pub struct Heard {
    /// The last error message.
    complaint: Mutex<Option<String>>,
    /// A broker has rejected the login.
    refused: AtomicBool,
}

impl Heard {
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
        if !matches!(error.rdkafka_error_code(), Some(Code::PartitionEOF | Code::AllBrokersDown)) {
            self.complain(reason);
        }
        tracing::debug!(target: "librdkafka", %error, "{reason}");
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
        let why = || self.complaint(code);
        let login = || {
            Error::fatal("login-failed", format!("Kafka {brokers} refuses the login: {}", why()))
                .fix("check `saslMechanism`, `saslUsername` and `saslPassword`")
        };
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => Some(login()),
            Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut => {
                // A rejected login also looks like a broker that does not answer.
                Some(match self.refused.load(Ordering::Relaxed) {
                    true => login(),
                    false => Error::transient("unreachable", format!("Kafka is out of reach at {brokers}: {}", why())),
                })
            }
            _ => None,
        }
    }
}
