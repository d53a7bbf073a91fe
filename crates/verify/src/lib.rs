//! Verifies a pipeline: reads its source again, runs its transforms again, and compares the expected content of its
//! sink with the actual one, row by row.
//!
//! It trusts only the run's spec, types, and start and end positions. The ledger and the dead letters are claims that
//! have to be proven like the rows. `docs/adr/0008-verify.md` says why.
mod again;
mod letters;
mod lossy;
mod pushed;
mod range;
mod replay;
mod report;
mod tokens;

pub use report::{Count, LetterFindings, Missing, Report, TokenFinding};

use async_trait::async_trait;
use dataflow_api_types::{Claims, DeadLetter};
use dataflow_core::problem::Problem;
use dataflow_engine::parts::Plugins;
use dataflow_sdk::{Context, Error as ConnectorError, audit::Audit};
use letters::Letters;
use range::Range;
use replay::Replay;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The origin of a pipeline's claims: a node, or a journal that no node has open.
#[async_trait]
pub trait Claimant: Send + Sync {
    /// Returns what the pipeline claims to have done.
    async fn claims(&self) -> Result<Claims, Error>;
    /// Returns its dead letters after number `after`, without their bytes; an empty page marks the end.
    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error>;
}

/// The options of a verification.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Other pipelines or earlier generations write to the target, too: unexplained and doubled rows are counted, but
    /// are not failures.
    pub shared: bool,
    /// The records of a pipeline with an `http` source, one JSON object per line, in the order of acceptance.
    pub records: Option<PathBuf>,
}

/// The reason why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Verification is not possible in the current state.
    #[error("{message}")]
    NotNow {
        /// The obstacle.
        message: String,
        /// The fix.
        fix: Option<String>,
    },
    /// The spec can't be built here: a connection or secret is missing.
    #[error("the {part} can't be built from these settings")]
    Invalid {
        /// `source`, `sink`, `transforms`.
        part: &'static str,
        /// All findings.
        problems: Vec<Problem>,
    },
    /// Source or sink can't be read.
    #[error("{part}: {error}")]
    Connector {
        /// `source`, `sink`.
        part: &'static str,
        /// The cause.
        error: ConnectorError,
    },
    /// The claims can't be read.
    #[error("{0}")]
    Claims(String),
}

impl Error {
    fn not_now(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::NotNow { message: message.into(), fix: Some(fix.into()) }
    }
}

/// The progress of a verification.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Records read again.
    pub records: u64,
    /// The share of the range that was read, from 0 to 1; `None` if it is unknown.
    pub share: Option<f64>,
    /// Whether reading has ended and the target is being compared.
    pub comparing: bool,
}

/// Verifies a pipeline that is at rest.
///
/// # Errors
/// If it isn't at rest, or source, sink or claims can't be read. Differences are not errors: they are in the report.
pub async fn verify(
    claimant: &dyn Claimant,
    plugins: Arc<dyn Plugins>,
    options: &Options,
    mut watch: impl FnMut(Progress),
) -> Result<Report, Error> {
    let claims = claimant.claims().await?;
    let id = &claims.pipeline_id;
    if !claims.at_rest {
        let message = format!(
            "{id} is {}: records read but not yet committed can't be distinguished from lost ones",
            claims.status
        );
        return Err(Error::not_now(
            message,
            format!("stop it first (`dataflow pipeline stop {id}`), or let it run to its end"),
        ));
    }
    let (source, built) =
        (build("source", plugins.source(&claims.spec.source))?, build("sink", plugins.sink(&claims.spec.sink))?);
    let declared = plugins.declared(&claims.spec);
    let stop = CancellationToken::new();
    let _end = stop.clone().drop_guard();
    let cx = Context {
        branch: claims.branch.clone(),
        incarnation: claims.incarnation.clone(),
        batch: claims.spec.batch,
        max_record_bytes: claims.spec.max_record_bytes,
        max_in_flight_bytes: claims.spec.max_in_flight_bytes,
        paths: Arc::default(),
        again: true,
        inbox: pushed::inbox(&claims, &declared, options).await?,
        stop,
    };
    let of_sink = |error| Error::Connector { part: "sink", error };

    let mut report = Report::of(&claims, options, &*source, built.rows.left_out_on_purpose);
    let reached = tokens::reached(&claims, &built, &cx, &mut report).await.map_err(of_sink)?;
    let range = Range::of(&claims, &reached, &*source);
    let mut letters = Letters::load(claimant, &claims, source.renames()).await?;
    let mut volatile = BTreeSet::new();
    for spec in claims.stretches.iter().map(|stretch| &stretch.spec).chain([&claims.spec]) {
        let of_spec = plugins.compiler().volatile(spec, &plugins.declared(spec));
        if of_spec.rows {
            report.cannot("which records have rows depends on a function that returns a different value each time");
        }
        volatile.extend(of_spec.fields);
    }
    let volatile: Vec<_> = volatile.into_iter().collect();
    report.not_compared.clone_from(&volatile);
    let audit = Audit { generation: claims.generation, lanes: claims.by_lane.clone(), volatile };
    let Some(audited) = built.sink.audit(&cx, audit).await.map_err(of_sink)? else {
        let kind = &claims.spec.sink.kind;
        return Err(Error::NotNow {
            message: format!("the output of a {kind} sink can't be read again, so nothing can be proven"),
            fix: None,
        });
    };
    report.not_durable.clone_from(&audited.not_durable);
    let mut replay = Replay::new(&claims, plugins, audited, &built.rows, range, &*source)?;
    replay.run(&cx, &mut letters, &mut report, &mut watch).await?;
    watch(Progress { records: report.records(), share: Some(1.0), comparing: true });
    report.rows = replay.finish().await.map_err(of_sink)?;
    report.conclude(&claims, &reached, |unread| letters.finish(unread));
    Ok(report)
}

fn build<T>(part: &'static str, built: Result<T, Vec<Problem>>) -> Result<T, Error> {
    built.map_err(|problems| Error::Invalid { part, problems })
}
