//! Secrets that settings and specs name with `${env:NAME}`: only here is the environment read for them.
use dataflow_sdk::catalog::Secrets;

/// The environment of this process, and the files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment;

impl Secrets for Environment {
    #[expect(clippy::disallowed_methods, reason = "settings are the one place that reads the environment")]
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
