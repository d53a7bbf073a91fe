//! Where a database is: its own form of URL, or that of JDBC.
use dataflow_sdk::Problem;

/// The databases that can't be read, by the schemes of their URLs.
const OTHERS: [(&str, &str); 9] = [
    ("mysql:", "MySQL"),
    ("mariadb:", "MariaDB"),
    ("sqlite:", "SQLite"),
    ("sqlserver:", "SQL Server"),
    ("oracle:", "Oracle"),
    ("db2:", "Db2"),
    ("h2:", "H2"),
    ("snowflake:", "Snowflake"),
    ("clickhouse:", "ClickHouse"),
];

/// What JDBC's driver calls a setting, and what libpq does.
const SETTINGS: [(&str, &str); 4] = [
    ("ApplicationName", "application_name"),
    ("connectTimeout", "connect_timeout"),
    ("ssl=true", "sslmode=verify-full"),
    ("ssl=false", "sslmode=disable"),
];

/// The URL as PostgreSQL's own clients take it.
///
/// # Errors
/// What is wrong with it. Parts of it are never repeated, since one may be a password.
pub(super) fn read(url: &str) -> Result<String, Problem> {
    let wrong = |code, message: &str, fix: &str| Err(Problem::new("url", code, message).fix(fix));
    let (of_jdbc, rest) = match url.strip_prefix("jdbc:") {
        Some(rest) => (true, rest),
        None => (false, url),
    };
    if let Some((_, name)) = OTHERS.iter().find(|(scheme, _)| rest.starts_with(scheme)) {
        let fix = "read it by another program into a file or topic, or ask for it";
        return wrong("unsupported", &format!("databases of {name} can't be read yet: only PostgreSQL"), fix);
    }
    let is_url = rest.starts_with("postgres://") || rest.starts_with("postgresql://");
    if !of_jdbc && (is_url || rest.contains("host=")) {
        return Ok(rest.into());
    }
    if !is_url {
        let fix = "write postgres://user:password@host:5432/database or jdbc:postgresql://host:5432/database?user=…";
        return wrong("invalid-value", "is not the URL of a PostgreSQL database", fix);
    }
    let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
    let mut known = Vec::new();
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        if setting.starts_with("currentSchema=") {
            let fix = "write the schema in front of the table: `table: sales.orders`";
            return wrong("unsupported", "currentSchema can't be part of the url", fix);
        }
        let own = SETTINGS.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", setting.strip_prefix(theirs)?)));
        known.push(own.unwrap_or_else(|| setting.into()));
    }
    let mark = if known.is_empty() { "" } else { "?" };
    Ok(format!("{place}{mark}{}", known.join("&")))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn urls_are_taken_in_both_forms() {
        for (url, expected) in [
            ("postgres://u:p@h/d", Ok("postgres://u:p@h/d")),
            ("postgresql://h/d?user=u", Ok("postgresql://h/d?user=u")),
            ("host=h user=u", Ok("host=h user=u")),
            ("jdbc:postgresql://h:5433/d?user=u&password=p", Ok("postgresql://h:5433/d?user=u&password=p")),
            (
                "jdbc:postgresql://h/d?user=u&ssl=true&ApplicationName=x",
                Ok("postgresql://h/d?user=u&sslmode=verify-full&application_name=x"),
            ),
            ("jdbc:postgresql:d", Err("invalid-value")),
            ("jdbc:postgresql://h/d?currentSchema=s", Err("unsupported")),
            ("jdbc:mysql://h/d", Err("unsupported")),
            ("sqlite:a.db", Err("unsupported")),
            ("http://h", Err("invalid-value")),
            ("", Err("invalid-value")),
        ] {
            let found = read(url).map_err(|problem| problem.code);
            assert_eq!(found.as_deref().map_err(|code| code.as_ref()), expected, "{url}");
        }
    }
}
