//! Which database a URL names: in its own form, or in that of JDBC.
use super::{
    database::Database,
    mysql::{self, Mysql},
    postgres::{self, Postgres},
    sqlite::{self, Sqlite},
};
use dataflow_sdk::Problem;

/// The databases that can't be read, by the schemes of their URLs.
const OTHERS: [(&str, &str); 6] = [
    ("sqlserver:", "SQL Server"),
    ("oracle:", "Oracle"),
    ("db2:", "Db2"),
    ("h2:", "H2"),
    ("snowflake:", "Snowflake"),
    ("clickhouse:", "ClickHouse"),
];

/// The database of a URL.
///
/// # Errors
/// What is wrong with it. Parts of it are never repeated, since one may be a password.
pub(super) fn read(url: &str) -> Result<Box<dyn Database>, Problem> {
    let (of_jdbc, rest) = match url.strip_prefix("jdbc:") {
        Some(rest) => (true, rest),
        None => (false, url),
    };
    if let Some(found) = Sqlite::of_url(rest) {
        return found.map(|database| Box::new(database) as _);
    }
    if let Some(found) = Postgres::of_url(rest, of_jdbc) {
        return found.map(|database| Box::new(database) as _);
    }
    if let Some(found) = Mysql::of_url(rest) {
        return found.map(|database| Box::new(database) as _);
    }
    let forms = [postgres::FORM, mysql::FORM, sqlite::FORM].join(", or ");
    let problem = match OTHERS.iter().find(|(scheme, _)| rest.starts_with(scheme)) {
        Some((_, name)) => Problem::new("url", "unsupported", format!("databases of {name} can't be read yet"))
            .fix(format!("read it by another program into a file or topic, or ask for it; what can be read: {forms}")),
        None => Problem::new("url", "invalid-value", "is not the URL of a database that can be read")
            .fix(format!("write {forms}")),
    };
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn what_is_no_url_of_a_known_database_is_told_of() {
        for (url, expected) in [
            ("postgres://u:p@h/d", None),
            ("jdbc:sqlite:a.db", None),
            ("jdbc:mysql://h/d?user=u", None),
            ("mariadb://u@h/d", None),
            ("jdbc:mysql:replication://h/d", Some("invalid-value")),
            ("jdbc:sqlserver://h", Some("unsupported")),
            ("oracle:thin:@h", Some("unsupported")),
            ("http://h", Some("invalid-value")),
            ("", Some("invalid-value")),
        ] {
            let found = read(url).err().map(|problem| problem.code.to_string());
            assert_eq!(found.as_deref(), expected, "{url}");
        }
    }
}
