//! How a cluster is reached: brokers, login, certificates, and other settings of the client library.
use crate::{
    oauth::{Kept, OAuth},
    settings::{Names, SaslMechanism, SecurityProtocol, Setting},
};
use dataflow_sdk::{Error, Paths, Problem};
use dataflow_tls::{Material, Tls};
use indexmap::IndexMap;
use rdkafka::{ClientConfig, client::OAuthToken};
use schemars::JsonSchema;
use serde::Deserialize;

/// The topic in which Kafka sinks keep the progress of pipelines, unless they name another one.
pub const TOKENS_TOPIC: &str = "dataflow-tokens";

/// How a cluster is reached, as the settings of a source or sink say it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Bootstrap brokers, as a list or separated by commas: `host:port`. Usually from the node's connection.
    #[serde(default)]
    #[schemars(extend("x-address" = "host"))]
    pub brokers: Option<Names>,
    /// The protocol between client and brokers.
    #[serde(default)]
    pub security_protocol: SecurityProtocol,
    /// The login mechanism, with `SASL_PLAINTEXT` and `SASL_SSL`.
    #[serde(default)]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The user name of the login.
    #[serde(default)]
    pub sasl_username: Option<String>,
    /// The user's password.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub sasl_password: Option<String>,
    /// Where the token of the login is from, with `OAUTHBEARER`.
    #[serde(default)]
    pub oauth: Option<OAuth>,
    /// Certificates, with `SSL` and `SASL_SSL`. The brokers' host names are checked.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// More settings for the client library (librdkafka), by its own names: `{"socket.keepalive.enable": true}`.
    #[serde(default)]
    pub properties: IndexMap<String, Setting>,
    /// The certificates that `tls` names.
    #[serde(skip)]
    pub(crate) material: Material,
    /// Those for the OpenID provider.
    #[serde(skip)]
    pub(crate) provider: Material,
    /// The last token of the login.
    #[serde(skip)]
    pub(crate) kept: Kept,
}

