//! A session with a server, for reading.
use crate::{
    failure::{self, Refusal},
    fields::Fields,
    login,
    url::Target,
    wire::Wire,
};
use dataflow_sdk::{Error, Paths};
use dataflow_tls::Tls;
use socket2::{SockRef, TcpKeepalive};
use std::{fmt, io, ops::Range, time::Duration};
use tokio::{net::TcpStream, time::timeout};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without an answer for this long counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// What a server is told to do.
mod command {
    pub(super) const QUERY: u8 = 3;
    pub(super) const PREPARE: u8 = 0x16;
    pub(super) const CLOSE: u8 = 0x19;
}

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB's.
    MariaDb,
    /// MySQL's.
    MySql,
}

/// A session. What the server refuses leaves it as it is; after any other error, and after a call that nobody waited for, it is of no use any more.
pub struct Session {
    wire: Wire,
    server: String,
    flavour: Flavour,
    version: (u32, u32),
    id: u32,
    ends_columns: bool,
    has_formats: bool,
    cells: Vec<Option<Range<usize>>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A column of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The database, table and column that it comes from; empty if it is computed.
    pub origin: [String; 3],
    /// The number of its collation: 63 for bytes.
    pub collation: u16,
    /// Its longest value, in bytes.
    pub length: u32,
    /// The protocol's number of its type.
    pub ty: u8,
    /// The protocol's flags.
    pub flags: u16,
    /// Digits behind the point.
    pub decimals: u8,
    /// What MariaDB says beyond that: `json`, `uuid`, …
    pub format: String,
}

/// A row of an answer: the server's own texts.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    packet: &'a [u8],
    cells: &'a [Option<Range<usize>>],
}

impl<'a> Row<'a> {
    /// The value of a column; none: NULL.
    pub fn get(&self, at: usize) -> Option<&'a [u8]> {
        self.packet.get(self.cells.get(at)?.clone()?)
    }
}

