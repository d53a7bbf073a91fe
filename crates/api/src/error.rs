//! Errors as users get them: RFC 9457 problems. The only place where a failure becomes a status and a code.
use axum::{
    Json,
    body::Body,
    http::{HeaderValue, Method, Response, StatusCode, header},
    response::IntoResponse,
};
use dataflow_api_types::ProblemDocument;
use dataflow_core::{
    id::SinkName,
    limits,
    pipeline::{
        Rejected,
        rejected::{Doubled, GivenUp},
    },
    problem::Problem,
};
use dataflow_engine::{client::PipelineClient, region::AskError};
use std::any::Any;

/// A kind of error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
}

macro_rules! kinds {
    ($($name:ident $code:literal $status:ident $title:literal;)*) => {
        $(const $name: Kind = Kind { code: $code, status: StatusCode::$status, title: $title };)*
        /// All kinds of errors.
        pub(crate) const KINDS: &[Kind] = &[$($name),*];
    };
}
kinds! {
    INVALID "invalid" BAD_REQUEST "the request is not valid";
    MALFORMED_JSON "malformed-json" BAD_REQUEST "the body is not JSON";
    HOST_NOT_ALLOWED "host-not-allowed" FORBIDDEN "this host name is not one of the node's";
    ORIGIN_NOT_ALLOWED "origin-not-allowed" FORBIDDEN "pages of other origins may not change anything here";
    NOT_FOUND "not-found" NOT_FOUND "not found";
    UNKNOWN_PATH "unknown-path" NOT_FOUND "not found: no such path";
    METHOD_NOT_ALLOWED "method-not-allowed" METHOD_NOT_ALLOWED "this path doesn't support this method";
    ALREADY_EXISTS "already-exists" CONFLICT "it already exists";
    NOT_ALLOWED "not-allowed" CONFLICT "not possible in the current state";
    REPLACED "replaced" CONFLICT "another update took its place";
    UNDELIVERED "undelivered" CONFLICT "undelivered records would be lost";
    RESET_NEEDED "reset-needed" CONFLICT "the change gives up positions";
    RETARGET_NEEDED "retarget-needed" CONFLICT "the new target would lack delivered records";
    SINK_AHEAD "sink-ahead" CONFLICT "the target would have records twice";
    UNSETTLED "unsettled" CONFLICT "the sink could not be checked";
    VERSION_MISMATCH "version-mismatch" PRECONDITION_FAILED "the pipeline has changed";
    TOO_SLOW "too-slow" REQUEST_TIMEOUT "the request arrived too slowly";
    TOO_LARGE "too-large" PAYLOAD_TOO_LARGE "the body is too large";
    COMPRESSED "compressed" UNSUPPORTED_MEDIA_TYPE "the body is compressed";
    BATCH_ID_REUSED "batch-id-reused" UNPROCESSABLE_ENTITY "the batchId was used for other content";
    KEY_REUSED "idempotency-key-reused" UNPROCESSABLE_ENTITY "the idempotency key was used for another request";
    OVERLOADED "overloaded" TOO_MANY_REQUESTS "too much is waiting to be processed";
    JOURNAL_DAMAGED "journal-damaged" INTERNAL_SERVER_ERROR "the journal is damaged";
    OTHER_BUILD "other-build" INTERNAL_SERVER_ERROR "another build has written the journal";
    INTERNAL "internal" INTERNAL_SERVER_ERROR "the node has an internal error";
    UNAVAILABLE "unavailable" SERVICE_UNAVAILABLE "not reachable at the moment";
}

/// Seconds after which a client may try again when the node is busy.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An answer that is an error.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    detail: String,
    problems: Vec<Problem>,
    retry_after: Option<u64>,
}

