//! Whether a query chooses among its rows by their number.

/// Whether the outermost SELECT has a limit: rows that are not chosen when they come would never be read.
pub(super) fn chooses(query: &str) -> bool {
    let mut words = Vec::new();
    let (mut depth, mut rest) = (0_i32, query);
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '\'' | '"' | '`' => quoted(after, first),
            '#' => line(after),
            '-' if after.starts_with("- ") => line(after),
            '/' if after.starts_with('*') => after.split_once("*/").map_or("", |(_, rest)| rest),
            _ if first.is_alphanumeric() || first == '_' => {
                let end =
                    rest.find(|next: char| !next.is_alphanumeric() && next != '_' && next != '$').unwrap_or(rest.len());
                if depth == 0 {
                    words.push(rest[..end].to_ascii_lowercase());
                }
                &rest[end..]
            }
            _ => {
                depth += i32::from(first == '(') - i32::from(first == ')');
                after
            }
        };
    }
    words.iter().any(|word| word == "limit")
        || words.windows(2).any(|pair| pair[0] == "fetch" && ["first", "next"].contains(&pair[1].as_str()))
}

fn line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// What comes after a text or name, whose quotes are doubled or escaped.
fn quoted(text: &str, quote: char) -> &str {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && quote != '`' {
            letters.next();
        } else if letter == quote {
            return &text[at + letter.len_utf8()..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::chooses;

    #[test]
    fn only_a_limit_of_the_whole_chooses() {
        for (query, expected) in [
            ("select * from t order by id limit 3", true),
            ("select * from t LIMIT\n3", true),
            ("select * from t offset 1 rows fetch first 3 rows only", true),
            ("select * from (select * from t limit 3) x", false),
            ("select 'it''s limit', \"a \\\" limit\", `limit` from t", false),
            ("select 1 /* limit */ from t -- limit\n# limit\nwhere true", false),
            ("select limited from t", false),
        ] {
            assert_eq!(chooses(query), expected, "{query}");
        }
    }
}
