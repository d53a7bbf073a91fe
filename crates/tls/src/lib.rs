//! TLS for clients: which authorities they trust, what they show of themselves, and what a failed handshake means.
//!
//! Connectors of Rust use it whole (`Material::client`); the Kafka library has TLS of its own, and takes the certificates
//! only.
mod failure;
mod files;
mod probe;
mod settings;
#[cfg(test)]
mod tests;
mod verifier;

pub use failure::failure;
pub use files::Material;
pub use probe::probe;
pub use rustls::{self, ClientConfig};
pub use settings::Tls;
pub use verifier::Verify;

use rustls::{RootCertStore, crypto::ring};
use std::sync::Arc;

/// For clients that never use TLS: trusts nobody, and doesn't look for the system's certificates.
///
/// # Panics
/// Never: ring has the usual versions of TLS.
#[must_use]
pub fn unused() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has them");
    builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// Makes ring the provider of what names none: clients of HTTP that are made without a configuration.
pub fn provide() {
    drop(ring::default_provider().install_default());
}
