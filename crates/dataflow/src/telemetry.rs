//! What the node says about itself: the log on stderr, and metrics.
use crate::settings::{Log, LogFormat};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts the log. A second call changes nothing.
pub fn log_to_stderr(log: &Log) {
    let filter = EnvFilter::new(&log.level);
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Text => registry.with(to_stderr.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(to_stderr.json().flatten_event(true)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
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
