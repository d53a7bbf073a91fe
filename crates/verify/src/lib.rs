//! Verifying a pipeline: its source is read again, its transforms are run again, and what its sink should hold is held
//! against what is there, row by row.
//!
//! Of what the run believed only this is taken: which spec, which types, from which positions to which. Its ledger and
//! its dead letters are claims, to be proven like the rows. `docs/adr/0008-verify.md` says why.
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
use dataflow_core::problem::Problem;
use dataflow_engine::{claims::Claims, parts::Plugins, view::DeadLetter};
use dataflow_sdk::{Context, Error as ConnectorError, audit::Audit};
use letters::Letters;
use range::Range;
use replay::Replay;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Where a pipeline's claims come from: a node, or a journal that no node has open.
#[async_trait]
pub trait Claimant: Send + Sync {
    /// What it claims to have done.
    async fn claims(&self) -> Result<Claims, Error>;
    /// Its dead letters after number `after`, without their bytes; an empty page: there are no more.
    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error>;
}

/// What a verification may be told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Others write to the target, too, or earlier generations did: rows that nothing explains, or that are there once
    /// more, are counted, and not held against the pipeline.
    pub shared: bool,
    /// The records of a pipeline with an `http` source, one JSON object a line, in the order in which they were accepted.
    pub records: Option<PathBuf>,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not as things are.
    #[error("{message}")]
    NotNow {
        /// What is in the way.
        message: String,
        /// What to do about it.
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
        /// Why.
        error: ConnectorError,
    },
    /// What the claims come from can't be read.
    #[error("{0}")]
    Claims(String),
}

impl Error {
    fn not_now(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::NotNow { message: message.into(), fix: Some(fix.into()) }
    }
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Records read again.
    pub records: u64,
    /// How much of the range is read, from 0 to 1; none: it can't be told.
    pub share: Option<f64>,
    /// Whether the range is read and the target is being compared.
    pub comparing: bool,
}

/// Verifies a pipeline that is at rest.
///
/// # Errors
/// If it isn't at rest, or source, sink or claims can't be read. What differs is no error: it is in the report.
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
            "{id} is {}: what it has read and not yet committed can't be told from what is lost",
            claims.status
        );
        return Err(Error::not_now(
            message,
            format!("stop it first (`dataflow pipeline stop {id}`), or let it run to its end"),
        ));
    }
    let (source, built) =
        (build("source", plugins.source(&claims.spec.source))?, build("sink", plugins.sink(&claims.spec.sink))?);
    let stop = CancellationToken::new();
    let _end = stop.clone().drop_guard();
    let cx = Context {
        pipeline: id.clone(),
        incarnation: claims.incarnation.clone(),
        batch: claims.spec.batch,
        max_record_bytes: claims.spec.max_record_bytes,
        max_in_flight_bytes: claims.spec.max_in_flight_bytes,
        paths: Arc::default(),
        again: true,
        inbox: pushed::inbox(&claims, options).await?,
        stop,
    };
    let of_sink = |error| Error::Connector { part: "sink", error };

    let mut report = Report::of(&claims, options);
    let reached = tokens::reached(&claims, &*built.sink, &cx, &mut report).await.map_err(of_sink)?;
    let range = Range::of(&claims, &reached);
    let mut letters = Letters::load(claimant, &claims).await?;
    let mut volatile = BTreeSet::new();
    for spec in claims.stretches.iter().map(|stretch| &stretch.spec).chain([&claims.spec]) {
        let of_spec = plugins.compiler().volatile(spec);
        if of_spec.rows {
            report.cannot("which records have rows depends on a function that gives another value each time");
        }
        volatile.extend(of_spec.fields);
    }
    let volatile: Vec<_> = volatile.into_iter().collect();
    report.not_compared.clone_from(&volatile);
    let audit = Audit { lanes: claims.by_lane.clone(), volatile };
    let Some(audited) = built.sink.audit(&cx, audit).await.map_err(of_sink)? else {
        let kind = &claims.spec.sink.kind;
        return Err(Error::NotNow {
            message: format!("what a {kind} sink has taken can't be read again, so nothing can be proven"),
            fix: None,
        });
    };
    report.not_durable.clone_from(&audited.not_durable);
    let unknown_fields = built.unknown_fields;
    let mut replay = Replay::new(&claims, plugins, audited, unknown_fields, range)?;
    replay.run(&*source, &cx, &mut letters, &mut report, &mut watch).await?;
    watch(Progress { records: report.records(), share: Some(1.0), comparing: true });
    report.rows = replay.finish().await.map_err(of_sink)?;
    report.dead_letters = letters.finish();
    report.conclude(&claims, &reached);
    Ok(report)
}

fn build<T>(part: &'static str, built: Result<T, Vec<Problem>>) -> Result<T, Error> {
    built.map_err(|problems| Error::Invalid { part, problems })
}
