//! Logging in: what the server says of itself, TLS, and the proof of the password.
use crate::{
    auth::{self, Plugin},
    failure::{self, Refusal},
    fields::{Fields, put_bytes},
    url::{Encrypt, Target},
    wire::Wire,
};
use dataflow_sdk::Error;
use dataflow_tls::{Material, Verify, rustls::pki_types::ServerName};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What client and server tell each other that they can. <https://mariadb.com/kb/en/connection/>
mod capability {
    /// The first one means that MariaDB's own are not meant.
    pub(super) const MYSQL: u32 = 1;
    pub(super) const WITH_DATABASE: u32 = 1 << 3;
    pub(super) const PROTOCOL_41: u32 = 1 << 9;
    pub(super) const TLS: u32 = 1 << 11;
    pub(super) const TRANSACTIONS: u32 = 1 << 13;
    pub(super) const SECURE: u32 = 1 << 15;
    pub(super) const PLUGINS: u32 = 1 << 19;
    pub(super) const ATTRIBUTES: u32 = 1 << 20;
    pub(super) const LONG_PROOFS: u32 = 1 << 21;
    pub(super) const NO_EOF: u32 = 1 << 24;
    /// Of MariaDB: columns say what more they are than their type.
    pub(super) const FORMATS: u32 = 1 << 3;
}
use capability as can;

/// The collation `utf8mb4_general_ci`, which all servers know.
const UTF8MB4: u8 = 45;
const LONGEST_PACKET: u32 = 1 << 30;

/// What the server says of itself.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) version: String,
    /// The number of the session.
    pub(crate) session: u32,
    nonce: Vec<u8>,
    capabilities: u32,
    of_mariadb: u32,
    plugin: Vec<u8>,
}

impl Greeting {
    fn read(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields(packet);
        if fields.number(1)? != 10 {
            return None;
        }
        let version = String::from_utf8_lossy(fields.until_zero()).into_owned();
        let session = fields.number(4)? as u32;
        let mut nonce = fields.take(8)?.to_vec();
        fields.take(1)?;
        let low = fields.number(2)? as u32;
        fields.take(3)?;
        let capabilities = (fields.number(2)? as u32) << 16 | low;
        let length = fields.number(1)? as usize;
        fields.take(6)?;
        let of_mariadb = fields.number(4)? as u32;
        nonce.extend_from_slice(fields.take(length.saturating_sub(8).max(13).min(fields.0.len()))?);
        nonce.truncate(20);
        let plugin = fields.until_zero().to_vec();
        // MySQL has nothing where MariaDB has more capabilities.
        let of_mariadb = if capabilities & can::MYSQL == 0 { of_mariadb } else { 0 };
        Some(Self { version, session, nonce, capabilities, of_mariadb, plugin })
    }

    /// Those that both have.
    fn common(&self, encrypted: bool) -> u32 {
        let wanted = can::WITH_DATABASE
            | can::PROTOCOL_41
            | can::TRANSACTIONS
            | can::SECURE
            | can::PLUGINS
            | can::ATTRIBUTES
            | can::LONG_PROOFS
            | can::NO_EOF;
        let own = if self.of_mariadb == 0 { can::MYSQL } else { 0 };
        let tls = if encrypted { can::TLS } else { 0 };
        (wanted & self.capabilities) | own | tls
    }

    /// Whether a list of columns is followed by a packet that says so.
    pub(crate) fn ends_columns(&self) -> bool {
        self.capabilities & can::NO_EOF == 0
    }

    pub(crate) fn has_formats(&self) -> bool {
        self.of_mariadb & can::FORMATS != 0
    }

    /// How an answer begins, and how the wish for TLS looks as a whole.
    fn head(&self, encrypted: bool) -> Vec<u8> {
        let mut packet = self.common(encrypted).to_le_bytes().to_vec();
        packet.extend_from_slice(&LONGEST_PACKET.to_le_bytes());
        packet.push(UTF8MB4);
        packet.extend_from_slice(&[0; 19]);
        packet.extend_from_slice(&(self.of_mariadb & can::FORMATS).to_le_bytes());
        packet
    }

    fn answer(&self, target: &Target, plugin: Plugin, encrypted: bool) -> Vec<u8> {
        let mut packet = self.head(encrypted);
        packet.extend_from_slice(target.user.as_bytes());
        packet.push(0);
        // Nothing is sent as it is before the server has asked for it.
        let proof = if plugin == Plugin::Clear { Vec::new() } else { plugin.proof(&target.password, &self.nonce) };
        put_bytes(&mut packet, &proof);
        for text in [target.database.as_str(), plugin.name()] {
            packet.extend_from_slice(text.as_bytes());
            packet.push(0);
        }
        let mut attributes = Vec::new();
        put_bytes(&mut attributes, b"program_name");
        put_bytes(&mut attributes, b"dataflow");
        if self.capabilities & can::ATTRIBUTES != 0 {
            put_bytes(&mut packet, &attributes);
        }
        packet
    }
}

