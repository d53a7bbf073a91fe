//! `dataflow serve`: a node with its REST API.
use super::{Outcome, exit::Failure};
use crate::{
    data_dir::{self, DataDir},
    door::Door,
    node::{self, Node, Whose},
    plugins::Connectors,
    settings::{self, Overrides, Settings},
    signals::Signals,
    telemetry,
};
use dataflow_journal_sqlite as sqlite;
use std::{
    io::{self, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Address of the REST API; port 0 picks a free one, which is printed [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

pub(super) fn main(args: Args) -> Result<Outcome, Failure> {
    let settings = load(&args.overrides, args.listen.as_deref())?;
    runtime()?.block_on(serve(settings))
}

/// Settings for a node, its log started.
pub(super) fn load(overrides: &Overrides, listen: Option<&str>) -> Result<Settings, Failure> {
    let (settings, warnings) = settings::load(overrides, listen, std::env::vars())
        .map_err(|problems| Failure::invalid("the settings are wrong", problems))?;
    telemetry::log_to_stderr(&settings.log);
    for warning in warnings {
        match tracing::enabled!(tracing::Level::WARN) {
            true => tracing::warn!("{warning}"),
            false => say!("warning: {warning}"),
        }
    }
    Ok(settings)
}

/// The runtime of a node.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start the runtime: {error}")))
}

async fn serve(settings: Settings) -> Result<Outcome, Failure> {
    let mut signals = signals()?;
    // Checked before the folder is made: settings that are wrong leave nothing behind.
    let connectors = node::connectors(&settings, Whose::Anyones)?;
    let data = DataDir::lock(&settings.data_dir.join("node")).map_err(node::Error::from)?;
    let server = tokio::select! {
        started = Server::start(&settings, &connectors, data) => started?,
        signal = signals.next() => {
            tracing::info!(%signal, "stopped before it was ready");
            return Ok(Outcome::Done);
        }
    };
    tracing::info!(folder = %settings.data_dir.display(), "up at {}", server.url());
    // Whoever started it may want to know the port; a node whose stdout nobody reads runs all the same.
    if writeln!(io::stdout(), "listening on {}", server.url()).is_err() {
        tracing::debug!("nobody reads stdout");
    }
    let signal = signals.next().await;
    tracing::info!(%signal, "stopping; send the signal again to stop without waiting");
    tokio::select! {
        drained = server.shutdown(settings.shutdown_timeout.into()) => match drained {
            Ok(()) => {
                tracing::info!("stopped; everything is settled");
                Ok(Outcome::Done)
            }
            Err(unsettled) => Err(unsettled.into()),
        },
        signal = signals.next() => Err(Failure::failed(format!("stopped immediately by a second {signal}"))),
    }
}

/// Takes over SIGTERM and SIGINT.
pub(super) fn signals() -> Result<Signals, Failure> {
    Signals::listen().map_err(|error| Failure::failed(format!("can't listen for signals: {error}")))
}

/// A node with its REST API up.
#[derive(Debug)]
pub(super) struct Server {
    node: Node,
    door: Door,
}

impl Server {
    /// Starts a node with its state in a folder, and its API. Nothing goes on if either fails.
    pub(super) async fn start(settings: &Settings, connectors: &Connectors, data: DataDir) -> Result<Self, Failure> {
        let parts = node::parts(settings, connectors, &data)?;
        // Before any pipeline runs, so that an address in use stops nothing that has begun.
        let listener = parts.net.listen(settings.listen).await.map_err(|error| taken(settings.listen, &error))?;
        let metrics = telemetry::record_metrics().map_err(Failure::failed)?;
        let node = Node::build(settings, &connectors.connections.reach().paths, parts.clone(), Some(data)).await?;
        let door = Door::open(&node, settings, connectors, &parts, metrics, listener).map_err(Failure::failed)?;
        Ok(Self { node, door })
    }

    /// Where the API is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.door.address())
    }

    /// Stops in the reverse order of the start: the API takes no more requests, then the runs settle, then the journal is
    /// closed and the folder given back.
    ///
    /// # Errors
    /// If not all of it was done in time.
    pub(super) async fn shutdown(self, deadline: Duration) -> Result<(), node::Unsettled> {
        let begun = Instant::now();
        // Requests that wait (a stop, a delivery) get a part of the time only: the runs need the rest.
        let closed = tokio::select! {
            closed = self.door.close(deadline / 4) => closed,
            () = self.node.can_not_be_settled() => false,
        };
        self.node.shutdown(deadline.saturating_sub(begun.elapsed())).await?;
        if closed { Ok(()) } else { Err(node::Unsettled::Late) }
    }
}

fn taken(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("can't listen at {address}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.fix(
            "another program is listening there: stop it, or choose another address \
            with --listen 127.0.0.1:PORT (port 0 picks a free one)",
        ),
        _ => failure.fix("choose another address with --listen 127.0.0.1:PORT"),
    }
}

