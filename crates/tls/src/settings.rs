//! What a connector's settings say about TLS.
use dataflow_sdk::Problem;
use schemars::JsonSchema;
use serde::Deserialize;

/// Certificates for TLS.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// File with the certificates (PEM) of the authorities to trust. Default: those that the system trusts.
    #[serde(default)]
    #[schemars(extend("x-path" = "read"))]
    pub ca: Option<String>,
    /// File with the client's certificate (PEM), followed by those of its intermediate authorities, for servers that ask
    /// for one. Needs `key`.
    #[serde(default)]
    #[schemars(extend("x-path" = "read"))]
    pub cert: Option<String>,
    /// The private key of `cert`, a secret: the text of an unencrypted PEM file (-----BEGIN PRIVATE KEY-----), as
    /// `${file:…}` gives it.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub key: Option<String>,
}

/// Without the key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("ca", &self.ca).field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Tls {
    /// What is wrong with these settings, which are at `path`.
    pub fn check(&self, path: &str) -> Vec<Problem> {
        let missing = |field: &str, of: &str| {
            let problem = Problem::new(format!("{path}.{field}"), "missing-field", format!("is needed beside `{of}`"));
            problem.fix(format!("give both `cert` and `key`, or leave `{of}` out"))
        };
        match (&self.cert, &self.key) {
            (Some(_), None) => vec![missing("key", "cert")],
            (None, Some(_)) => vec![missing("cert", "key")],
            _ => Vec::new(),
        }
    }
}