/// Logs in on a new connection.
pub(crate) async fn login(
    mut wire: Wire,
    target: &Target,
    is_given: bool,
    material: &Material,
    server: &str,
) -> Result<(Wire, Greeting), Error> {
    let doing = "connect to";
    let failed = |error| failure::of_connection(doing, server, &error);
    let packet = wire.receive().await.map_err(failed)?;
    if packet.first() == Some(&0xff) {
        return Err(Refusal::read(packet).classify(doing, server));
    }
    let greeting = Greeting::read(packet).ok_or_else(|| failure::garbled(doing, server))?;
    let verify = match target.encrypt {
        Encrypt::Never => None,
        Encrypt::Always(Verify::Nothing) if material.ca.is_some() => Some(Verify::Authority),
        Encrypt::Always(verify) => Some(verify),
        // Whoever gives certificates and nothing else wants what is safe.
        Encrypt::Unsaid if is_given => Some(Verify::Full),
        Encrypt::Unsaid | Encrypt::Prefer => (greeting.capabilities & can::TLS != 0).then_some(Verify::Nothing),
    };
    if let Some(verify) = verify {
        if greeting.capabilities & can::TLS == 0 {
            let error = Error::fatal("tls-failed", format!("{server} does not offer TLS"));
            return Err(error
                .fix("give the server a certificate (ssl_cert, ssl_key), or connect without TLS (sslMode=DISABLED)"));
        }
        wire.send(&greeting.head(true)).await.map_err(failed)?;
        wire = encrypted(wire, target, verify, material, server).await?;
    }
    let is_encrypted = verify.is_some();
    // Of a way that is not known here, the server is told another one; it then says which it wants.
    let plugin = Plugin::of(&greeting.plugin).unwrap_or(Plugin::Native);
    let answer = greeting.answer(target, plugin, is_encrypted);
    wire.send(&answer).await.map_err(failed)?;
    prove(&mut wire, target, plugin, is_encrypted, server).await?;
    Ok((wire, greeting))
}

async fn encrypted(
    wire: Wire,
    target: &Target,
    verify: Verify,
    material: &Material,
    server: &str,
) -> Result<Wire, Error> {
    let (stream, next) = wire.into_stream();
    let config = Arc::new(material.client(verify)?);
    let host = ServerName::try_from(target.host.clone())
        .map_err(|_| Error::fatal("tls-failed", format!("the host of {server} is no name that a certificate has")))?;
    let stream = TlsConnector::from(config).connect(host, stream).await;
    let stream = stream.map_err(|error| failure::of_connection("connect to", server, &error))?;
    Ok(Wire::new(Box::pin(stream)).from(next))
}

/// Proves the password in the way that the server wants it.
async fn prove(
    wire: &mut Wire,
    target: &Target,
    mut plugin: Plugin,
    is_encrypted: bool,
    server: &str,
) -> Result<(), Error> {
    let doing = "connect to";
    let failed = |error| failure::of_connection(doing, server, &error);
    let plain = || {
        let message = format!("{server} wants the password as it is, which is sent over an encrypted connection only");
        Error::fatal("login-failed", message).fix("connect with TLS (sslMode=VERIFY_IDENTITY in the url)")
    };
    loop {
        let packet = wire.receive().await.map_err(failed)?;
        let mut fields = Fields(packet);
        match (fields.number(1), fields.0) {
            (Some(0), _) => return Ok(()),
            (Some(0xff), _) => return Err(Refusal::read(packet).classify(doing, server)),
            // It wants another way.
            (Some(0xfe), _) => {
                let name = fields.until_zero();
                plugin = Plugin::of(name).ok_or_else(|| {
                    let message = format!("{server} wants a proof of the password that is not known here: {}", String::from_utf8_lossy(name));
                    Error::fatal("login-failed", message).fix(
                        "use a user with mysql_native_password or, over TLS, caching_sha2_password (alter user … identified via …)",
                    )
                })?;
                if plugin == Plugin::Clear && !is_encrypted {
                    return Err(plain());
                }
                let nonce = fields.0.strip_suffix(&[0]).unwrap_or(fields.0);
                let proof = plugin.proof(&target.password, nonce);
                wire.send(&proof).await.map_err(failed)?;
            }
            // The server remembers the password.
            (Some(1), [3]) if plugin == Plugin::CachingSha2 => {}
            // It does not.
            (Some(1), [4]) if plugin == Plugin::CachingSha2 => {
                if !is_encrypted {
                    return Err(plain());
                }
                wire.send(&auth::clear(&target.password)).await.map_err(failed)?;
            }
            _ => return Err(failure::garbled(doing, server)),
        }
    }
}
