//! The certificates themselves: read at each opening, so that renewed ones are used from then on.
use crate::{
    settings::Tls,
    verifier::{Verifier, Verify},
};
use dataflow_sdk::{Error, Paths};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// The texts of the files that settings name, and the key.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Material {
    /// The certificates of the authorities to trust (PEM); none: those of the system.
    pub ca: Option<String>,
    /// The client's certificate (PEM), and its key (PEM).
    pub client: Option<(String, String)>,
}

/// Without the key.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").field("ca", &self.ca.is_some()).field("client", &self.client.is_some()).finish()
    }
}

impl Tls {
    /// Reads the files. `paths`: which ones may be read.
    ///
    /// # Errors
    /// If one may not or can't be read, or holds something else.
    pub fn read(&self, paths: &Paths) -> Result<Material, Error> {
        let ca = self.ca.as_deref().map(|path| read(paths, path, "tls.ca")).transpose()?;
        let cert = self.cert.as_deref().map(|path| read(paths, path, "tls.cert")).transpose()?;
        let client = cert.zip(self.key.clone());
        if let Some((_, key)) = &client {
            self::key(key)?;
        }
        Ok(Material { ca, client })
    }
}

/// The text of a file with certificates.
fn read(paths: &Paths, path: &str, field: &str) -> Result<String, Error> {
    paths.admit(Path::new(path))?;
    let text = std::fs::read_to_string(path).map_err(|error| {
        unreadable(format!("the file {path} can't be read: {error}"))
            .fix(format!("correct `{field}`, or put the file there, readable by the user that runs the process"))
    })?;
    certificates(&text).map_err(|why| {
        let fix = format!("give `{field}` a PEM file, with -----BEGIN CERTIFICATE-----");
        unreadable(format!("the file {path} has {why}")).fix(fix)
    })?;
    Ok(text)
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate".into()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("a certificate that can't be read: {error}")),
    }
}

/// The key; the error shows nothing of it.
fn key(text: &str) -> Result<PrivateKeyDer<'static>, Error> {
    let fix = "give the text of an unencrypted PEM file with the private key, such as ${file:/etc/dataflow/secrets/client.key}";
    if text.contains("ENCRYPTED") {
        let fix = "decrypt it (openssl pkey -in client.key -out plain.key), and keep it where secrets are kept";
        return Err(unreadable("the private key in `tls.key` is encrypted").fix(fix));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| unreadable("the text in `tls.key` is no private key (PEM)").fix(fix))
}

fn unreadable(message: impl Into<String>) -> Error {
    Error::fatal("certificate-unreadable", message)
}

impl Material {
    /// The configuration of a client.
    ///
    /// # Errors
    /// If the certificates can't be used, or the system has none.
    pub fn client(&self, verify: Verify) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let (roots, given) = match &self.ca {
            Some(text) => trusted(text)?,
            None if verify == Verify::Nothing => (RootCertStore::empty(), Vec::new()),
            None => (system()?, Vec::new()),
        };
        let unusable = |error: rustls::Error| unreadable(format!("the certificates for TLS can't be used: {error}"));
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let verifier = Verifier { roots, given, verify, algorithms: provider.signature_verification_algorithms };
        let builder = builder.map_err(unusable)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((cert, key)) => {
                let chain = certificates(cert).map_err(|why| unreadable(format!("`tls.cert` has {why}")))?;
                let made = builder.with_client_auth_cert(chain, self::key(key)?);
                made.map_err(|error| {
                    unusable(error).fix("`tls.key` has to be the private key of the first certificate in `tls.cert`")
                })
            }
        }
    }
}

/// What certificates of these authorities are checked with, and these themselves.
fn trusted(text: &str) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let given = certificates(text).map_err(|why| unreadable(format!("`tls.ca` has {why}")))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(given.iter().cloned());
    if added == 0 {
        return Err(unreadable("none of the certificates in `tls.ca` can be used")
            .fix("they have to be X.509 certificates of version 3"));
    }
    Ok((roots, given))
}

fn system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(unreadable("the system has no certificates of authorities to trust")
            .fix("install the package ca-certificates, or set `tls.ca`")),
    }
}
