//! Translates PostgreSQL's patterns for the regex library.
use datafusion_common::{Result, exec_err};
use regex::Regex;
use std::{cell::RefCell, rc::Rc};

/// The number of patterns that a thread caches.
const REMEMBERED: usize = 8;

/// The syntax of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// A regular expression.
    Regular,
    /// SIMILAR TO's syntax; `None` means no escape character.
    Similar(Option<char>),
}

/// Returns the compiled pattern, cached.
///
/// # Errors
/// The fault of the pattern.
pub(super) fn compiled(text: &str, flags: &str, syntax: Syntax) -> Result<Rc<Regex>> {
    type Known = (String, String, Syntax, Rc<Regex>);
    thread_local! {
        static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(found) = known.iter().find(|found| found.0 == text && found.1 == flags && found.2 == syntax) {
            return Ok(found.3.clone());
        }
        let regex = match syntax {
            Syntax::Regular => regular(text, flags),
            Syntax::Similar(escape) => similar(text, escape),
        };
        let regex = match regex {
            Ok(regex) => Rc::new(regex),
            Err(why) => return exec_err!("{text:?} is not a pattern: {why}"),
        };
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push((text.into(), flags.into(), syntax, regex.clone()));
        Ok(regex)
    })
}

type Found<T> = std::result::Result<T, String>;

fn regular(text: &str, flags: &str) -> Found<Regex> {
    let (mut modes, mut lines) = (String::new(), false);
    for flag in flags.chars() {
        match flag {
            'g' => {}
            'i' | 'x' => modes.push(flag),
            'c' => modes.retain(|mode| mode != 'i'),
            'm' | 'n' => lines = true,
            's' => lines = false,
            other => return Err(format!("there is no flag {other:?}")),
        }
    }
    // A point also matches line breaks, unless lines are matched one by one.
    modes.push(if lines { 'm' } else { 's' });
    if text.starts_with("***") {
        return Err("*** is not supported".into());
    }
    made(&format!("(?{modes}){}", Reader::new(text, Syntax::Regular).read()?))
}

fn similar(text: &str, escape: Option<char>) -> Found<Regex> {
    made(&format!("(?s)\\A(?:{})\\z", Reader::new(text, Syntax::Similar(escape)).read()?))
}

fn made(pattern: &str) -> Found<Regex> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it is too large").to_owned()
    })
}

