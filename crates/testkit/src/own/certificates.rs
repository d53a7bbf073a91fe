//! Certificates made in a test.
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// An authority that issues certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The key (PKCS #8).
    pub key: String,
}

fn params(names: &[&str], common_name: &str, expired: bool) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of hosts");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = if expired { date_time_ymd(2021, 2, 3) } else { date_time_ymd(2100, 1, 1) };
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let mut params = params(&[], name, false);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("a certificate"))
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these hosts, valid until 2100.
    pub fn issue(&self, hosts: &[&str]) -> Identity {
        self.identity(params(hosts, hosts.first().unwrap_or(&"nobody"), false))
    }

    /// A certificate for these hosts that expired on 2021-02-03.
    pub fn issue_expired(&self, hosts: &[&str]) -> Identity {
        self.identity(params(hosts, "expired", true))
    }

    /// A certificate for a client, which is known by this name.
    pub fn issue_for_client(&self, name: &str) -> Identity {
        self.identity(params(&[], name, false))
    }

    fn identity(&self, params: CertificateParams) -> Identity {
        let key = key();
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// A certificate that nobody has issued, which may issue others, as `openssl req -x509` makes it.
    pub fn self_signed(hosts: &[&str], expired: bool) -> Self {
        let mut params = params(hosts, "self-signed", expired);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let cert = params.self_signed(&key).expect("a certificate");
        Self { cert: cert.pem(), key: key.serialize_pem() }
    }
}
