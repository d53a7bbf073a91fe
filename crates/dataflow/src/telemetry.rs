//! What the node says about itself: the log on stderr, and metrics.
use crate::settings::{Log, LogFormat};
use dataflow_sdk::catalog::Known;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::{
    backtrace::Backtrace,
    io::{self, IsTerminal, Write},
    sync::{Arc, LazyLock},
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// What the log must not show, whoever writes to it: the libraries that connectors use, too.
static SECRETS: LazyLock<Arc<Known>> = LazyLock::new(Arc::default);

/// Where secrets are to be noted that the log must not show.
pub fn secrets() -> Arc<Known> {
    SECRETS.clone()
}

/// Stderr, without secrets. Each write is a whole line of the log.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        io::stderr().write_all(SECRETS.hide(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Libraries that log each token or frame: only their warnings are for operators, unless the level names them.
const QUIET: &str = "sqlparser=warn,datafusion=warn,hyper=warn,hyper_util=warn,tokio_postgres=warn";

/// Starts the log. A second call changes nothing.
pub fn log_to_stderr(log: &Log) {
    // What is said later about the same target wins.
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(|| Stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Text => registry.with(to_stderr.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(to_stderr.json().flatten_event(true)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
    // What a library says as it panics may hold a secret, too.
    std::panic::set_hook(Box::new(|panic| {
        let said = format!("{panic}\n{}\n", Backtrace::capture());
        drop(Stderr.write_all(said.as_bytes()));
    }));
}

/// Starts recording metrics, once per process; the handle renders them for Prometheus.
///
/// # Errors
/// If another recorder was installed before.
pub fn record_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    dataflow_engine::describe_metrics();
    Ok(handle)
}