/// Parses a pattern and writes the library's equivalent.
struct Reader<'a> {
    left: std::iter::Peekable<std::str::Chars<'a>>,
    syntax: Syntax,
    made: String,
    /// Whether the last item was a quantifier.
    counted: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, syntax: Syntax) -> Self {
        Self { left: text.chars().peekable(), syntax, made: String::new(), counted: false }
    }

    fn read(mut self) -> Found<String> {
        while let Some(next) = self.left.next() {
            let count =
                matches!(next, '*' | '+' | '?') || next == '{' && self.left.peek().is_some_and(char::is_ascii_digit);
            if self.counted && count && next != '?' {
                return Err("a quantifier follows another one".into());
            }
            self.counted = count && next != '{' || next == '}' && self.bounded();
            match self.syntax {
                Syntax::Regular => match next {
                    '\\' => self.escape(false)?,
                    '[' => self.class()?,
                    '(' => self.group()?,
                    '{' if !self.left.peek().is_some_and(char::is_ascii_digit) => self.made.push_str("\\{"),
                    '}' if !self.bounded() => self.made.push_str("\\}"),
                    other => self.made.push(other),
                },
                Syntax::Similar(escape) => match next {
                    next if Some(next) == escape => match self.left.peek() {
                        None => return Err("it ends with the escape character".into()),
                        Some('"') => return Err("an escaped \" is not supported".into()),
                        Some(_) => self.escape(false)?,
                    },
                    '%' => {
                        self.made.push_str(".*");
                        self.counted = true;
                    }
                    '_' => self.made.push('.'),
                    '(' => self.made.push_str("(?:"),
                    '[' => self.class()?,
                    '.' | '^' | '$' | '\\' => self.literal(next),
                    '{' if !self.left.peek().is_some_and(char::is_ascii_digit) => self.made.push_str("\\{"),
                    other => self.made.push(other),
                },
            }
        }
        Ok(self.made)
    }

    fn literal(&mut self, next: char) {
        self.made.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
    }

    /// Returns whether a closing brace ends a count.
    fn bounded(&self) -> bool {
        let count = self.made.trim_end_matches(|c: char| c.is_ascii_digit() || c == ',');
        count.ends_with('{') && !count.ends_with("\\{")
    }

    /// Translates the rest of an escape: letters and digits mean the same as in regular expressions, also in SIMILAR
    /// TO.
    fn escape(&mut self, in_class: bool) -> Found<()> {
        let Some(next) = self.left.next() else { return Err("it ends with a backslash".into()) };
        let made = match next {
            'd' if in_class => "0-9",
            'd' => "[0-9]",
            'D' if !in_class => "[^0-9]",
            's' => "\\s",
            'w' => "\\w",
            'S' if !in_class => "\\S",
            'W' if !in_class => "\\W",
            'a' => "\\x07",
            'e' => "\\x1B",
            'f' => "\\x0C",
            'n' => "\\n",
            'r' => "\\r",
            't' => "\\t",
            'v' => "\\x0B",
            'A' if !in_class => "\\A",
            'Z' if !in_class => "\\z",
            'm' if !in_class => "\\b{start}",
            'M' if !in_class => "\\b{end}",
            'y' if !in_class => "\\b",
            'Y' if !in_class => "\\B",
            'u' => return self.code(4),
            'U' => return self.code(8),
            'b' if self.syntax != Syntax::Regular => "\\x08",
            'b' | 'B' => return Err(format!("\\{next} is not supported: the edge of a word is \\y")),
            '1'..='9' => return Err("back references are not supported".into()),
            other if other.is_alphanumeric() => return Err(format!("\\{other} is not supported")),
            other => {
                self.literal(other);
                return Ok(());
            }
        };
        self.made.push_str(made);
        Ok(())
    }

    /// Reads a character given by its number.
    fn code(&mut self, digits: usize) -> Found<()> {
        let number: String = (0..digits).map_while(|_| self.left.next_if(char::is_ascii_hexdigit)).collect();
        let code = u32::from_str_radix(&number, 16).ok().filter(|_| number.len() == digits).and_then(char::from_u32);
        self.literal(code.ok_or("\\u takes four hexadecimal digits")?);
        Ok(())
    }

    /// Reads the rest of a group after its opening parenthesis.
    fn group(&mut self) -> Found<()> {
        self.made.push('(');
        if self.left.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match self.left.next() {
            Some(':') => self.made.push_str("?:"),
            Some('=' | '!' | '<') => return Err("lookahead and lookbehind are not supported".into()),
            Some(mode @ ('i' | 'x' | 's')) if self.left.next_if_eq(&')').is_some() && self.made == "(" => {
                self.made = format!("(?{mode})");
            }
            _ => return Err("(? is supported only in (?:…) and, at the beginning, in (?i)".into()),
        }
        Ok(())
    }

    /// Reads a bracket expression.
    fn class(&mut self) -> Found<()> {
        self.made.push('[');
        if self.left.next_if_eq(&'^').is_some() {
            self.made.push('^');
        }
        let mut first = true;
        loop {
            let Some(next) = self.left.next() else { return Err("[ is not closed".into()) };
            match next {
                ']' if !first => break,
                '[' => match self.left.peek() {
                    Some(':') => self.named()?,
                    Some('.' | '=') => return Err("collating elements are not supported".into()),
                    _ => self.made.push_str("\\["),
                },
                '\\' if self.syntax == Syntax::Regular => self.escape(true)?,
                escape if self.syntax == Syntax::Similar(Some(escape)) => self.escape(true)?,
                '-' if !first && self.left.peek() != Some(&']') => self.made.push('-'),
                other => self.literal(other),
            }
            first = false;
        }
        self.made.push(']');
        Ok(())
    }

    /// Reads a named class: `[:alpha:]`.
    fn named(&mut self) -> Found<()> {
        let name: String = std::iter::from_fn(|| self.left.next_if(|c| *c != ']')).collect();
        self.left.next();
        self.made.push_str(match name.as_str() {
            ":alpha:" => "\\p{Alphabetic}",
            ":alnum:" => "\\p{Alphabetic}\\p{N}",
            ":digit:" => "0-9",
            ":upper:" => "\\p{Uppercase}",
            ":lower:" => "\\p{Lowercase}",
            ":space:" => "\\s",
            ":word:" => "\\w",
            ":blank:" => " \\t",
            ":punct:" => "[:punct:]",
            ":xdigit:" => "[:xdigit:]",
            ":cntrl:" => "[:cntrl:]",
            _ => return Err(format!("[{name}] is not supported")),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Syntax, compiled};

    #[test]
    fn a_pattern_that_means_something_else_elsewhere_is_refused() {
        for pattern in [r"(a)\1", "a(?=b)", "a**", r"\bword", "[[.a.]]", "(?<n>a)", "a\\", "[a", "***=a"] {
            assert!(compiled(pattern, "", Syntax::Regular).is_err(), "{pattern}");
        }
        assert!(compiled("a", "w", Syntax::Regular).is_err());
        assert!(compiled("a!", "", Syntax::Similar(Some('!'))).is_err());
    }
}