impl Error {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), problems: Vec::new(), retry_after: None }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.problems.push(Problem::new("", self.kind.code, self.detail.clone()).fix(fix));
        self
    }

    /// Findings about what was sent.
    pub(crate) fn invalid(problems: Vec<Problem>) -> Self {
        let detail = match problems.as_slice() {
            [only] => only.to_string(),
            several => format!("{} findings", several.len()),
        };
        Self { problems, ..Self::new(INVALID, detail) }
    }

    /// The body can't be read as JSON.
    pub(crate) fn malformed_json(detail: impl Into<String>) -> Self {
        Self::new(MALFORMED_JSON, detail)
    }

    /// The body is over the limit.
    pub(crate) fn too_large(most: usize) -> Self {
        let error = Self::new(TOO_LARGE, format!("the body is larger than {most} bytes"));
        error.fix(match most {
            limits::MAX_BATCH_BODY => "push the records in several batches",
            _ => "shorten it: no spec or position is that long",
        })
    }

    /// The body says, or looks like, it has to be decompressed first.
    pub(crate) fn compressed(detail: impl Into<String>) -> Self {
        Self::new(COMPRESSED, detail).fix("send the body as it is, uncompressed and without Content-Encoding")
    }

    /// What was asked for by name isn't there.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, detail)
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        Self::new(UNKNOWN_PATH, format!("there is nothing under {path}")).fix("see /api/docs for the paths")
    }

    pub(crate) fn unknown_method(method: &Method, path: &str) -> Self {
        Self::new(METHOD_NOT_ALLOWED, format!("{path} doesn't support {method}")).fix("see /api/docs for its methods")
    }

    pub(crate) fn bad_host(count: usize) -> Self {
        Self::invalid(vec![
            Problem::new("Host", "invalid-value", format!("is given {count} times"))
                .fix("send the header exactly once, as HTTP/1.1 asks"),
        ])
    }

    /// The body takes too long.
    pub(crate) fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(TOO_SLOW, detail).fix("send the body without pauses, or send less in one request")
    }

    pub(crate) fn host_not_allowed(host: &str) -> Self {
        Self::new(HOST_NOT_ALLOWED, format!("{host:?} is not a name of this node"))
            .fix("use localhost or 127.0.0.1, or add the name to `hosts` in the node's settings")
    }

    pub(crate) fn origin_not_allowed(origin: &str) -> Self {
        Self::new(ORIGIN_NOT_ALLOWED, format!("pages of {origin:?} may not change anything here"))
            .fix("use the node's own page, the CLI, or a client that sends no foreign Origin")
    }

    /// A defect of this program.
    pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
        Self::new(INTERNAL, format!("internal error: {what}"))
    }

    fn journal_damaged(what: String) -> Self {
        tracing::error!("{what}");
        Self::new(JOURNAL_DAMAGED, what).fix("restore a backup: `dataflow restore`")
    }

    fn other_build(what: String) -> Self {
        tracing::error!("{what}");
        Self::new(OTHER_BUILD, what).fix("run the build of dataflow that wrote it, or a newer one")
    }

    /// Why a pipeline has not answered.
    pub(crate) fn of(pipeline: &PipelineClient) -> impl Fn(AskError) -> Self {
        move |error| Self::of_ask(error, pipeline.id().as_str())
    }

    fn of_ask(error: AskError, pipeline: &str) -> Self {
        match error {
            AskError::Rejected(rejected) => Self::of_rejected(rejected, pipeline),
            AskError::NotOwner(_) => Self {
                retry_after: Some(RETRY_AFTER_SECONDS),
                ..Self::new(UNAVAILABLE, format!("the pipeline {pipeline:?} can't be reached here: {error}"))
            },
            AskError::Unavailable(why) => Self {
                retry_after: Some(RETRY_AFTER_SECONDS),
                ..Self::new(UNAVAILABLE, format!("the pipeline {pipeline:?} can't be reached at the moment: {why}"))
            },
            AskError::Damaged(what) => Self::journal_damaged(what),
            AskError::OtherBuild(what) => Self::other_build(what),
            AskError::Internal(what) => {
                tracing::error!(pipeline, "internal error: {what}");
                Self::new(INTERNAL, what)
            }
        }
    }

    fn of_rejected(rejected: Rejected, pipeline: &str) -> Self {
        let detail = rejected.to_string();
        match rejected {
            Rejected::NotFound => Self::not_found(format!("there is no pipeline {pipeline:?}"))
                .fix("list the existing ones: GET /api/pipelines, or `dataflow pipeline list`"),
            Rejected::AlreadyExists => Self::new(ALREADY_EXISTS, format!("the pipeline {pipeline:?} already exists"))
                .fix(format!("change it (PUT /api/pipelines/{pipeline}, or `dataflow pipeline update`), or choose another id")),
            Rejected::NotAllowed { fix, .. } => match fix {
                Some(fix) => Self::new(NOT_ALLOWED, detail).fix(fix),
                None => Self::new(NOT_ALLOWED, detail),
            },
            Rejected::VersionMismatch { .. } => {
                Self::new(VERSION_MISMATCH, detail).fix("get it again, check what has changed, and repeat")
            }
            Rejected::Invalid { problems } => Self::invalid(problems),
            Rejected::KeyReused => Self::new(KEY_REUSED, detail).fix("use a new Idempotency-Key for each request"),
            Rejected::ResetNeeded { positions } => Self {
                problems: positions.iter().map(given_up).collect(),
                ..Self::new(RESET_NEEDED, detail)
            },
            Rejected::RetargetNeeded { .. } => Self {
                problems: vec![Problem::new("sink", RETARGET_NEEDED.code, detail.clone()).fix(retarget(None))],
                ..Self::new(RETARGET_NEEDED, detail)
            },
            Rejected::SinkAhead { places, uncounted } => {
                let said = |place: &Doubled| place.to_string();
                let more = (uncounted > 0).then(|| format!("{uncounted} record(s) that the journal does not count"));
                // Of what the journal does not count, no position is known.
                let other = match uncounted {
                    0 => {
                        "choose \"sink-token\" or \"journal\", whichever is ahead, or do what the pipeline's error says, to write \
                            nothing twice; or "
                    }
                    _ => "do what the pipeline's error says, to write nothing twice; or ",
                };
                let fix = format!("{other}repeat with ?force=true (--force) to write these records again");
                let problem = |said: String| Problem::new("to", SINK_AHEAD.code, said).fix(fix.clone());
                Self { problems: places.iter().map(said).chain(more).map(problem).collect(), ..Self::new(SINK_AHEAD, detail) }
            }
            Rejected::BatchIdReused => Self::new(BATCH_ID_REUSED, detail).fix("use another batchId for other records"),
            Rejected::Overloaded { .. } => Self {
                retry_after: Some(RETRY_AFTER_SECONDS),
                ..Self::new(OVERLOADED, detail).fix("send it again later; see Retry-After")
            },
            Rejected::Unsettled { .. } => Self::new(UNSETTLED, detail)
                .fix("fix that and repeat, or repeat with ?force=true (--force): the sink's progress beyond the checkpoint is then unknown"),
            Rejected::Undelivered { records, dead_letters } => {
                let first = match (records > 0, dead_letters > 0) {
                    (true, true) => "start the pipeline until pushed records are delivered, and keep a copy of its dead letters",
                    (true, false) => "start the pipeline until pushed records are delivered",
                    (false, _) => "keep a copy of its dead letters",
                };
                let copy = if dead_letters > 0 { " (`dataflow dead-letters export`)" } else { "" };
                let then = "what is left goes with the pipeline: repeat with ?discard=true (`dataflow pipeline delete --discard`)";
                Self::new(UNDELIVERED, detail).fix(format!("{first}{copy}; {then}"))
            }
            Rejected::Replaced => Self::new(REPLACED, detail).fix("read the pipeline, and send it again if it is still wanted"),
            Rejected::StaleRun => Self::new(NOT_ALLOWED, detail),
            Rejected::OfSink { sink, rejected } => {
                let retargets = matches!(*rejected, Rejected::RetargetNeeded { .. });
                let mut error = Self::of_rejected(*rejected, pipeline);
                if retargets {
                    error.problems.iter_mut().for_each(|problem| problem.fix = Some(retarget(Some(&sink))));
                }
                error.problems.iter_mut().for_each(|problem| problem.message = format!("sink {sink}: {}", problem.message));
                Self { detail, ..error }
            }
        }
    }

    /// An answer of the region about all pipelines.
    pub(crate) fn of_list(error: AskError) -> Self {
        match error {
            AskError::Rejected(rejected) => Self::of_rejected(rejected, ""),
            AskError::NotOwner(_) => Self {
                retry_after: Some(RETRY_AFTER_SECONDS),
                ..Self::new(UNAVAILABLE, format!("the pipelines can't be listed here: {error}"))
            },
            AskError::Unavailable(why) => Self {
                retry_after: Some(RETRY_AFTER_SECONDS),
                ..Self::new(UNAVAILABLE, format!("the pipelines can't be listed at the moment: {why}"))
            },
            AskError::Damaged(what) => Self::journal_damaged(what),
            AskError::OtherBuild(what) => Self::other_build(what),
            AskError::Internal(what) => {
                tracing::error!("internal error: {what}");
                Self::new(INTERNAL, what)
            }
        }
    }

    fn document(self) -> ProblemDocument {
        ProblemDocument {
            kind: format!("/api/docs#{}", self.kind.code),
            title: self.kind.title.into(),
            status: self.kind.status.as_u16(),
            code: self.kind.code.into(),
            detail: self.detail,
            problems: self.problems.into_iter().map(Into::into).collect(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        let (status, retry_after) = (self.kind.status, self.retry_after);
        let mut response = (status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == COMPRESSED.status {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What to do about a target that lacks what was delivered. Of several sinks, only that one's checkpoint: the others would have all twice.
fn retarget(sink: Option<&SinkName>) -> String {
    let only = sink.map(|sink| format!("--sink {sink} ")).unwrap_or_default();
    format!(
        "repeat with ?retarget=true (--retarget) to continue from here, so that the new target gets only later records; or set the \
            checkpoint to \"beginning\" first ({only}--force), to write everything that the source still has to it"
    )
}

/// A position that a change would give up.
fn given_up(position: &GivenUp) -> Problem {
    let (at, otherwise) = match position.of_removed {
        true => ("sinks", "keep the sink until it has them"),
        false => ("source", "leave the source unchanged"),
    };
    let fix = format!("repeat with ?reset=true (--reset) if that is intended; otherwise {otherwise}");
    Problem::new(at, RESET_NEEDED.code, position.to_string()).fix(fix)
}

/// The answer to a request whose handler panicked.
pub(crate) fn of_panic(panic: Box<dyn Any + Send>) -> Response<Body> {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!("a request handler panicked: {}", what.unwrap_or("unknown"));
    Error::new(INTERNAL, "the request failed because of a bug; the node's log has the details").into_response()
}
