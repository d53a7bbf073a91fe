//! Names and values as parts of statements.

/// A name, quoted.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `table` or `schema.table`, each part quoted.
pub fn table(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, table)) => format!("{}.{}", name(schema), name(table)),
        None => name(table),
    }
}

/// A text as a literal, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::{literal, name, table};

    #[test]
    fn nothing_ends_a_name_or_a_literal_early() {
        assert_eq!(name(r#"a"b"#), r#""a""b""#);
        assert_eq!(table("sales.or\"ders"), "\"sales\".\"or\"\"ders\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'; drop"), " E'\\\\''; drop'");
    }
}