/// Without the password, and without settings that may hold one.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The brokers, one by one.
    pub fn brokers(&self) -> Vec<&str> {
        self.brokers.as_ref().map(Names::list).unwrap_or_default()
    }

    /// The brokers in one spelling, sorted and distinct: `127.0.0.1:9092` for `PLAINTEXT://LocalHost`.
    pub fn places(&self) -> Vec<String> {
        let mut places: Vec<String> = self.brokers().into_iter().map(place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The names of a topic, one for each broker.
    pub fn topic(&self, name: &str) -> impl Iterator<Item = String> {
        self.places().into_iter().map(move |broker| format!("topic {name} at {broker}"))
    }

    /// The topic that has this name at one of these brokers.
    pub fn topic_of<'a>(&self, place: &'a str) -> Option<&'a str> {
        let (topic, broker) = place.strip_prefix("topic ")?.split_once(" at ")?;
        self.places().iter().any(|known| known == broker).then_some(topic)
    }

    /// The same, with the certificates that it names read. To be done at each opening: they may have been renewed.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn read(&self, paths: &Paths) -> Result<Self, Error> {
        let read = |tls: Option<&Tls>| tls.map(|tls| tls.read(paths)).transpose().map(Option::unwrap_or_default);
        let provider = read(self.oauth.as_ref().and_then(|oauth| oauth.tls.as_ref()))?;
        Ok(Self { material: read(self.tls.as_ref())?, provider, ..self.clone() })
    }

    /// Puts where the cluster is, and the login, into the settings of a client.
    pub fn reach(&self, config: &mut ClientConfig) {
        config.set("bootstrap.servers", self.brokers().join(","));
        config.set("security.protocol", self.security_protocol.name());
        if let Some(mechanism) = self.sasl_mechanism.filter(|_| self.security_protocol.logs_in()) {
            config.set("sasl.mechanisms", mechanism.name());
            if mechanism != SaslMechanism::OauthBearer {
                config.set("sasl.username", self.sasl_username.as_deref().unwrap_or_default());
                config.set("sasl.password", self.sasl_password.as_deref().unwrap_or_default());
            }
        }
        if self.security_protocol.is_tls() {
            if let Some(ca) = &self.material.ca {
                config.set("ssl.ca.pem", ca);
            }
            if let Some((cert, key)) = &self.material.client {
                config.set("ssl.certificate.pem", cert).set("ssl.key.pem", key);
            }
        }
    }

    pub(crate) fn token_url(&self) -> &str {
        self.oauth.as_ref().map_or("the OpenID provider", |oauth| &oauth.token_url)
    }

    /// A token for the login.
    ///
    /// # Errors
    /// If the provider is out of reach, or refuses.
    pub fn token(&self) -> Result<OAuthToken, Error> {
        let missing = || Error::fatal("internal", "a token is needed, and nothing says from where");
        self.oauth.as_ref().ok_or_else(missing)?.token(&self.kept, &self.provider)
    }

    /// All that is wrong with the settings. `owned`: settings that the source or sink owns, and what to use instead.
    pub fn check(&self, owned: &[(&str, &str)]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let brokers = self.brokers();
        if brokers.is_empty() {
            let problem = Problem::new("brokers", "missing-field", "is missing");
            problems.push(problem.fix("give brokers here, or set [connections.kafka.default] in the node's settings"));
        }
        // The value is not shown: it may be a login.
        if !brokers.into_iter().all(is_host) {
            let problem = Problem::new("brokers", "invalid-value", "a broker is not written as host:port");
            problems
                .push(problem.fix("write host:port of each broker; a login is given by saslUsername and saslPassword"));
        }
        self.check_login(&mut problems);
        if let Some(tls) = &self.tls {
            problems.extend(tls.check("tls"));
            if !self.security_protocol.is_tls() {
                let problem = Problem::new("tls", "contradiction", "is only used with TLS");
                problems.push(problem.fix("set `securityProtocol` to SSL or SASL_SSL, or leave it out"));
            }
        }
        self.check_properties(owned, &mut problems);
        problems
    }

    fn check_login(&self, problems: &mut Vec<Problem>) {
        let password = [("saslUsername", self.sasl_username.is_some()), ("saslPassword", self.sasl_password.is_some())];
        let oauth = [("oauth", self.oauth.is_some())];
        let mechanism = [("saslMechanism", self.sasl_mechanism.is_some())];
        let (needed, unused): (&[_], Vec<_>) = match (self.security_protocol.logs_in(), self.sasl_mechanism) {
            (false, _) => (&[], [&mechanism[..], &password, &oauth].concat()),
            (true, None) => (&mechanism, Vec::new()),
            (true, Some(SaslMechanism::OauthBearer)) => (&oauth, password.to_vec()),
            (true, Some(_)) => (&password, oauth.to_vec()),
        };
        for (path, _) in needed.iter().filter(|(_, given)| !given) {
            let problem = Problem::new(*path, "missing-field", "is needed to log in");
            problems.push(match *path {
                "saslMechanism" => {
                    problem.fix("use SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER, as the brokers have it")
                }
                "oauth" => problem.fix("give tokenUrl, clientId and clientSecret of the OpenID provider"),
                _ => problem,
            });
        }
        for (path, _) in unused.into_iter().filter(|(_, given)| *given) {
            problems.push(match self.security_protocol.logs_in() {
                false => Problem::new(path, "contradiction", "is only used with a login")
                    .fix("set `securityProtocol` to SASL_SSL or SASL_PLAINTEXT, or leave it out"),
                true => Problem::new(path, "contradiction", "is not used by this `saslMechanism`").fix("leave it out"),
            });
        }
        problems.extend(self.oauth.iter().flat_map(OAuth::check));
    }
}

/// Returns whether a broker is in the form that the client accepts: a host or an address, a port, a protocol.
fn is_host(broker: &str) -> bool {
    let broker = broker.split_once("://").map_or(broker, |(_, host)| host);
    !broker.is_empty() && broker.chars().all(|c| c.is_alphanumeric() || ".-_:[]%".contains(c))
}

/// What is wrong with the name of a topic that a setting gives.
pub fn check_topic(path: &str, topic: &str) -> Option<Problem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = (1..=249).contains(&topic.len()) && !matches!(topic, "." | "..") && topic.chars().all(legal);
    let wrong = || Problem::new(path, "invalid-value", format!("{topic:?} can't be the name of a topic"));
    (!is_name).then(|| wrong().fix("a name has 1 to 249 letters, digits, '.', '_' and '-'"))
}

/// Where a broker is, however it is spelled: its host and port.
fn place(broker: &str) -> String {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address).to_lowercase();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') == host.ends_with(']') && !port.ends_with(']') => (host, port),
        _ => (&*address, "9092"),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = if matches!(host, "localhost" | "[::1]") { "127.0.0.1" } else { host };
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_broker_has_one_place() {
        for (broker, expected) in [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("PLAINTEXT://LocalHost", "127.0.0.1:9092"),
            ("[::1]:9093", "127.0.0.1:9093"),
            ("[::1]", "127.0.0.1:9092"),
            ("Kafka.example.:9092", "kafka.example:9092"),
            ("[2001:db8::1]:9094", "[2001:db8::1]:9094"),
        ] {
            assert_eq!(place(broker), expected, "{broker}");
        }
    }
}
