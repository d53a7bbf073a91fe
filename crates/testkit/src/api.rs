//! A small HTTP server on a free port of this machine, which answers as a test says, and remembers what it was asked.
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `GET`, `POST`.
    pub method: String,
    /// What comes before the question mark.
    pub path: String,
    /// The parameters of the URL.
    pub query: BTreeMap<String, String>,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the connection is closed in the middle of it.
    pub cut: bool,
}

impl Reply {
    /// A page of JSON.
    pub fn json(body: impl ToString) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into(),
            cut: false,
        }
    }
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: false }
    }
    /// The same with another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.into(), value.to_string()));
        self
    }
}

type Answer = dyn FnMut(&Asked) -> Reply + Send;

/// The server. Dropping it closes all connections.
pub struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Box<Answer>>,
    asked: Mutex<Vec<Asked>>,
    /// The open connections; none: it is closed.
    open: Mutex<Option<Vec<TcpStream>>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("address", &self.address).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Api {
    /// A server that answers so.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn new(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            answer: Mutex::new(Box::new(answer)),
            asked: Mutex::default(),
            open: Mutex::new(Some(Vec::new())),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(stream) = connection else { return };
                let Some(open) = &mut *lock(&accepting.open) else { return };
                let Ok(copy) = stream.try_clone() else { continue };
                open.push(copy);
                let serving = accepting.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Its address, with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked until now.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        for stream in lock(&self.shared.open).take().into_iter().flatten() {
            drop(stream.shutdown(Shutdown::Both));
        }
        // So that it notices.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Ok(copy) = stream.try_clone() else { return };
        let mut reader = BufReader::new(copy);
        while let Some(asked) = read(&mut reader) {
            lock(&self.asked).push(asked.clone());
            let reply = lock(&self.answer)(&asked);
            if write(&mut stream, &reply).is_err() || reply.cut {
                break;
            }
        }
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let line = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut asked = Asked {
        method: method.into(),
        path: path.into(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        ..Asked::default()
    };
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        asked.headers.insert(name.to_ascii_lowercase(), value.trim().into());
    }
    let length = asked.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

fn write(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if reply.status != 304 && reply.status != 204 {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    let sent = if reply.cut { reply.body.len() / 2 } else { reply.body.len() };
    // At once: what comes in pieces waits for the other side's acknowledgement of the first.
    stream.write_all(&[format!("{head}\r\n").as_bytes(), &reply.body[..sent]].concat())
}
