//! The text form of hstore: `a=>1, "b c"=>NULL`.
use std::{collections::HashSet, iter::Peekable, str::Chars};

/// Returns a key that occurs more than once; PostgreSQL keeps only one of its values. An invalid hstore is left for the
/// server to reject.
pub(super) fn repeated(text: &str) -> Option<String> {
    let (mut rest, mut seen) = (text.chars().peekable(), HashSet::new());
    loop {
        let key = word(&mut rest, '=')?;
        let arrow = rest.find(|letter| !letter.is_ascii_whitespace()) == Some('=') && rest.next() == Some('>');
        if !arrow {
            return None;
        }
        word(&mut rest, ',')?;
        if seen.contains(&key) {
            return Some(key);
        }
        seen.insert(key);
        rest.find(|letter| *letter == ',')?;
    }
}

/// Reads a key or value, in quotes or up to a blank or `end`.
fn word(rest: &mut Peekable<Chars<'_>>, end: char) -> Option<String> {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
    let quoted = rest.next_if_eq(&'"').is_some();
    let mut word = String::new();
    while let Some(letter) = rest.next_if(|next| quoted || !next.is_ascii_whitespace() && *next != end) {
        match letter {
            '"' if quoted => return Some(word),
            '\\' => word.push(rest.next()?),
            _ => word.push(letter),
        }
    }
    (!quoted && !word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::repeated;

    #[test]
    fn keys_that_come_twice_are_found() {
        for text in ["a=>1,a=>2", r#""a"=>1 , a => NULL"#, r#"\a=>"x,y=>",b=>2,a=>3"#, r#""a\"b"=>1,a\"b=>1"#] {
            assert!(repeated(text).is_some(), "{text}");
        }
        for text in ["", "a=>1", "a=>1,b=>1,", r#""a,a"=>"a=>1",a=>2"#, "a", "a=>", "a=>1,A=>1", r#""a=>1,a=>2"#] {
            assert_eq!(repeated(text), None, "{text}");
        }
    }
}
