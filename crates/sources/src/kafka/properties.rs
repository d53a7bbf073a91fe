//! Settings of the client library: those that users may set, those that the run owns, and those derived from the spec.
use super::{KafkaSource, SaslMechanism, SecurityProtocol};
use dataflow_sdk::{Context, Problem};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

/// Settings owned by the run, and what to use instead.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("group.id", "use `groupId`"),
    ("group.instance.id", "partitions are assigned by the run"),
    ("group.protocol", "partitions are assigned by the run"),
    ("partition.assignment.strategy", "partitions are assigned by the run"),
    ("auto.offset.reset", "use `start` and `onPositionLost`"),
    ("enable.auto.commit", "positions are kept in the pipeline's checkpoint"),
    ("auto.commit.enable", "positions are kept in the pipeline's checkpoint"),
    ("auto.commit.interval.ms", "positions are kept in the pipeline's checkpoint"),
    ("enable.auto.offset.store", "positions are kept in the pipeline's checkpoint"),
    ("enable.partition.eof", "the source needs it"),
    ("isolation.level", "only committed transactions are read"),
    ("statistics.interval.ms", "the source needs it"),
    ("security.protocol", "use `securityProtocol`"),
    ("sasl.mechanism", "use `saslMechanism`"),
    ("sasl.mechanisms", "use `saslMechanism`"),
    ("sasl.username", "use `saslUsername`"),
    ("sasl.password", "use `saslPassword`, which is kept secret"),
    ("queued.max.messages.kbytes", "use the pipeline's `maxInFlightBytes`"),
    ("fetch.max.bytes", "use the pipeline's `maxInFlightBytes`"),
    ("log_level", "use the node's log settings"),
    ("log.queue", "use the node's log settings"),
];

pub(super) fn check_security(source: &KafkaSource) -> Vec<Problem> {
    let mut problems = Vec::new();
    let login = matches!(source.security_protocol, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl);
    if matches!(source.security_protocol, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl) {
        let problem = Problem::new("securityProtocol", "unsupported", "this build has no TLS for Kafka");
        problems.push(problem.fix("use PLAINTEXT or SASL_PLAINTEXT, through a listener or tunnel that needs no TLS"));
    }
    match (login, source.sasl_mechanism) {
        (true, Some(SaslMechanism::Plain)) => {
            for (path, given) in [("saslUsername", &source.sasl_username), ("saslPassword", &source.sasl_password)] {
                if given.is_none() {
                    problems.push(Problem::new(path, "missing-field", "is needed to log in"));
                }
            }
        }
        (true, Some(SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512)) => {
            let message = "SCRAM needs a TLS library, which this build does not have for Kafka";
            problems.push(Problem::new("saslMechanism", "unsupported", message).fix("use PLAIN"));
        }
        (true, None) => {
            problems.push(Problem::new("saslMechanism", "missing-field", "is needed to log in").fix("use PLAIN"))
        }
        (false, _) => {
            let given = [
                ("saslMechanism", source.sasl_mechanism.is_some()),
                ("saslUsername", source.sasl_username.is_some()),
                ("saslPassword", source.sasl_password.is_some()),
            ];
            for (path, _) in given.into_iter().filter(|(_, given)| *given) {
                let problem = Problem::new(path, "contradiction", "is only used with a login");
                problems.push(problem.fix("set `securityProtocol: SASL_PLAINTEXT`, or leave it away"));
            }
        }
    }
    problems
}

pub(super) fn check(source: &KafkaSource) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in &source.properties {
        let path = format!("properties.{name}");
        if let Some((_, instead)) = OWNED.iter().find(|(owned, _)| owned == name) {
            problems.push(Problem::new(path, "reserved", format!("{name} can't be set")).fix(*instead));
        } else if name.starts_with("ssl.") || name.starts_with("enable.ssl.") {
            problems.push(Problem::new(path, "unsupported", "this build has no TLS for Kafka"));
        } else if reaches_machine(name) {
            let problem = Problem::new(path, "reserved", format!("{name} can't be set"));
            problems
                .push(problem.fix("leave it out: the library would use files or run commands of the node's machine"));
        } else if name.starts_with("test.") {
            problems.push(
                Problem::new(path, "reserved", format!("{name} can't be set"))
                    .fix("test.mock.* replaces Kafka with a mock broker: leave it out"),
            );
        } else {
            let mut config = ClientConfig::new();
            config.set(name.as_str(), value.to_string());
            if let Err(KafkaError::ClientConfig(_, reason, ..)) = config.create_native_config() {
                problems.push(Problem::new(path, "bad-property", reason));
            }
        }
    }
    problems
}

/// Returns whether a setting makes the library use files or commands of the node's machine.
fn reaches_machine(name: &str) -> bool {
    let parts = ["location", "paths", "path", "file", "keytab", "cmd"];
    name.starts_with("plugin.") || name.split('.').any(|part| parts.contains(&part))
}

/// The memory in bytes that a lane's library uses beyond what the run counts: a sixteenth of the in-flight limit, over
/// all lanes. Its queue needs another 300 bytes per record, which are not counted: with small records that doubles it.
pub(super) fn share(cx: &Context, lanes: u32) -> u64 {
    (cx.max_in_flight_bytes / 16 / u64::from(lanes.max(1))).clamp(1, 1 << 30)
}

/// Returns the client settings for one of `lanes` lanes.
pub(super) fn client(source: &KafkaSource, cx: &Context, lanes: u32) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Makes the library report a recreated topic: see `Told::hear`.
    config.set_log_level(RDKafkaLogLevel::Debug);
    let share = self::share(cx, lanes).max(1 << 20);
    config
        .set("fetch.message.max.bytes", (share / 4).clamp(256 << 10, 1 << 20).to_string())
        .set("fetch.wait.max.ms", "100")
        // Checks a full queue again soon. By default the library then fetches nothing for a whole second.
        .set("fetch.queue.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "2000")
        .set("client.id", format!("dataflow-{}", cx.pipeline));
    for (name, value) in &source.properties {
        config.set(name.as_str(), value.to_string());
    }
    let debug = source.properties.get("debug").map_or("topic".into(), |wanted| format!("{wanted},topic"));
    config.set("debug", debug);
    let fetch = (share / 2).min(512 << 20);
    config
        .set("bootstrap.servers", source.broker_list().join(","))
        .set("group.id", source.group(cx))
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", "1000")
        .set("max.poll.interval.ms", "86400000")
        .set("queued.max.messages.kbytes", (share / 1024).to_string())
        .set("message.max.bytes", fetch.min(1_000_000).to_string())
        .set("fetch.max.bytes", fetch.to_string())
        // A record larger than a fetch still arrives, and becomes a dead letter: the protocol's limit is the only one.
        .set("receive.message.max.bytes", i32::MAX.to_string());
    if source.security_protocol == SecurityProtocol::SaslPlaintext {
        config.set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanisms", "PLAIN");
        config.set("sasl.username", source.sasl_username.as_deref().unwrap_or_default());
        config.set("sasl.password", source.sasl_password.as_deref().unwrap_or_default());
    }
    config
}
