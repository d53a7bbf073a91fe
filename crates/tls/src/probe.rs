//! A handshake for its own sake: it tells why one of another library fails, which says less.
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

/// How long a server of TLS 1.3 may take to refuse a client's certificate, once the handshake is done here.
const REFUSAL: Duration = Duration::from_millis(500);

/// Connects, shakes hands, and hangs up. Blocks for twice `timeout` at most.
///
/// # Errors
/// If there is no connection, or no handshake; `failure` says what it means.
pub fn probe(config: ClientConfig, host: &str, port: u16, timeout: Duration) -> io::Result<()> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let tcp = TcpStream::connect_timeout(&address, timeout)?;
    tcp.set_read_timeout(Some(timeout))?;
    tcp.set_write_timeout(Some(timeout))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    stream.sock.set_read_timeout(Some(REFUSAL))?;
    match stream.read(&mut [0]) {
        Err(error) if error.get_ref().is_some_and(|error| error.is::<rustls::Error>()) => Err(error),
        _ => Ok(()),
    }
}
