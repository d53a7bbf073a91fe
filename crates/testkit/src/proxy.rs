//! A TCP proxy between a node and a server, which delays, holds back, cuts and half-closes connections.
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are forwarded.
    Pass,
    /// Each piece is forwarded after this time.
    Delay(Duration),
    /// They wait, in both directions, as if the network had swallowed them: no end, no error.
    Hold,
    /// This many more bytes are forwarded to the server, over all connections; the rest waits as with [`Self::Hold`].
    /// The server's bytes are forwarded.
    HoldAfter(usize),
    /// The server's next piece is lost together with its connection: the request is carried out, but its answer never
    /// arrives.
    LoseAnswer,
}

/// A proxy on a free port of this machine. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    mode: Mode,
    /// Both ends of each connection.
    open: Vec<[TcpStream; 2]>,
    closed: bool,
    /// How often the server was asked.
    asked: u64,
    /// Whether the last bytes went to the server.
    is_asked: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` may be forwarded; returns how many of them. `None`: the connection is closed.
    fn admit(&self, bytes: usize, to_server: bool) -> Option<usize> {
        let mut inner = self.lock();
        inner.asked += u64::from(to_server && !inner.is_asked);
        inner.is_asked = to_server;
        loop {
            if inner.closed {
                return None;
            }
            let delay = match inner.mode {
                Mode::Pass => return Some(bytes),
                Mode::HoldAfter(_) if !to_server => return Some(bytes),
                Mode::HoldAfter(left) if left > 0 => {
                    let now = left.min(bytes);
                    inner.mode = Mode::HoldAfter(left - now);
                    return Some(now);
                }
                Mode::LoseAnswer if to_server => return Some(bytes),
                Mode::LoseAnswer => {
                    inner.mode = Mode::Pass;
                    return None;
                }
                Mode::Delay(delay) => delay,
                Mode::Hold | Mode::HoldAfter(_) => {
                    inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            drop(inner);
            thread::sleep(delay);
            return Some(bytes);
        }
    }
}

impl Proxy {
    /// Starts a proxy in front of `server`, on a port of its own choice.
    ///
    /// # Errors
    /// If there is no port for it.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), server)
    }

    /// Starts a proxy at a given address.
    ///
    /// # Errors
    /// If the address is in use.
    pub fn on(address: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let inner = Inner { mode: Mode::Pass, open: Vec::new(), closed: false, asked: 0, is_asked: false };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), changed: Condvar::new() });
        let serving = shared.clone();
        thread::Builder::new().name("proxy".into()).spawn(move || {
            for client in listener.incoming() {
                if serving.lock().closed {
                    return;
                }
                if let Err(error) = client.and_then(|client| connect(&serving, client, server)) {
                    tracing::debug!(%error, "the proxy has no way to the server");
                }
            }
        })?;
        Ok(Self { address, shared })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens to bytes from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        self.shared.changed.notify_all();
    }

    /// How many round trips there were: clients asked, and the server answered. Of one client; those of several may be counted as one.
    pub fn round_trips(&self) -> u64 {
        self.shared.lock().asked
    }

    /// The current mode.
    pub fn mode(&self) -> Mode {
        self.shared.lock().mode
    }

    /// Closes all connections in both directions; new ones are accepted. Returns the number of those that were open.
    pub fn cut(&self) -> usize {
        self.shut(&[Shutdown::Both, Shutdown::Both])
    }

    /// Closes the server's direction of each connection, while bytes of the clients are still forwarded.
    pub fn half_close(&self) -> usize {
        self.shut(&[Shutdown::Write])
    }

    /// Shuts the client's end of each connection according to the first element, and the server's end according to the
    /// second.
    fn shut(&self, how: &[Shutdown]) -> usize {
        let open = std::mem::take(&mut self.shared.lock().open);
        for ends in &open {
            for (end, how) in ends.iter().zip(how) {
                drop(end.shutdown(*how)); // it may be closed already
            }
        }
        open.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        self.cut();
        // Wakes the listening thread.
        drop(TcpStream::connect(self.address));
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.lock().open.push([client.try_clone()?, server.try_clone()?]);
    pump(shared.clone(), client.try_clone()?, server.try_clone()?, true)?;
    pump(shared.clone(), server, client, false)
}

/// Copies bytes from one end to the other, until either is closed.
fn pump(shared: Arc<Shared>, mut from: TcpStream, mut to: TcpStream, to_server: bool) -> io::Result<()> {
    let carry = move || {
        let mut buffer = [0; 16 << 10];
        'carrying: while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let Some(now) = shared.admit(rest.len(), to_server) else { break 'carrying };
                if to.write_all(&rest[..now]).is_err() {
                    break 'carrying;
                }
                rest = &rest[now..];
            }
        }
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    };
    thread::Builder::new().name("proxy".into()).spawn(carry).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A server that echoes what it receives.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
            }
        });
        address
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let client = TcpStream::connect(proxy.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client
    }

    fn reads(client: &mut TcpStream, expected: &[u8]) {
        let mut found = vec![0; expected.len()];
        client.read_exact(&mut found).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn bytes_pass_wait_and_get_lost_as_told() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut first = client(&proxy);
        first.write_all(b"pass").unwrap();
        reads(&mut first, b"pass");
        assert_eq!(proxy.round_trips(), 1);

        proxy.set(Mode::HoldAfter(3));
        first.write_all(b"stalled").unwrap();
        reads(&mut first, b"sta");
        assert_eq!(proxy.mode(), Mode::HoldAfter(0));
        proxy.set(Mode::Delay(Duration::from_millis(1)));
        reads(&mut first, b"lled");

        proxy.set(Mode::LoseAnswer);
        first.write_all(b"lost").unwrap();
        assert!(!matches!(first.read(&mut [0; 4]), Ok(1..)));
        assert_eq!(proxy.mode(), Mode::Pass, "once");

        let mut second = client(&proxy);
        second.write_all(b"again").unwrap();
        reads(&mut second, b"again");
        assert!(proxy.cut() >= 1);
        assert!(!matches!(second.read(&mut [0; 4]), Ok(1..)));

        let mut third = client(&proxy);
        third.write_all(b"x").unwrap();
        reads(&mut third, b"x");
        proxy.half_close();
        assert_eq!(third.read(&mut [0; 4]).unwrap(), 0);
    }
}
