//! PostgreSQL as the judge: what it makes of an expression for a row.
use crate::values::{COLUMNS, Row};
use tokio_postgres::{Client, NoTls};

const SERVER: &str = "postgres://dataflow:dataflow@127.0.0.1:5432/dataflow";

/// What PostgreSQL makes of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// A value as its text, NULL, and its type.
    Value(Option<String>, String),
    /// An error of this row.
    Error(String),
    /// An expression that PostgreSQL doesn't have.
    Refused(String),
}

/// A session with PostgreSQL.
pub struct Oracle {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Oracle {
    /// A session; none if no server is there and none is required.
    pub fn connect() -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connected = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(SERVER, NoTls).await?;
            tokio::task::spawn(connection);
            client.batch_execute(SETUP).await?;
            Ok::<_, tokio_postgres::Error>(client)
        });
        match connected {
            Ok(client) => Some(Self { runtime, client }),
            Err(error) if std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1") => {
                panic!("no PostgreSQL ({error}): start it with dev/services/services.sh up postgres")
            }
            Err(error) => {
                eprintln!("skipped: no PostgreSQL ({error}); start it with dev/services/services.sh up postgres");
                None
            }
        }
    }

    /// The verdict for each row.
    pub fn evaluate(&self, expression: &str, rows: &[Row]) -> Vec<Verdict> {
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        // With OFFSET 0 the values are none that PostgreSQL knows beforehand: it would compute what is never reached.
        let source = |row: &Row| format!("(select * from (values ({})) as v({names}) offset 0) as r", row.sql());
        self.evaluate_from(expression, &rows.iter().map(source).collect::<Vec<_>>())
    }

    /// The verdict for each source of one row.
    pub fn evaluate_from(&self, expression: &str, sources: &[String]) -> Vec<Verdict> {
        let found = self.runtime.block_on(async {
            let query = "select (pg_temp.attempt($1, source)).* from unnest($2::text[]) with ordinality as x(source, n) order by n";
            self.client.query(query, &[&expression, &sources]).await.unwrap()
        });
        let verdict = |row: &tokio_postgres::Row| {
            let (value, ty): (Option<String>, Option<String>) = (row.get(0), row.get(1));
            let state: Option<String> = row.get(2);
            // A message may cut a character in two.
            let message = row.try_get::<_, Option<String>>(3).ok().flatten().unwrap_or_default();
            match state {
                None => Verdict::Value(value, ty.unwrap()),
                Some(state) if state.starts_with("42") => Verdict::Refused(message),
                Some(_) => Verdict::Error(message),
            }
        };
        found.iter().map(verdict).collect()
    }
}

/// An error of an expression ends no session and no other row.
const SETUP: &str = r"
    set timezone = 'UTC';
    set datestyle = 'ISO, YMD';
    set extra_float_digits = 1;
    create type pg_temp.verdict as (value text, type text, state text, message text);
    create function pg_temp.attempt(expression text, source text) returns pg_temp.verdict language plpgsql as $$
    declare found pg_temp.verdict;
    begin
        execute 'select x::text, pg_typeof(x)::text, null::text, null::text from (select ' || expression || ' as x from ' || source || ') as q' into found;
        return found;
    exception when others then
        return (null, null, sqlstate, sqlerrm)::pg_temp.verdict;
    end $$;
";
