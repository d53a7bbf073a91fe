//! Settings of the client library: those that users may not set, and those derived from the spec.
use super::{Compression, KafkaSink, topic::Limits};
use dataflow_core::{
    id::PipelineId,
    limits::{MAX_WARNING, MAX_WARNINGS, NAMED_CHUNKS},
};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

/// Settings owned by the sink beside those that any client has, and what to use instead.
pub(super) const OWNED: &[(&str, &str)] = &[
    ("transactional.id", "each lane has its own"),
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
    ("batch.num.messages", "it follows from the topic's max.message.bytes"),
];

/// The settings of any client of this sink.
pub(super) fn client(config: &KafkaSink, pipeline: &PipelineId) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set_log_level(RDKafkaLogLevel::Info);
    settings
        .set("client.id", format!("dataflow-{pipeline}"))
        .set("reconnect.backoff.max.ms", "2000")
        .set("linger.ms", "1")
        // As Java's client has it.
        .set("partitioner", "murmur2_random");
    for (name, value) in &config.properties {
        settings.set(name.as_str(), value.to_string());
    }
    config.cluster().reach(&mut settings);
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
    if alone {
        settings.set("batch.num.messages", "1");
    }
    settings
}

/// The largest record of the topic of tokens, in bytes: a commit with all chunks and warnings that it can name.
const MAX_TOKEN: usize = (NAMED_CHUNKS * 200 + MAX_WARNINGS * (6 * MAX_WARNING + 1_000)).next_multiple_of(1_000_000);
