//! What the Kafka source and the Kafka sink share: how a cluster is reached, what its client library says, and functions of
//! that library which its Rust wrapper doesn't expose.
#[deny(unsafe_code)]
mod client;
#[deny(unsafe_code)]
mod cluster;
#[deny(unsafe_code)]
mod heard;
#[deny(unsafe_code)]
mod oauth;
#[deny(unsafe_code)]
mod properties;
mod raw;
#[deny(unsafe_code)]
mod settings;

pub use client::{HasClient, metadata};
pub use cluster::{Cluster, TOKENS_TOPIC, check_topic};
pub use heard::Heard;
pub use oauth::OAuth;
pub use raw::{epoch_in, flush, leader_epoch, set_epoch, topic_id, topic_ids};
pub use settings::{Names, SaslMechanism, SecurityProtocol, Setting};
