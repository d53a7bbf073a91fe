//! Names and values as parts of statements.

/// A name, quoted.
pub fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `table` or `database.table`, each part quoted.
pub fn table(table: &str) -> String {
    match table.split_once('.') {
        Some((database, table)) => format!("{}.{}", name(database), name(table)),
        None => name(table),
    }
}

/// A text as a literal, whatever `sql_mode` and the character set of the session say.
pub fn literal(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'"' | b'\\') || byte == b' ') {
        return format!("'{text}'");
    }
    format!("_utf8mb4 {}", bytes(text.as_bytes()))
}

/// Bytes as a literal.
pub fn bytes(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

#[cfg(test)]
mod tests {
    use super::{literal, name, table};

    #[test]
    fn nothing_ends_a_name_or_a_literal_early() {
        assert_eq!(name("a`b"), "`a``b`");
        assert_eq!(table("sales.or`ders"), "`sales`.`or``ders`");
        assert_eq!(literal("2026-01-02 03:04:05"), "'2026-01-02 03:04:05'");
        assert_eq!(literal("it's"), "_utf8mb4 x'69742773'");
        assert_eq!(literal("\\"), "_utf8mb4 x'5c'");
        assert_eq!(literal("ä"), "_utf8mb4 x'c3a4'");
    }
}
