//! Settings of the client library: those that users may set, those that the run owns, and those derived from the spec.
use super::KafkaSource;
use dataflow_sdk::Context;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

/// Settings owned by the run beside those that any client has, and what to use instead.
pub(super) const OWNED: &[(&str, &str)] = &[
    ("group.id", "use `groupId`"),
    ("group.instance.id", "partitions are assigned by the run"),
    ("group.protocol", "partitions are assigned by the run"),
    ("partition.assignment.strategy", "partitions are assigned by the run"),
    ("auto.offset.reset", "use `start` and `onPositionLost`"),
    ("isolation.level", "use `isolation`"),
    ("enable.auto.commit", "positions are kept in the pipeline's checkpoint"),
    ("auto.commit.enable", "positions are kept in the pipeline's checkpoint"),
    ("auto.commit.interval.ms", "positions are kept in the pipeline's checkpoint"),
    ("enable.auto.offset.store", "positions are kept in the pipeline's checkpoint"),
    ("enable.partition.eof", "the source needs it"),
    ("statistics.interval.ms", "the source needs it"),
    ("queued.max.messages.kbytes", "use the pipeline's `maxInFlightBytes`"),
    ("fetch.max.bytes", "use the pipeline's `maxInFlightBytes`"),
];

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
        .set("client.id", format!("dataflow-{}", cx.branch));
    for (name, value) in &source.cluster.properties {
        config.set(name.as_str(), value.to_string());
    }
    let debug = source.cluster.properties.get("debug").map_or("topic".into(), |wanted| format!("{wanted},topic"));
    config.set("debug", debug);
    let fetch = (share / 2).min(512 << 20);
    config
        .set("group.id", source.group(cx))
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", source.isolation.name())
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", "1000")
        .set("max.poll.interval.ms", "86400000")
        .set("queued.max.messages.kbytes", (share / 1024).to_string())
        .set("message.max.bytes", fetch.min(1_000_000).to_string())
        .set("fetch.max.bytes", fetch.to_string())
        // A record larger than a fetch still arrives, and becomes a dead letter: the protocol's limit is the only one.
        .set("receive.message.max.bytes", i32::MAX.to_string());
    source.cluster.reach(&mut config);
    config
}
