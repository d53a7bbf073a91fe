//! URLs of SQLite files: `sqlite:` and a path.
use dataflow_sdk::Problem;
use std::path::PathBuf;

/// The path in a URL, from behind `jdbc:` on if it has that; none: it is not one of SQLite.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(url: &str) -> Option<Result<PathBuf, Problem>> {
    let path = url.strip_prefix("sqlite:")?;
    let wrong = |code, message: &str, fix: &str| Some(Err(Problem::new("url", code, message).fix(fix)));
    if path.is_empty() || path == ":memory:" || path.starts_with("file:") || path.starts_with(":resource:") {
        let fix = "give the path of a file, such as sqlite:/data/shop.db, not a URI";
        return wrong("invalid-value", "the database must be a file, given by its path", fix);
    }
    if path.starts_with("//") {
        // `sqlite:///a` is /a for some programs, and `a` for others.
        let fix = "write sqlite:/data/shop.db, or sqlite:shop.db for a path relative to the node's folder";
        return wrong("invalid-value", "has slashes before the path, which programs read in different ways", fix);
    }
    if path.contains('?') {
        let fix = "leave out what is behind the path";
        return wrong("unsupported", "parameters, from a question mark on, can't be part of the url", fix);
    }
    if path.contains('\0') {
        return wrong("invalid-value", "a path can't contain a NUL character", "remove it");
    }
    Some(Ok(path.into()))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_url_names_a_file() {
        for (url, expected) in [
            ("sqlite:/data/shop.db", Some(Ok("/data/shop.db"))),
            ("sqlite:shop one.db", Some(Ok("shop one.db"))),
            ("sqlite:./a%20b.db", Some(Ok("./a%20b.db"))),
            ("sqlite:", Some(Err("invalid-value"))),
            ("sqlite::memory:", Some(Err("invalid-value"))),
            ("sqlite:file:a.db", Some(Err("invalid-value"))),
            ("sqlite:///data/shop.db", Some(Err("invalid-value"))),
            ("sqlite:a.db?mode=ro", Some(Err("unsupported"))),
            ("postgres://h/d", None),
        ] {
            let found = read(url).map(|read| read.map_err(|problem| problem.code.to_string()));
            let found = found.as_ref().map(|read| read.as_deref().map(|path| path.to_str()).map_err(String::as_str));
            assert_eq!(found, expected.map(|read| read.map(Some)), "{url}");
        }
    }
}
