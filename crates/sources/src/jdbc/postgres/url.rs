//! URLs of PostgreSQL: libpq's, or those of its JDBC driver.
use dataflow_sdk::Problem;

/// What JDBC's driver calls a setting, and what libpq does.
const SETTINGS: [(&str, &str); 4] = [
    ("ApplicationName", "application_name"),
    ("connectTimeout", "connect_timeout"),
    ("ssl=true", "sslmode=verify-full"),
    ("ssl=false", "sslmode=disable"),
];

/// The URL, from behind `jdbc:` on if it has that, as PostgreSQL's own clients take it; none: it is not one of PostgreSQL.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(url: &str, of_jdbc: bool) -> Option<Result<String, Problem>> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !of_jdbc && (is_url || url.contains("host=")) {
        return Some(Ok(url.into()));
    }
    if !is_url {
        return None;
    }
    let (place, settings) = url.split_once('?').unwrap_or((url, ""));
    let mut known = Vec::new();
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        if setting.starts_with("currentSchema=") {
            let problem = Problem::new("url", "unsupported", "currentSchema can't be part of the url");
            return Some(Err(problem.fix("write the schema in front of the table: `table: sales.orders`")));
        }
        let own = SETTINGS.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", setting.strip_prefix(theirs)?)));
        known.push(own.unwrap_or_else(|| setting.into()));
    }
    let mark = if known.is_empty() { "" } else { "?" };
    Some(Ok(format!("{place}{mark}{}", known.join("&"))))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn urls_are_taken_in_both_forms() {
        for (url, of_jdbc, expected) in [
            ("postgres://u:p@h/d", false, Some(Ok("postgres://u:p@h/d"))),
            ("postgresql://h/d?user=u", false, Some(Ok("postgresql://h/d?user=u"))),
            ("host=h user=u", false, Some(Ok("host=h user=u"))),
            ("postgresql://h:5433/d?user=u&password=p", true, Some(Ok("postgresql://h:5433/d?user=u&password=p"))),
            (
                "postgresql://h/d?user=u&ssl=true&ApplicationName=x",
                true,
                Some(Ok("postgresql://h/d?user=u&sslmode=verify-full&application_name=x")),
            ),
            ("postgresql:d", true, None),
            ("postgresql://h/d?currentSchema=s", true, Some(Err("unsupported"))),
            ("mysql://h/d", true, None),
        ] {
            let found = read(url, of_jdbc).map(|read| read.map_err(|problem| problem.code.to_string()));
            let found = found.as_ref().map(|read| read.as_deref().map_err(String::as_str));
            assert_eq!(found, expected, "{url}");
        }
    }
}
