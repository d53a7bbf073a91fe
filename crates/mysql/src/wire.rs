//! Packets on a connection.
use std::{io, pin::Pin};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The longest part of a packet, which is followed by another part.
const LONGEST: usize = 0xff_ffff;
/// A row may be this long.
const MOST: usize = 1 << 30;

/// What packets are sent over, plain or encrypted.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

pub(crate) type Stream = Pin<Box<dyn Io>>;

pub(crate) struct Wire {
    stream: BufReader<Stream>,
    packet: Vec<u8>,
    /// The number of the next packet.
    next: u8,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream: BufReader::with_capacity(64 << 10, stream), packet: Vec::new(), next: 0 }
    }

    /// The stream below, to be encrypted. The server waits for that, and has sent nothing more.
    pub(crate) fn into_stream(self) -> (Stream, u8) {
        (self.stream.into_inner(), self.next)
    }

    /// Goes on where another one was.
    pub(crate) fn from(mut self, next: u8) -> Self {
        self.next = next;
        self
    }

    /// Begins a command.
    pub(crate) async fn command(&mut self, packet: &[u8]) -> io::Result<()> {
        self.next = 0;
        self.send(packet).await
    }

    pub(crate) async fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(packet.len() + 4);
        let mut rest = packet;
        loop {
            let (part, after) = rest.split_at(rest.len().min(LONGEST));
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
            bytes.push(self.next);
            bytes.extend_from_slice(part);
            self.next = self.next.wrapping_add(1);
            rest = after;
            if part.len() < LONGEST {
                break;
            }
        }
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// The next packet.
    pub(crate) async fn receive(&mut self) -> io::Result<&[u8]> {
        self.packet.clear();
        loop {
            let header = self.stream.read_u32_le().await?;
            self.next = ((header >> 24) as u8).wrapping_add(1);
            let (from, length) = (self.packet.len(), header as usize & LONGEST);
            if from + length > MOST {
                return Err(io::Error::other("a packet is too long"));
            }
            self.packet.resize(from + length, 0);
            self.stream.read_exact(&mut self.packet[from..]).await?;
            if length < LONGEST {
                return Ok(&self.packet);
            }
        }
    }

    /// The packet that was received last.
    pub(crate) fn packet(&self) -> &[u8] {
        &self.packet
    }
}
