//! Settings of the client library that users give by its own names.
use crate::Cluster;
use dataflow_sdk::Problem;
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
    ("topic.blacklist", "leave it out: it hides topics"),
    ("api.version.request", VERSIONS),
    ("api.version.fallback.ms", VERSIONS),
    ("broker.version.fallback", VERSIONS),
    ("log_level", "use the node's log settings"),
    ("log.queue", "use the node's log settings"),
];

const VERSIONS: &str = "leave it out: brokers say what they can do";

/// Settings of TLS that say nothing of whom to trust, or less than `tls` does.
const OF_TLS: &[&str] =
    &["ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list", "ssl.endpoint.identification.algorithm"];

impl Cluster {
    pub(crate) fn check_properties(&self, owned: &[(&str, &str)], problems: &mut Vec<Problem>) {
        for (name, value) in &self.properties {
            let path = format!("properties.{name}");
            let reserved = || Problem::new(path.clone(), "reserved", format!("{name} can't be set"));
            let is_of_tls =
                name.starts_with("ssl.") || name.starts_with("enable.ssl.") || name.starts_with("https.ca.");
            if let Some((_, instead)) = OWNED.iter().chain(owned).find(|(owned, _)| owned == name) {
                problems.push(reserved().fix(*instead));
            } else if is_of_tls && !OF_TLS.contains(&name.as_str()) {
                problems.push(reserved().fix("use `tls`"));
            } else if name.starts_with("sasl.oauthbearer.") || name.starts_with("enable.sasl.oauthbearer.") {
                problems.push(reserved().fix("use `oauth`"));
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

/// Returns whether a setting makes the library use files or commands of the node's machine.
fn reaches_machine(name: &str) -> bool {
    let parts = ["location", "paths", "path", "file", "keytab", "cmd"];
    name.starts_with("plugin.") || name.split('.').any(|part| parts.contains(&part))
}
