//! TLS of a connection, as far as `sslmode` asks for it.
use dataflow_sdk::{Error, Problem};
use dataflow_tls::{ClientConfig, Material, Tls, Verify};
use std::{
    future::Future,
    io,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Config, Socket,
    config::{ChannelBinding, SslMode},
    tls::{self, MakeTlsConnect, TlsConnect},
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

/// The modes of libpq that are known here.
const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// What libpq takes in a url, and this does not: it would name files that nobody has allowed.
const FILES: [(&str, &str); 5] = [
    ("sslrootcert", "`tls.ca`"),
    ("sslcert", "`tls.cert`"),
    ("sslkey", "`tls.key`"),
    ("sslpassword", "`tls.key`, decrypted"),
    ("sslcrl", "certificates that expire soon: revocations are not looked up"),
];

/// What a url says of TLS, in libpq's words; the rest of it is what the client library knows.
pub(crate) struct Asked {
    pub(crate) config: Config,
    /// What to check of the server's certificate: the authority, with `sslmode=verify-ca`, and the host, too, with
    /// `sslmode=verify-full`.
    verify: Option<Verify>,
    /// Whether there is an `sslmode` at all.
    is_said: bool,
}

/// A setting of a url, or of a list of settings: where its value is.
fn setting(url: &str, name: &str) -> Option<(usize, usize)> {
    let is_url = url.contains("://");
    let from = if is_url { url.find('?')? } else { 0 };
    url.match_indices(name).map(|(at, _)| at).filter(|at| *at >= from).find_map(|at| {
        let before = url[..at].chars().next_back();
        let begins = before.is_none_or(|c| if is_url { matches!(c, '?' | '&') } else { c.is_whitespace() });
        let rest = &url[at + name.len()..];
        let value = rest.trim_start().strip_prefix('=').filter(|_| begins)?;
        let value = value.trim_start().trim_start_matches('\'');
        let start = url.len() - value.len();
        let end = value.find(|c: char| c == '&' || c == '\'' || c.is_whitespace()).unwrap_or(value.len());
        Some((start, start + end))
    })
}

/// Reads a url, or a list of settings. None: it can't be read.
pub(crate) fn read(url: &str) -> Option<Asked> {
    let value = setting(url, "sslmode");
    let verify = match value.map(|(start, end)| &url[start..end]) {
        Some("verify-ca") => Some(Verify::Authority),
        Some("verify-full") => Some(Verify::Full),
        _ => None,
    };
    let known = match (value, verify) {
        (Some((start, end)), Some(_)) => format!("{}require{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    };
    Some(Asked { config: Config::from_str(&known).ok()?, verify, is_said: value.is_some() })
}

/// What is wrong with what a url and settings say of TLS.
pub(crate) fn check(url: &str, tls: Option<&Tls>) -> Vec<Problem> {
    let mut problems = tls.map(|tls| tls.check("tls")).unwrap_or_default();
    for (name, instead) in FILES {
        if setting(url, name).is_some() {
            let problem = Problem::new("url", "unsupported", format!("{name} can't be part of the url"));
            problems.push(problem.fix(format!("use {instead}")));
        }
    }
    if let Some(mode) = setting(url, "sslmode").map(|(start, end)| &url[start..end])
        && !MODES.contains(&mode)
    {
        let problem = Problem::new("url", "unknown-value", "this sslmode is not known");
        problems.push(problem.fix(format!("use one of {}", MODES.join(", "))));
        return problems;
    }
    let Some(Asked { config, .. }) = read(url) else { return problems };
    if config.get_channel_binding() == ChannelBinding::Require {
        let problem = Problem::new("url", "unsupported", "channel binding is not supported");
        problems.push(problem.fix("leave channel_binding out, and use sslmode=verify-full"));
    }
    if config.get_ssl_mode() == SslMode::Disable && tls.is_some() {
        let problem = Problem::new("tls", "contradiction", "is not used with sslmode=disable");
        problems.push(problem.fix("write sslmode=verify-full, or leave it out"));
    }
    problems
}

impl Asked {
    /// How the server is reached with these certificates. `given`: whether settings say anything of them.
    ///
    /// # Errors
    /// If one can't be used.
    pub(crate) fn connector(&mut self, given: bool, material: &Material) -> Result<Connector, Error> {
        let verify = match self.verify {
            Some(verify) => verify,
            // Whoever gives certificates and nothing else wants what is safe.
            None if given && !self.is_said => {
                self.config.ssl_mode(SslMode::Require);
                Verify::Full
            }
            // As libpq has it: whoever names authorities wants them to be checked.
            None if material.ca.is_some() && self.config.get_ssl_mode() == SslMode::Require => Verify::Authority,
            None => Verify::Nothing,
        };
        let mut config = material.client(verify)?;
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Connector(Arc::new(config)))
    }
}

/// Makes TLS of connections.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Encrypted;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        Ok(ToHost(self.0.clone(), host.to_owned()))
    }
}