/// The answer to a statement begins.
enum Answer {
    Done,
    Columns(Vec<Column>),
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// If the server can't be reached, or refuses.
    pub async fn connect(target: &Target, tls: Option<&Tls>, paths: &Paths) -> Result<Self, Error> {
        let material = tls.map(|tls| tls.read(paths)).transpose()?.unwrap_or_default();
        let server = format!("{} at {}", target.product, target.place());
        let connecting = async {
            let stream = reach(target).await.map_err(|error| failure::of_connection("connect to", &server, &error))?;
            login::login(Wire::new(Box::pin(stream)), target, tls.is_some(), &material, &server).await
        };
        let late = |_| failure::unreachable(format!("{server} does not answer"));
        let (wire, greeting) = timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)??;
        let (flavour, version) = version(&greeting.version);
        let product = if flavour == Flavour::MariaDb { "MariaDB" } else { "MySQL" };
        Ok(Self {
            wire,
            server: format!("{product} at {}", target.place()),
            flavour,
            version,
            id: greeting.session,
            ends_columns: greeting.ends_columns(),
            has_formats: greeting.has_formats(),
            cells: Vec::new(),
        })
    }

    /// `MariaDB at host:port/database`, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whose server it is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its version, major and minor.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The number by which the server knows the session.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Runs a statement without an answer. `doing` is what failed if it does.
    ///
    /// # Errors
    /// If the server refuses, or does not answer.
    pub async fn run(&mut self, doing: &str, statement: &str) -> Result<(), Error> {
        self.each(doing, statement, |_| Ok(())).await
    }

    /// The columns of a query, and all its rows.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn rows(&mut self, doing: &str, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut rows = Vec::new();
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
        self.each(doing, query, |row| {
            rows.push((0..row.cells.len()).map(|at| row.get(at).map(text)).collect());
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The columns of a query, which is not run.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn columns(&mut self, doing: &str, query: &str) -> Result<Vec<Column>, Error> {
        let failed = |error: io::Error| failure::of_connection(doing, &self.server, &error);
        let garbled = || failure::garbled(doing, &self.server);
        self.wire.command(&[&[command::PREPARE], query.as_bytes()].concat()).await.map_err(failed)?;
        let packet = self.wire.receive().await.map_err(failed)?;
        if packet.first() == Some(&0xff) {
            return Err(Refusal::read(packet).classify(doing, &self.server));
        }
        let mut fields = Fields(packet);
        let prepared = (fields.number(1), fields.number(4), fields.number(2), fields.number(2));
        let (Some(0), Some(statement), Some(columns), Some(parameters)) = prepared else { return Err(garbled()) };
        self.definitions(doing, parameters).await?;
        let columns = self.definitions(doing, columns).await?;
        let close = [&[command::CLOSE], &(statement as u32).to_le_bytes()[..]].concat();
        self.wire.command(&close).await.map_err(|error| failure::of_connection(doing, &self.server, &error))?;
        Ok(columns)
    }

    /// Takes each row of a query as it comes: none is kept, however many there are.
    ///
    /// # Errors
    /// As [`run`](Self::run), after rows that came before; or what `take` says.
    pub async fn each(
        &mut self,
        doing: &str,
        query: &str,
        mut take: impl FnMut(Row<'_>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let Answer::Columns(columns) = self.ask(doing, query).await? else { return Ok(()) };
        while let Some(row) = self.next(doing, columns.len()).await? {
            take(row)?;
        }
        Ok(())
    }

    async fn ask(&mut self, doing: &str, statement: &str) -> Result<Answer, Error> {
        let failed = |error: io::Error| failure::of_connection(doing, &self.server, &error);
        let garbled = || failure::garbled(doing, &self.server);
        self.wire.command(&[&[command::QUERY], statement.as_bytes()].concat()).await.map_err(failed)?;
        let packet = self.wire.receive().await.map_err(failed)?;
        let count = match packet.first() {
            Some(0) => return Ok(Answer::Done),
            Some(0xff) => return Err(Refusal::read(packet).classify(doing, &self.server)),
            // It asks for a file of ours.
            Some(0xfb) => return Err(garbled()),
            _ => Fields(packet).length().ok_or_else(garbled)?,
        };
        Ok(Answer::Columns(self.definitions(doing, count).await?))
    }

    /// So many columns.
    async fn definitions(&mut self, doing: &str, count: u64) -> Result<Vec<Column>, Error> {
        let failed = |error: io::Error| failure::of_connection(doing, &self.server, &error);
        let mut columns = Vec::new();
        for _ in 0..count {
            let packet = self.wire.receive().await.map_err(failed)?;
            let column = Column::read(packet, self.has_formats);
            columns.push(column.ok_or_else(|| failure::garbled(doing, &self.server))?);
        }
        if count > 0 && self.ends_columns {
            self.wire.receive().await.map_err(failed)?;
        }
        Ok(columns)
    }

    /// The next row of an answer; none: there is no other.
    async fn next(&mut self, doing: &str, columns: usize) -> Result<Option<Row<'_>>, Error> {
        let received = self.wire.receive().await.map(<[u8]>::len);
        received.map_err(|error| failure::of_connection(doing, &self.server, &error))?;
        let packet = self.wire.packet();
        match packet.first() {
            Some(0xff) => return Err(Refusal::read(packet).classify(doing, &self.server)),
            // A row may begin so, too, if its first value is as long as this.
            Some(0xfe) if packet.len() < 0xff_ffff => return Ok(None),
            _ => {}
        }
        self.cells.clear();
        let mut fields = Fields(packet);
        for _ in 0..columns {
            if fields.0.first() == Some(&0xfb) {
                fields.take(1);
                self.cells.push(None);
                continue;
            }
            let cell = fields.bytes().ok_or_else(|| failure::garbled(doing, &self.server))?;
            let end = packet.len() - fields.0.len();
            self.cells.push(Some(end - cell.len()..end));
        }
        Ok(Some(Row { packet, cells: &self.cells }))
    }
}

async fn reach(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(DEAD_AFTER))?;
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    Ok(stream)
}

/// MariaDB says first that it is a version 5.5.5, to please old replicas.
fn version(text: &str) -> (Flavour, (u32, u32)) {
    let flavour = if text.contains("MariaDB") { Flavour::MariaDb } else { Flavour::MySql };
    let own = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = own.split(['.', '-']).map(|number| number.parse().unwrap_or_default());
    (flavour, (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()))
}

impl Column {
    fn read(packet: &[u8], has_formats: bool) -> Option<Self> {
        let mut fields = Fields(packet);
        fields.bytes()?;
        let database = fields.text()?;
        fields.bytes()?;
        let table = fields.text()?;
        let (name, column) = (fields.text()?, fields.text()?);
        let mut format = String::new();
        if has_formats {
            let mut said = Fields(fields.bytes()?);
            while let (Some(_), Some(value)) = (said.number(1), said.text()) {
                format = value;
            }
        }
        fields.length()?;
        Some(Self {
            name,
            origin: [database, table, column],
            collation: fields.number(2)? as u16,
            length: fields.number(4)? as u32,
            ty: fields.number(1)? as u8,
            flags: fields.number(2)? as u16,
            decimals: fields.number(1)? as u8,
            format,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_server() {
        for (text, expected) in [
            ("5.5.5-10.11.19-MariaDB-0+deb12u1-log", (Flavour::MariaDb, (10, 11))),
            ("11.8.2-MariaDB", (Flavour::MariaDb, (11, 8))),
            ("8.4.3", (Flavour::MySql, (8, 4))),
            ("8.0.36-28-log", (Flavour::MySql, (8, 0))),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }
}
