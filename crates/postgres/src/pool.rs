//! One capped pool of connections per server, common to all pipelines of the process.
use crate::{
    failure,
    session::Session,
    tls::{self, Connector},
};
use dataflow_sdk::{Error, Paths, Problem};
use dataflow_tls::{Material, Tls};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Metrics, Object, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_postgres::{Client, Config, config::Host};

/// By url, whether `tls` is given, and the certificates.
type Key = (String, bool, Material);

static POOLS: LazyLock<Mutex<HashMap<Key, Server>>> = LazyLock::new(Mutex::default);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a lane waits for a connection that others use.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection without an answer for this long counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// What each session is set to, whatever its role, database or url say: commits must be on disk, and a text must mean the
/// same everywhere. What PostgreSQL reads by other settings (dates, times without an offset) is sent in a form that they
/// don't change.
const PINNED: &str = "set array_nulls = on; set xmloption = content; set intervalstyle = postgres; \
    select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";

/// A server's database.
#[derive(Clone, Debug)]
pub struct Server {
    pool: Pool,
    config: Arc<Config>,
    /// How it is reached.
    pub tls: Connector,
    /// When a sink was last opened: sessions that began earlier are not used any more.
    opened: Arc<Mutex<Instant>>,
    /// `host:port/database`, for messages.
    pub name: Arc<str>,
}

/// Doesn't contain the URL, which may hold a password.
const INVALID: &str = "the url is not a valid PostgreSQL URL (postgres://user:password@host:5432/database)";

/// Checks a URL, and what is said of TLS beside it.
pub fn check(url: &str, tls: Option<&Tls>) -> Vec<Problem> {
    let mut problems = tls::check(url, tls);
    let wrong = match tls::read(url).map(|asked| asked.config) {
        // The parser's message may contain parts of the URL, and so of its password.
        None => Some(INVALID),
        Some(config) if config.get_hosts().is_empty() => Some("the url has no host"),
        Some(config) if config.get_user().is_none() => Some("the url has no user"),
        Some(_) => None,
    };
    if let Some(wrong) = wrong.filter(|_| problems.is_empty()) {
        let problem = Problem::new("url", "invalid-value", wrong);
        problems.push(problem.fix("write postgres://user:password@host:5432/database"));
    }
    problems
}

/// The database that a URL names, independent of its spelling.
pub fn target(url: &str) -> String {
    tls::read(url).map_or_else(|| url.into(), |asked| name(&asked.config).to_lowercase())
}

/// A table of the database that a URL names, for comparing what is read with what is written.
pub fn table(url: &str, table: &str) -> String {
    format!("table {table} of {}", target(url))
}

/// Returns the server at a URL, for opening a sink. From now on it uses only new sessions: the settings that a session
/// gets when it begins (read-only, a search path, time limits, the server of several) may have changed. So may certificates
/// have: with others, it is another server.
pub fn server(url: &str, tls: Option<&Tls>, paths: &Paths, max_connections: u16) -> Result<Server, Error> {
    let material = tls.map(|tls| tls.read(paths)).transpose()?.unwrap_or_default();
    let key = (url.to_owned(), tls.is_some(), material);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = pools.get(&key) {
        *server.opened.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        return Ok(server.clone());
    }
    let server = build(&key, max_connections)?;
    pools.insert(key, server.clone());
    Ok(server)
}

/// The server at a URL, of which only [sessions](Server::session) are wanted: it is in nobody's way.
pub fn alone(url: &str, tls: Option<&Tls>, paths: &Paths) -> Result<Server, Error> {
    let material = tls.map(|tls| tls.read(paths)).transpose()?.unwrap_or_default();
    build(&(url.to_owned(), tls.is_some(), material), 1)
}

fn build((url, is_given, material): &Key, max_connections: u16) -> Result<Server, Error> {
    let invalid = || Error::fatal("invalid-url", INVALID).for_user();
    let mut asked = tls::read(url).ok_or_else(invalid)?;
    let connector = asked.connector(*is_given, material)?;
    let mut config = asked.config;
    let name = name(&config);
    if config.get_application_name().is_none() {
        config.application_name("dataflow");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config.tcp_user_timeout(DEAD_AFTER).keepalives_idle(DEAD_AFTER);
    let manager = Manager::from_config(
        config.clone(),
        connector.clone(),
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    let pinned = Hook::async_fn(|client: &mut ClientWrapper, _| {
        Box::pin(async move { client.batch_execute(PINNED).await.map_err(HookError::Backend) })
    });
    let opened = Arc::new(Mutex::new(Instant::now()));
    let since = opened.clone();
    let current = Hook::sync_fn(move |_, metrics: &Metrics| {
        match metrics.created < *since.lock().unwrap_or_else(PoisonError::into_inner) {
            true => Err(HookError::message("the session began before a sink was opened")),
            false => Ok(()),
        }
    });
    let pool = Pool::builder(manager)
        .max_size(max_connections.into())
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .post_create(pinned)
        .pre_recycle(current)
        .build();
    let pool = pool.map_err(|error| Error::fatal("internal", format!("can't create a pool for {name}: {error}")))?;
    Ok(Server { pool, config: Arc::new(config), tls: connector, opened, name })
}

/// `host:port/database`.
fn name(config: &Config) -> Arc<str> {
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("{hosts}/{}", config.get_dbname().or(config.get_user()).unwrap_or_default()).into()
}

impl Server {
    /// Takes a connection from the pool; dropping it returns it.
    pub async fn connection(&self) -> Result<Object, Error> {
        let unreachable = |why: &str| failure::unreachable(format!("can't reach PostgreSQL at {}: {why}", self.name));
        self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => Error::transient(
                "busy",
                format!(
                    "all {} connections to PostgreSQL at {} are in use (maxConnections)",
                    self.pool.status().max_size,
                    self.name
                ),
            ),
            PoolError::Timeout(_) => unreachable("no answer in time"),
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                failure::classify("connect to", &self.name, &error)
            }
            other => unreachable(&other.to_string()),
        })
    }

    /// Runs `work` on a connection outside the pool, which is closed afterwards: for work that can't wait until another
    /// lane returns a connection.
    pub async fn beside_the_pool<T>(&self, work: impl AsyncFnOnce(Client) -> Result<T, Error>) -> Result<T, Error> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.config.connect(self.tls.clone())).await;
        let late = |_| failure::unreachable(format!("PostgreSQL at {} does not answer", self.name));
        let (client, connection) =
            connecting.map_err(late)?.map_err(|error| failure::classify("connect to", &self.name, &error))?;
        // The connection ends when the client is dropped.
        futures::join!(work(client), connection).0
    }

    /// A session outside the pool, for work that lasts: it ends when it is dropped.
    pub async fn session(&self) -> Result<Session, Error> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.config.connect(self.tls.clone())).await;
        let late = |_| failure::unreachable(format!("PostgreSQL at {} does not answer", self.name));
        let (client, connection) =
            connecting.map_err(late)?.map_err(|error| failure::classify("connect to", &self.name, &error))?;
        Ok(Session::new(self.name.clone(), client, Box::pin(connection)))
    }

    /// Classifies an error.
    pub fn failed(&self, doing: &str, error: &tokio_postgres::Error) -> Error {
        failure::classify(doing, &self.name, error)
    }
}