/// Makes TLS of a connection to this host.
#[derive(Debug)]
pub struct ToHost(Arc<ClientConfig>, String);

impl TlsConnect<Socket> for ToHost {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let Self(config, host) = self;
        Box::pin(async move {
            let host = ServerName::try_from(host).map_err(io::Error::other)?;
            Ok(Encrypted(Box::new(TlsConnector::from(config).connect(host, socket).await?)))
        })
    }
}

/// An encrypted connection.
#[derive(Debug)]
pub struct Encrypted(Box<TlsStream<Socket>>);

impl tls::TlsStream for Encrypted {
    fn channel_binding(&self) -> tls::ChannelBinding {
        tls::ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_of_tls_is_read_as_libpq_reads_it() {
        use SslMode::{Disable, Prefer, Require};
        for (url, expected) in [
            ("postgres://u:p@h/d", Some((Prefer, None))),
            ("postgres://u:p@h/d?sslmode=disable", Some((Disable, None))),
            ("postgres://u:p@h/d?sslmode=require&connect_timeout=3", Some((Require, None))),
            ("postgres://u:p@h/d?connect_timeout=3&sslmode=verify-ca", Some((Require, Some(Verify::Authority)))),
            ("postgres://u:p@h/d?sslmode=verify-full&connect_timeout=3", Some((Require, Some(Verify::Full)))),
            ("host=h user=u sslmode=verify-full", Some((Require, Some(Verify::Full)))),
            ("host=h user=u sslmode = 'verify-ca' password=x", Some((Require, Some(Verify::Authority)))),
            ("postgres://u:sslmode=verify-full@h/d", Some((Prefer, None))),
            ("host=h user=u application_name=xsslmode=verify-full", Some((Prefer, None))),
            ("postgres://u:p@h/d?sslmode=allow", None),
        ] {
            let found = read(url).map(|asked| (asked.config.get_ssl_mode(), asked.verify));
            assert_eq!(found, expected, "{url}");
        }
        let paths =
            |url, tls: Option<&Tls>| -> Vec<_> { check(url, tls).into_iter().map(|problem| problem.code).collect() };
        assert!(paths("postgres://u@h/d?sslmode=verify-full", Some(&Tls::default())).is_empty());
        assert_eq!(paths("postgres://u@h/d?sslmode=allow", None), ["unknown-value"]);
        assert_eq!(paths("postgres://u@h/d?sslrootcert=/etc/passwd", None), ["unsupported"]);
        assert_eq!(paths("host=h user=u sslkey=/x sslcert=/y", None), ["unsupported", "unsupported"]);
        assert_eq!(paths("postgres://u@h/d?channel_binding=require", None), ["unsupported"]);
        assert_eq!(paths("postgres://u@h/d?sslmode=disable", Some(&Tls::default())), ["contradiction"]);
    }
}
