//! Where a bucket is and who asks for it, as the settings of a source or sink say it.
use crate::server;
use dataflow_sdk::Problem;
use dataflow_tls::Tls;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where a bucket is and who asks for it.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The server, as `https://host:port`. Default: Amazon's in the region. Usually from the node's connection.
    #[serde(default)]
    #[schemars(extend("x-address" = "host"))]
    pub endpoint: Option<String>,
    /// The region. Default: that of the environment, or `us-east-1`.
    #[serde(default)]
    pub region: Option<String>,
    /// The id of the access key. Default: what the node's environment has (variables, web identity, container, instance).
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub secret_access_key: Option<String>,
    /// The token of temporary credentials.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub session_token: Option<String>,
    /// Whether the endpoint may be `http://`, without encryption.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates: which authorities to trust, and what to show of oneself.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// Without secrets.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Access {
    /// How users call the server.
    pub fn server(&self) -> String {
        self.endpoint.as_deref().map_or_else(|| "s3".into(), |endpoint| endpoint.trim_end_matches('/').to_lowercase())
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        server::speaks_tls(self.endpoint.as_deref())
    }

    /// What is wrong with it, as far as can be told without asking.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = server::check(self.endpoint.as_deref(), self.allow_http, self.tls.as_ref());
        let keys = [("accessKeyId", &self.access_key_id), ("secretAccessKey", &self.secret_access_key)];
        if let [(given, Some(_)), (missing, None)] | [(missing, None), (given, Some(_))] = keys {
            let message = format!("{given} is given without {missing}");
            problems.push(
                Problem::new(missing, "missing-field", message).fix("give both, or neither to use the environment's"),
            );
        }
        problems
    }
}

/// What is wrong with the name of a bucket.
pub fn check_bucket(name: &str) -> Option<Problem> {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '.' | '_');
    if (3..=63).contains(&name.len()) && name.chars().all(fits) && !name.contains("..") {
        return None;
    }
    let message =
        format!("{name:?} can't be the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens");
    let fix = if name.contains('/') { "folders belong into `path`" } else { "give the bucket's name alone" };
    Some(Problem::new("bucket", "invalid-value", message).fix(fix))
}
