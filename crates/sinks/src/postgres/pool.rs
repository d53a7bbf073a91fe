//! One capped pool of connections per server, common to all pipelines of the process.
use super::failure;
use dataflow_sdk::{Error, Problem};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Metrics, Object, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
};

static POOLS: LazyLock<Mutex<HashMap<String, Server>>> = LazyLock::new(Mutex::default);

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
pub(super) struct Server {
    pool: Pool,
    config: Arc<Config>,
    /// When a sink was last opened: sessions that began earlier are not used any more.
    opened: Arc<Mutex<Instant>>,
    /// `host:port/database`, for messages.
    pub(super) name: Arc<str>,
}

/// Doesn't contain the URL, which may hold a password.
const INVALID: &str = "the url is not a valid PostgreSQL URL (postgres://user:password@host:5432/database)";

/// Checks a URL.
pub(super) fn check_url(url: &str) -> Option<Problem> {
    const EXAMPLE: &str = "write postgres://user:password@host:5432/database";
    let problem = |code, message: &str| Some(Problem::new("url", code, message));
    match Config::from_str(url) {
        // The parser's message may contain parts of the URL, and so of its password.
        Err(_) => problem("invalid-value", INVALID).map(|problem| problem.fix(EXAMPLE)),
        Ok(config) if config.get_ssl_mode() == SslMode::Require => {
            problem("no-tls", "this build connects to PostgreSQL without TLS only").map(|problem| {
                problem.fix("remove sslmode=require and reach the server over a trusted network or a TLS tunnel")
            })
        }
        Ok(config) if config.get_hosts().is_empty() => {
            problem("invalid-value", "the url has no host").map(|problem| problem.fix(EXAMPLE))
        }
        Ok(config) if config.get_user().is_none() => {
            problem("invalid-value", "the url has no user").map(|problem| problem.fix(EXAMPLE))
        }
        Ok(_) => None,
    }
}

/// The database that a URL names, independent of its spelling.
pub(super) fn target(url: &str) -> String {
    Config::from_str(url).map_or_else(|_| url.into(), |config| name(&config).to_lowercase())
}

/// Returns the server at a URL, for opening a sink. From now on it uses only new sessions: the settings that a session
/// gets when it begins (read-only, a search path, time limits, the server of several) may have changed.
pub(super) fn server(url: &str, max_connections: u16) -> Result<Server, Error> {
    let invalid = || Error::fatal("invalid-url", INVALID).for_user();
    let mut config = Config::from_str(url).map_err(|_| invalid())?;
    let name = name(&config);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = pools.get(url) {
        *server.opened.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        return Ok(server.clone());
    }
    if config.get_application_name().is_none() {
        config.application_name("dataflow");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config.tcp_user_timeout(DEAD_AFTER).keepalives_idle(DEAD_AFTER);
    let manager =
        Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
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
    let server = Server { pool, config: Arc::new(config), opened, name };
    pools.insert(url.into(), server.clone());
    Ok(server)
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
    pub(super) async fn connection(&self) -> Result<Object, Error> {
        let unreachable =
            |why: &str| Error::transient("unreachable", format!("can't reach PostgreSQL at {}: {why}", self.name));
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
    pub(super) async fn beside_the_pool<T>(
        &self,
        work: impl AsyncFnOnce(Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.config.connect(NoTls)).await;
        let late = |_| Error::transient("unreachable", format!("PostgreSQL at {} does not answer", self.name));
        let (client, connection) =
            connecting.map_err(late)?.map_err(|error| failure::classify("connect to", &self.name, &error))?;
        // The connection ends when the client is dropped.
        futures::join!(work(client), connection).0
    }

    /// Classifies an error.
    pub(super) fn failed(&self, doing: &str, error: &tokio_postgres::Error) -> Error {
        failure::classify(doing, &self.name, error)
    }
}
