//! What a node is made of: time, chance, tasks, compute, journal and plug-ins come in from outside, so that production
//! and the deterministic tests build the same node.
use async_trait::async_trait;
use dataflow_core::{
    pipeline::command::Change,
    position::Positions,
    problem::Problem,
    spec::{Component, PipelineSpec},
    time::Timestamp,
};
use dataflow_journal::Journal;
use dataflow_sdk::{catalog::BuiltSink, declared::Declared, source::Source, transform::Compiler};
use futures::future::BoxFuture;
use rand::{
    Rng, SeedableRng,
    rngs::{StdRng, SysRng},
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinHandle;

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where incarnations and jitter come from.
    pub rng: Arc<Random>,
    /// Who runs tasks.
    pub spawner: Arc<dyn Spawner>,
    /// Who runs what keeps a core busy.
    pub compute: Arc<dyn Compute>,
    /// Who listens.
    pub net: Arc<dyn Net>,
    /// Where events are kept.
    pub journal: Journal,
    /// Connectors and transforms.
    pub plugins: Arc<dyn Plugins>,
}

/// What time it is. Waiting goes through `tokio::time`, which tests pause.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Chance, from a seed.
pub struct Random(Mutex<StdRng>);

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    /// The same seed gives the same numbers in the same order.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
    /// Seeded by the operating system.
    pub fn from_system() -> Self {
        match StdRng::try_from_rng(&mut SysRng) {
            Ok(rng) => Self(Mutex::new(rng)),
            Err(error) => panic!("the operating system gives no random numbers: {error}"),
        }
    }
    /// 64 random bits.
    pub fn next(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
    /// A random name of 32 hexadecimal digits.
    pub fn name(&self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
    /// A wait of `ms`, less up to a quarter, so that what failed together does not come back together.
    pub fn jitter(&self, ms: u64) -> u64 {
        ms - self.next() % (ms / 4 + 1)
    }
}

/// Who runs tasks. Every task is spawned through it and belongs to who holds its handle.
pub trait Spawner: Send + Sync + fmt::Debug {
    /// Runs a task beside the others.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> JoinHandle<()>;
}

/// Tasks on the tokio runtime.
#[derive(Debug, Default)]
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns tasks")]
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
        tokio::spawn(task)
    }
}

/// A piece of work that keeps a core busy.
pub type Work = Box<dyn FnOnce() + Send>;

/// Who runs what keeps a core busy, away from the runtime's own threads.
#[async_trait]
pub trait Compute: Send + Sync + fmt::Debug {
    /// Runs the work to its end. A panic in it reaches the caller.
    async fn run(&self, work: Work);
}

/// Compute on threads of their own.
#[derive(Debug, Default)]
pub struct Threads;

#[async_trait]
impl Compute for Threads {
    async fn run(&self, work: Work) {
        if let Err(error) = tokio::task::spawn_blocking(work).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// Runs `work` on `compute` and returns what it made.
pub async fn compute<T: Send + 'static>(on: &dyn Compute, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (give, take) = tokio::sync::oneshot::channel();
    on.run(Box::new(move || {
        let made = work();
        if give.send(made).is_err() {
            tracing::trace!("nobody waits for this work any more");
        }
    }))
    .await;
    match take.await {
        Ok(made) => made,
        // The work was dropped unrun: the runtime is going away, and with it who waits here.
        Err(_) => futures::future::pending().await,
    }
}

/// Who listens for connections.
#[async_trait]
pub trait Net: Send + Sync + fmt::Debug {
    /// Listens at an address; port 0 takes a free one.
    async fn listen(&self, address: SocketAddr) -> std::io::Result<tokio::net::TcpListener>;
}

/// The machine's network.
#[derive(Debug, Default)]
pub struct TcpNet;

#[async_trait]
impl Net for TcpNet {
    async fn listen(&self, address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::bind(address).await
    }
}

/// Connectors and transforms of a node.
pub trait Plugins: Send + Sync + fmt::Debug {
    /// All findings about a spec, without touching the network.
    fn check(&self, spec: &PipelineSpec) -> Vec<Problem>;
    /// A source, its connection and secrets filled in.
    ///
    /// # Errors
    /// All findings.
    fn source(&self, component: &Component) -> Result<Box<dyn Source>, Vec<Problem>>;
    /// A sink, its connection and secrets filled in.
    ///
    /// # Errors
    /// All findings.
    fn sink(&self, component: &Component) -> Result<BuiltSink, Vec<Problem>>;
    /// What the connectors of a spec declare, as far as their settings can be read without looking up secrets.
    fn declared(&self, spec: &PipelineSpec) -> Declared;
    /// The compiler of transforms.
    fn compiler(&self) -> &dyn Compiler;
    /// What giving `after` the place of `before` changes, for a pipeline at these positions.
    fn change(&self, before: &PipelineSpec, after: &PipelineSpec, positions: &Positions) -> Change;
    /// What a sink calls its target.
    fn target(&self, sink: &Component) -> String;
    /// Whether two sinks of a pipeline write to the same target.
    fn same_target(&self, one: &Component, other: &Component) -> bool;
    /// The component as it may be shown: without secrets.
    fn redact(&self, component: &Component) -> Component;
}
