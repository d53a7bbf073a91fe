//! How a cluster is reached: brokers, login, and other settings of the client library.
use crate::settings::{Names, SaslMechanism, SecurityProtocol, Setting};
use dataflow_sdk::Problem;
use indexmap::IndexMap;
use rdkafka::{ClientConfig, error::KafkaError};

/// Settings of the client library that nobody sets by its name, and what to use instead.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("security.protocol", "use `securityProtocol`"),
    ("sasl.mechanism", "use `saslMechanism`"),
    ("sasl.mechanisms", "use `saslMechanism`"),
    ("sasl.username", "use `saslUsername`"),
    ("sasl.password", "use `saslPassword`, which is kept secret"),
    ("isolation.level", "only committed transactions are read"),
    ("log_level", "use the node's log settings"),
    ("log.queue", "use the node's log settings"),
];

/// How a cluster is reached, as the settings of a source or sink say it.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    /// Bootstrap brokers.
    pub brokers: Option<&'a Names>,
    /// The protocol between client and brokers.
    pub security_protocol: SecurityProtocol,
    /// The login mechanism.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The user name of the login.
    pub sasl_username: Option<&'a str>,
    /// The user's password.
    pub sasl_password: Option<&'a str>,
    /// More settings for the client library, by its own names.
    pub properties: &'a IndexMap<String, Setting>,
}

/// Without the password, and without settings that may hold one.
impl std::fmt::Debug for Cluster<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl<'a> Cluster<'a> {
    /// The brokers, one by one.
    pub fn brokers(&self) -> Vec<&'a str> {
        self.brokers.map(Names::list).unwrap_or_default()
    }

    /// Puts where the cluster is, and the login, into the settings of a client.
    pub fn reach(&self, config: &mut ClientConfig) {
        config.set("bootstrap.servers", self.brokers().join(","));
        if self.security_protocol == SecurityProtocol::SaslPlaintext {
            config.set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanisms", "PLAIN");
            config.set("sasl.username", self.sasl_username.unwrap_or_default());
            config.set("sasl.password", self.sasl_password.unwrap_or_default());
        }
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
        self.check_properties(owned, &mut problems);
        problems
    }

    fn check_login(&self, problems: &mut Vec<Problem>) {
        let login = matches!(self.security_protocol, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl);
        let given = [
            ("saslMechanism", self.sasl_mechanism.is_some()),
            ("saslUsername", self.sasl_username.is_some()),
            ("saslPassword", self.sasl_password.is_some()),
        ];
        if matches!(self.security_protocol, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl) {
            let problem = Problem::new("securityProtocol", "unsupported", "this build has no TLS for Kafka");
            problems
                .push(problem.fix("use PLAINTEXT or SASL_PLAINTEXT, through a listener or tunnel that needs no TLS"));
        }
        match (login, self.sasl_mechanism) {
            (true, Some(SaslMechanism::Plain)) => {
                for (path, _) in given.into_iter().filter(|(_, given)| !given) {
                    problems.push(Problem::new(path, "missing-field", "is needed to log in"));
                }
            }
            (true, Some(SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512)) => {
                let message = "SCRAM needs a TLS library, which this build does not have for Kafka";
                problems.push(Problem::new("saslMechanism", "unsupported", message).fix("use PLAIN"));
            }
            (true, None) => {
                problems.push(Problem::new("saslMechanism", "missing-field", "is needed to log in").fix("use PLAIN"));
            }
            (false, _) => {
                for (path, _) in given.into_iter().filter(|(_, given)| *given) {
                    let problem = Problem::new(path, "contradiction", "is only used with a login");
                    problems.push(problem.fix("set `securityProtocol: SASL_PLAINTEXT`, or leave it away"));
                }
            }
        }
    }

    fn check_properties(&self, owned: &[(&str, &str)], problems: &mut Vec<Problem>) {
        for (name, value) in self.properties {
            let path = format!("properties.{name}");
            let reserved = || Problem::new(path.clone(), "reserved", format!("{name} can't be set"));
            if let Some((_, instead)) = OWNED.iter().chain(owned).find(|(owned, _)| owned == name) {
                problems.push(reserved().fix(*instead));
            } else if name.starts_with("ssl.") || name.starts_with("enable.ssl.") {
                problems.push(Problem::new(path, "unsupported", "this build has no TLS for Kafka"));
            } else if reaches_machine(name) {
                problems.push(
                    reserved().fix("leave it out: the library would use files or run commands of the node's machine"),
                );
            } else if name.starts_with("test.") {
                problems.push(reserved().fix("test.mock.* replaces Kafka with a mock broker: leave it out"));
            } else {
                let mut config = ClientConfig::new();
                config.set(name.as_str(), value.to_string());
                if let Err(KafkaError::ClientConfig(_, reason, ..)) = config.create_native_config() {
                    problems.push(Problem::new(path, "bad-property", reason));
                }
            }
        }
    }
}

/// Returns whether a broker is in the form that the client accepts: a host or an address, a port, a protocol.
fn is_host(broker: &str) -> bool {
    let broker = broker.split_once("://").map_or(broker, |(_, host)| host);
    !broker.is_empty() && broker.chars().all(|c| c.is_alphanumeric() || ".-_:[]%".contains(c))
}

/// Returns whether a setting makes the library use files or commands of the node's machine.
fn reaches_machine(name: &str) -> bool {
    let parts = ["location", "paths", "path", "file", "keytab", "cmd"];
    name.starts_with("plugin.") || name.split('.').any(|part| parts.contains(&part))
}

/// What is wrong with the name of a topic that a setting gives.
pub fn check_topic(path: &str, topic: &str) -> Option<Problem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = (1..=249).contains(&topic.len()) && !matches!(topic, "." | "..") && topic.chars().all(legal);
    let wrong = || Problem::new(path, "invalid-value", format!("{topic:?} can't be the name of a topic"));
    (!is_name).then(|| wrong().fix("a name has 1 to 249 letters, digits, '.', '_' and '-'"))
}
