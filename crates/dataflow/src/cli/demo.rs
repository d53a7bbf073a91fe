//! `dataflow demo`: a node on the embedded default, and a pipeline made over its REST API.
use super::{
    Outcome,
    client::{Client, Request},
    exit::Failure,
    output::{self, thousands},
    pipeline,
    serve::{self, Server},
};
use crate::{
    data_dir::DataDir,
    node::{self, Whose},
    settings::{Overrides, PathSettings, Settings},
};
use dataflow_api_types::Status;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Address of the REST API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Exit when done instead of leaving the API up.
    #[arg(long)]
    exit: bool,
}

/// Ten thousand users as JSON lines, a few of them broken.
const USERS: &[u8] = include_bytes!("../../../../examples/users.jsonl");
const ID: &str = "adult-users";
const TABLE: &str = "users";

pub(super) fn main(mut args: Args) -> Result<Outcome, Failure> {
    args.overrides.log_level.get_or_insert_with(|| super::run::QUIET.into());
    serve::runtime()?.block_on(demo(args))
}

async fn demo(args: Args) -> Result<Outcome, Failure> {
    let settings = serve::load(&args.overrides, args.listen.as_deref())?;
    let mut signals = serve::signals()?;
    let files = Files::new(&settings.data_dir.join("demo"));
    let paths = PathSettings { allow: Some(vec![files.folder.clone()]) };
    let settings = Settings { data_dir: files.folder.join("node"), paths, ..settings };
    let connectors = node::connectors(&settings, Whose::Anyones)?;
    let data = DataDir::lock(&settings.data_dir).map_err(node::Error::from)?;
    files.prepare().map_err(|error| Failure::failed(format!("can't prepare {}: {error}", files.folder.display())))?;
    let server = Server::start(&settings, &connectors, data).await?;
    let address = server.url();
    let shown = tokio::select! {
        shown = show(&address, &files) => shown,
        signal = signals.next() => Err(Failure::failed(format!("stopped by {signal}"))),
    };
    if shown.is_ok() && !args.exit {
        say!("\n{address} stays up until Ctrl-C. Try, in another terminal:");
        say!("  curl {address}/api/pipelines/{ID}");
        say!("  curl {address}/api/pipelines/{ID}/dead-letters");
        let program = std::env::args().next().unwrap_or_else(|| "dataflow".into());
        say!("  {program} pipeline history {ID} --server {address}");
        say!("  {address}/api/docs documents the API");
        signals.next().await;
    }
    let settled = server.shutdown(settings.shutdown_timeout.into()).await;
    shown?;
    settled?;
    Ok(Outcome::Done)
}

/// Makes the pipeline over REST, follows it to its end, and shows what arrived.
async fn show(address: &str, files: &Files) -> Result<(), Failure> {
    let client = Client::new(address)?;
    let spec = json!({
        "pipelineId": ID,
        "name": "Adult users",
        "source": {"type": "file", "path": files.users},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "sqlite", "path": files.database, "table": TABLE, "key": ["id"]},
    });
    say!("a node is running at {address}; its state is in {}\n", files.folder.display());
    say!("POST {address}/api/pipelines\n{}\n", serde_json::to_string_pretty(&spec).unwrap_or_default());
    client.send::<Value>(Request::post(&["pipelines"]).body(&spec)).await?;
    say!("POST {address}/api/pipelines/{ID}/start\n");
    client.send::<Value>(Request::post(&["pipelines", ID, "start"])).await?;

    let pipeline = pipeline::follow(&client, ID, pipeline::PATIENCE).await?;
    if pipeline.status != Status::Completed {
        return Err(super::progress::failure(&pipeline));
    }
    let metrics = &pipeline.metrics;
    output::print(&format!("\n{}", pipeline::ledger(&pipeline)));
    let arrived = Arrived::read(&files.database)
        .map_err(|error| Failure::failed(format!("can't read {}: {error}", files.database.display())))?;
    output::print(&format!("\n{} rows in table {TABLE} of {}:\n", thousands(arrived.rows), files.database.display()));
    output::print(&output::table(["id", "name", "age"], &arrived.first));
    if metrics.records_dead > 0 {
        output::print(&format!("\n{} dead letters, the first:\n", thousands(metrics.records_dead)));
        let letters: Value =
            client.send(Request::get(&["pipelines", ID, "dead-letters"]).query(&[("limit", "3".into())])).await?;
        let text = |letter: &Value, field: &str| letter[field].as_str().unwrap_or_default().to_owned();
        let letters = letters["items"].as_array().into_iter().flatten();
        let rows: Vec<_> = letters.map(|l| [text(l, "recordId"), text(l, "stage"), text(l, "cause")]).collect();
        output::print(&output::table(["RECORD", "STAGE", "CAUSE"], &rows));
    }
    if arrived.rows != metrics.rows_written || arrived.rows != metrics.records_delivered {
        return Err(Failure::failed(format!(
            "{} rows arrived, but {} records were delivered",
            arrived.rows, metrics.records_delivered
        )));
    }
    Ok(())
}

/// The files of a demo.
struct Files {
    folder: PathBuf,
    users: PathBuf,
    database: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self { users: folder.join("users.jsonl"), database: folder.join("users.db"), folder }
    }

    /// Removes what an earlier demo left and writes the input, so that every demo begins alike.
    fn prepare(&self) -> io::Result<()> {
        let of_database = ["users.db", "users.db-wal", "users.db-shm"].map(|name| self.folder.join(name));
        let of_node = ["journal.db", "journal.db-wal", "journal.db-shm", "journal.seen"]
            .map(|name| self.folder.join("node").join(name));
        for path in of_database.iter().chain(&of_node) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::write(&self.users, USERS)
    }
}

/// What is in the target.
struct Arrived {
    rows: u64,
    first: Vec<[String; 3]>,
}

impl Arrived {
    fn read(database: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let rows = connection.query_row(&format!("SELECT count(*) FROM {TABLE}"), [], |row| row.get::<_, i64>(0))?;
        let rows = u64::try_from(rows).unwrap_or(0);
        let mut first = connection.prepare(&format!("SELECT id, name, age FROM {TABLE} ORDER BY id LIMIT 5"))?;
        let first = first
            .query_map([], |row| {
                Ok([row.get::<_, i64>(0)?.to_string(), row.get::<_, String>(1)?, row.get::<_, i64>(2)?.to_string()])
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { rows, first })
    }
}