impl From<node::Unsettled> for Failure {
    fn from(unsettled: node::Unsettled) -> Self {
        let fix = match unsettled {
            node::Unsettled::Late => "give it longer: shutdownTimeout in the settings",
            node::Unsettled::Journal(_) => "fix the cause, and start again",
        };
        Self::failed(unsettled).fix(fix)
    }
}

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Self {
        match error {
            node::Error::Settings(problems) => Self::invalid("the settings are wrong", problems),
            #[cfg(feature = "fault-points")]
            node::Error::Faults(error) => Self::invalid(error, Vec::new()),
            node::Error::DataDir(data_dir::Error::InUse { .. }) => {
                Self::failed(error).fix("stop that process, or choose another folder with --data-dir DIR")
            }
            node::Error::Journal { ref path, source: dataflow_journal::Error::NotAsLeft(_) } => {
                let marker = sqlite::marker(path);
                let fix = format!(
                    "put back what is missing, or restore a backup with `dataflow restore`; to continue with the \
                        existing journal, remove {}: each pipeline then compares its checkpoint with its sink, and \
                        fails if the sink is ahead",
                    marker.display()
                );
                Self::failed(error).fix(fix)
            }
            node::Error::DataDir(data_dir::Error::Io { ref source, .. }) if !is_full(source) => Self::failed(error)
                .fix("make the folder writable, or choose another one with --data-dir DIR: a node knows only the pipelines of its folder"),
            // Another folder would be an empty node, which takes in and writes everything anew.
            node::Error::DataDir(_) => Self::failed(error).fix("free space on its disk, and start again"),
            node::Error::Journal { source: dataflow_journal::Error::Unavailable(_), .. } => {
                Self::failed(error).fix("free space on its disk, or fix the reported cause, and start again")
            }
            node::Error::Journal { source: dataflow_journal::Error::OtherBuild(_), .. } => {
                Self::failed(error).fix("start the build that wrote it")
            }
            node::Error::Journal { .. } => Self::failed(error).fix("restore a backup with `dataflow restore --replace`"),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node in another folder is an empty one.
    #[test]
    fn only_a_folder_that_can_not_be_used_has_another_one_as_its_fix() {
        use dataflow_journal::Error::{Broken, OtherBuild, Unavailable};
        let journal = |source| node::Error::Journal { path: "node/journal.db".into(), source };
        let folder = |kind: io::ErrorKind| {
            node::Error::DataDir(data_dir::Error::Io { path: "node".into(), source: kind.into() })
        };
        for (error, fix) in [
            (journal(Unavailable("database or disk is full".into())), "free space"),
            (journal(Broken("page 3".into())), "restore"),
            (journal(OtherBuild("version 7".into())), "the build"),
            (folder(io::ErrorKind::StorageFull), "free space"),
            (folder(io::ErrorKind::QuotaExceeded), "free space"),
            (folder(io::ErrorKind::PermissionDenied), "--data-dir"),
        ] {
            let failure = Failure::from(error);
            let said = failure.fix.unwrap_or_default();
            assert!(said.contains(fix), "{}: {said}", failure.message);
            assert_eq!(said.contains("--data-dir"), fix == "--data-dir", "{}: {said}", failure.message);
        }
    }
}
