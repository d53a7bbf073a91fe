//! Settings of the client library: those that users may not set, and those derived from the spec.
use super::{Compression, KafkaSink, topic::Limits};
use dataflow_core::{
    branch::BranchId,
    limits::{MAX_WARNING, MAX_WARNINGS, NAMED_CHUNKS},
};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

/// Settings owned by the sink beside those that any client has, and what to use instead.
pub(super) const OWNED: &[(&str, &str)] = &[
    ("transactional.id", "each lane has its own"),
    ("isolation.level", "the sink needs it as it is"),
    ("transaction.timeout.ms", "use `transactionTimeout`"),
    ("message.timeout.ms", "use `transactionTimeout`"),
    ("delivery.timeout.ms", "use `transactionTimeout`"),
    ("enable.idempotence", "the sink needs it"),
    ("enable.gapless.guarantee", "the sink needs it as it is"),
    ("acks", "all replicas acknowledge what is committed"),
    ("request.required.acks", "all replicas acknowledge what is committed"),
    ("delivery.report.only.error", "the sink needs it"),
    ("compression.codec", "use `compression`"),
    ("compression.type", "use `compression`"),
    ("batch.size", "it follows from the topic's max.message.bytes"),
    ("message.max.bytes", "it follows from the topic's max.message.bytes"),
    ("topic.metadata.refresh.interval.ms", "the sink needs it"),
    ("batch.num.messages", "it follows from the topic's max.message.bytes"),
    ("receive.message.max.bytes", "it follows from what the topic of tokens holds"),
    ("partitioner", "records are placed as Java's client places them: use `partition`, or another `key`"),
    ("max.in.flight", SAFE),
    ("max.in.flight.requests.per.connection", SAFE),
    ("retries", SAFE),
    ("message.send.max.retries", SAFE),
    ("topic.metadata.refresh.interval.ms", CURRENT),
    ("topic.metadata.refresh.fast.interval.ms", CURRENT),
    ("topic.metadata.refresh.fast.cnt", CURRENT),
    ("topic.metadata.refresh.sparse", CURRENT),
    ("topic.metadata.propagation.max.ms", CURRENT),
    ("metadata.max.age.ms", CURRENT),
    ("group.id", NO_GROUP),
    ("group.instance.id", NO_GROUP),
    ("group.protocol", NO_GROUP),
    ("group.remote.assignor", NO_GROUP),
];

const SAFE: &str = "transactions need it as it is";
const CURRENT: &str = "the sink has to know topics as they are now";
const NO_GROUP: &str = "leave it out: the sink is in no consumer group";

/// The settings of any client of this sink.
pub(super) fn client(config: &KafkaSink, branch: &BranchId) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set_log_level(RDKafkaLogLevel::Info);
    settings
        .set("client.id", format!("dataflow-{branch}"))
        .set("reconnect.backoff.max.ms", "2000")
        .set("linger.ms", "1")
        // As Java's client has it.
        .set("partitioner", "murmur2_random");
    for (name, value) in &config.cluster.properties {
        settings.set(name.as_str(), value.to_string());
    }
    config.cluster.reach(&mut settings);
    settings
}

/// The settings of a consumer that reads what others have written.
pub(super) fn consumer(base: &ClientConfig, isolation: &str) -> ClientConfig {
    let mut settings = base.clone();
    for of_producers in ["linger.ms", "partitioner"] {
        settings.remove(of_producers);
    }
    settings
        // A consumer has to have one; this one is never used.
        .set("group.id", "dataflow-tokens")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", "10")
        .set("isolation.level", isolation);
    settings
}

/// The settings of a lane's producer. `alone`: each record goes in a batch of its own, so that what the brokers refuse of a
/// batch is known to be that record.
pub(super) fn producer(
    base: &ClientConfig,
    config: &KafkaSink,
    id: &str,
    limits: &Limits,
    alone: bool,
) -> ClientConfig {
    let mut settings = base.clone();
    let compression = match config.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let timeout = config.transaction_timeout.0.to_string();
    settings
        .set("transactional.id", id)
        .set("transaction.timeout.ms", &timeout)
        .set("message.timeout.ms", timeout)
        .set("acks", "all")
        .set("delivery.report.only.error", "true")
        .set("compression.codec", compression)
        // The brokers would refuse a batch that is larger than any record may be.
        .set("batch.size", limits.message_bytes.clamp(1, 1_000_000).to_string())
        .set("message.max.bytes", (limits.message_bytes.max(MAX_TOKEN) + 1_000).min(1_000_000_000).to_string());
    // A topic that is another one by now shows when the library looks at it again, and only in its log.
    let debug = config.cluster.properties.get("debug").map_or("topic".into(), |wanted| format!("{wanted},topic"));
    settings.set("debug", debug).set("topic.metadata.refresh.interval.ms", REFRESH);
    settings.set_log_level(RDKafkaLogLevel::Debug);
    if alone {
        settings.set("batch.num.messages", "1");
    }
    settings
}

/// How often a producer looks whether its topics are still the same, in milliseconds.
const REFRESH: &str = "5000";

/// The largest record of the topic of tokens, in bytes: a commit with all chunks and warnings that it can name.
const MAX_TOKEN: usize = (NAMED_CHUNKS * 200 + MAX_WARNINGS * (6 * MAX_WARNING + 1_000)).next_multiple_of(1_000_000);
