//! URLs of MySQL and MariaDB: `mysql://user:password@host:3306/database`, or those of their JDBC drivers.
use dataflow_sdk::Problem;
use dataflow_tls::{Tls, Verify};
use percent_encoding::percent_decode_str;
use url::Url;

/// How its URLs look.
const FORM: &str = "mysql://user:password@host:3306/database";

/// Settings of drivers whose meaning is fixed here: time zone, character set and SQL mode are set by whoever reads.
const PINNED: [&str; 12] = [
    "useunicode",
    "characterencoding",
    "connectioncollation",
    "servertimezone",
    "connectiontimezone",
    "timezone",
    "uselegacydatetimecode",
    "zerodatetimebehavior",
    "tinyint1isbit",
    "autoreconnect",
    "allowpublickeyretrieval",
    "connecttimeout",
];

/// What a URL names.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// MySQL or MariaDB, as far as the URL says.
    pub(crate) product: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The database.
    pub database: String,
    pub(crate) encrypt: Encrypt,
}

/// What a URL says of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encrypt {
    /// Nothing.
    Unsaid,
    /// It is not used.
    Never,
    /// It is used where the server offers it.
    Prefer,
    /// It is used, and so much of the server's certificate is checked.
    Always(Verify),
}

/// Without the password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("host", &self.host).field("database", &self.database).finish_non_exhaustive()
    }
}

impl Target {
    /// `host:port/database`.
    pub fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

/// Reads a URL, from behind `jdbc:` on if it has that; none: it is not one of MySQL or MariaDB.
///
/// # Errors
/// What is wrong with it. Parts of it are never repeated, since one may be a password.
pub fn read(url: &str) -> Option<Result<Target, Problem>> {
    let product = match url.split_once("://")?.0 {
        "mysql" => "MySQL",
        "mariadb" => "MariaDB",
        _ => return None,
    };
    Some(target(product, url))
}

fn target(product: &'static str, url: &str) -> Result<Target, Problem> {
    let wrong = |message: &str| Problem::new("url", "invalid-value", message).fix(format!("write {FORM}"));
    let url = Url::parse(url).map_err(|_| wrong("the url is not a valid URL of MySQL or MariaDB: characters like @, / and % in a password are written as %40, %2F and %25"))?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
    let plain = |text: &str| decoded(text).map_err(|_| wrong("the url has bytes that are not UTF-8"));
    let mut target = Target {
        product,
        host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).into(),
        port: url.port().unwrap_or(3306),
        user: plain(url.username())?,
        password: plain(url.password().unwrap_or_default())?,
        database: plain(url.path().trim_start_matches('/'))?,
        encrypt: Encrypt::Unsaid,
    };
    for setting in url.query().unwrap_or_default().split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let value = plain(value)?;
        match name.to_ascii_lowercase().replace('-', "").as_str() {
            "user" => target.user = value,
            "password" => target.password = value,
            "sslmode" => target.encrypt = encrypt(&value)?,
            "usessl" if value == "false" => target.encrypt = Encrypt::Never,
            "usessl" if value == "true" => target.encrypt = Encrypt::Always(Verify::Nothing),
            pinned if PINNED.contains(&pinned) => {}
            // The value may be a secret; its name is one of a setting.
            _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') => {
                let problem = Problem::new("url", "unsupported", format!("{name} can't be part of the url"));
                return Err(problem.fix("leave it out; sslMode is known, and certificates are set in `tls`"));
            }
            _ => return Err(wrong("the url has settings that can't be read")),
        }
    }
    for (part, name) in [(&target.host, "host"), (&target.user, "user"), (&target.database, "database")] {
        if part.is_empty() {
            return Err(wrong(&format!("the url has no {name}")));
        }
    }
    Ok(target)
}

/// The words of MySQL's clients, and of MariaDB's.
fn encrypt(mode: &str) -> Result<Encrypt, Problem> {
    match mode.to_ascii_lowercase().replace('_', "-").as_str() {
        "disabled" | "disable" => Ok(Encrypt::Never),
        "preferred" | "prefer" => Ok(Encrypt::Prefer),
        "required" | "require" | "trust" => Ok(Encrypt::Always(Verify::Nothing)),
        "verify-ca" => Ok(Encrypt::Always(Verify::Authority)),
        "verify-identity" | "verify-full" => Ok(Encrypt::Always(Verify::Full)),
        _ => {
            let problem = Problem::new("url", "unknown-value", "this sslMode is not known");
            Err(problem.fix("use one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"))
        }
    }
}

/// What is wrong with what a URL and settings say of TLS.
pub fn check(target: &Target, tls: Option<&Tls>) -> Vec<Problem> {
    let mut problems = tls.map(|tls| tls.check("tls")).unwrap_or_default();
    if target.encrypt == Encrypt::Never && tls.is_some() {
        let problem = Problem::new("tls", "contradiction", "is not used with sslMode=DISABLED");
        problems.push(problem.fix("write sslMode=VERIFY_IDENTITY, or leave it out"));
    }
    problems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_are_taken_in_both_forms() {
        let read = |url: &str| read(url).unwrap().unwrap();
        let plain = read("mysql://u:p%40s@h/d");
        assert_eq!((plain.user.as_str(), plain.password.as_str(), plain.place().as_str()), ("u", "p@s", "h:3306/d"));
        let jdbc = read("mariadb://h:3307/d?user=u&password=p&serverTimezone=UTC&sslMode=verify-full");
        assert_eq!((jdbc.user.as_str(), jdbc.password.as_str(), jdbc.place().as_str()), ("u", "p", "h:3307/d"));
        assert_eq!((jdbc.product, jdbc.encrypt), ("MariaDB", Encrypt::Always(Verify::Full)));
        assert!(!format!("{plain:?} {jdbc:?}").contains('p'.to_string().repeat(2).as_str()));
        assert_eq!(read("mysql://u@[::1]/d").host, "::1");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        for (url, code) in [
            ("mysql://u:se/cret@h/d", "invalid-value"),
            ("mysql://u:secret@/d", "invalid-value"),
            ("mysql://u:secret@h", "invalid-value"),
            ("mysql://:secret@h/d", "invalid-value"),
            ("mysql://u:secret@h/d?sslMode=maybe", "unknown-value"),
            ("mysql://u:secret@h/d?sslca=/etc/secret", "unsupported"),
        ] {
            let problem = read(url).unwrap().unwrap_err();
            assert_eq!(problem.code, code, "{url}");
            assert!(!format!("{problem:?}").contains("cret"), "{problem:?}");
        }
        assert!(read("postgres://h/d").is_none() && read("mysql:d").is_none());
        let never = read("mysql://u@h/d?sslMode=DISABLED").unwrap().unwrap();
        assert_eq!(check(&never, Some(&Tls::default()))[0].code, "contradiction");
    }
}
