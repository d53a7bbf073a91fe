//! The name of an index: a text that may have expressions in braces.
use dataflow_sdk::Problem;

/// What no name begins with.
const BEGINS: [char; 3] = ['-', '_', '+'];

/// Letters that no name has.
fn letters(name: &str) -> Option<String> {
    let is_wrong = |letter: &char| letter.is_uppercase() || letter.is_control() || "\\/*?\"<>|,#: ".contains(*letter);
    name.chars().find(is_wrong).map(|letter| format!("it has {letter:?}"))
}

/// A name, or what names are made by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Expression(String),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(begin) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(begin);
            let end = end(braced).ok_or_else(|| {
                let problem = Problem::new("index", "syntax", format!("the braces in {text:?} don't match"));
                problem.fix("put an expression in braces: logs-{to_char(ts, 'YYYY.MM.DD')}")
            })?;
            let inner = braced[1..end].trim();
            if inner.is_empty() {
                let problem =
                    Problem::new("index", "syntax", format!("there is no expression in the braces of {text:?}"));
                return Err(problem.fix("put an expression in braces: logs-{to_char(ts, 'YYYY.MM.DD')}"));
            }
            parts.extend((!before.is_empty()).then(|| Part::Text(before.into())));
            parts.push(Part::Expression(inner.into()));
            rest = &braced[end + 1..];
        }
        parts.extend((!rest.is_empty()).then(|| Part::Text(rest.into())));
        Ok(Self(parts))
    }

    /// What no index can be called, as far as the text tells.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let wrong = |why: &str| {
            let problem = Problem::new("index", "invalid-value", format!("no index can be called that: {why}"));
            Err(problem
                .fix("name it in lower case, without spaces and \\ / * ? \" < > | , # :, and not beginning with - _ +"))
        };
        let texts = || {
            self.0.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Expression(_) => None,
            })
        };
        if self.0.is_empty() {
            return wrong("it is empty");
        }
        if let Some(why) = texts().find_map(letters) {
            return wrong(&why);
        }
        match self.0.first() {
            Some(Part::Text(text)) if text.starts_with(BEGINS) => wrong(&format!("it begins with {:?}", &text[..1])),
            Some(Part::Text(text)) if self.0.len() == 1 && (text == "." || text == "..") => wrong("it is no name"),
            _ if texts().map(str::len).sum::<usize>() > 255 => wrong("it has more than 255 bytes"),
            _ => Ok(()),
        }
    }

    /// What no index can be called, of a name that values have made: to the server some of them are not even names, but many
    /// indices, or a calculation with dates.
    pub(super) fn unfit(name: &str) -> Option<String> {
        match name {
            "" => Some("it is empty".into()),
            "." | ".." => Some("it is no name".into()),
            _ if name.starts_with(BEGINS) => Some(format!("it begins with {:?}", &name[..1])),
            _ if name.len() > 255 => Some("it has more than 255 bytes".into()),
            _ => letters(name),
        }
    }

    /// The name, if it is one and the same for all rows.
    pub(super) fn name(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(name)] => Some(name),
            _ => None,
        }
    }

    /// All names that it can make, with `*` for what is not known.
    pub(super) fn wildcard(&self) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Expression(_) => "*",
            })
            .collect()
    }

    pub(super) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(text) => Some(text.as_str()),
        })
    }

    /// The name that the values of its expressions make; none if one has no value.
    pub(super) fn fill<'a>(&self, mut values: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            name.push_str(match part {
                Part::Text(text) => text,
                Part::Expression(_) => values.next()??,
            });
        }
        Some(name)
    }
}

/// Where the brace closes that a text begins with. Braces in quotes are none.
fn end(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '{') => depth += 1,
            (None, '}') => {
                depth -= 1;
                if depth <= 0 {
                    return (depth == 0).then_some(at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Pattern;

    #[test]
    fn names_are_texts_with_expressions() {
        let cases: [(&str, &str, &[&str]); 4] = [
            ("logs", "logs", &[]),
            ("logs-{to_char(ts, 'YYYY}')}", "logs-*", &["to_char(ts, 'YYYY}')"]),
            ("{ a }-{b}x", "*-*x", &["a", "b"]),
            ("{struct(x := {'a': 1})}", "*", &["struct(x := {'a': 1})"]),
        ];
        for (text, wildcard, expressions) in cases {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(
                (pattern.wildcard().as_str(), pattern.expressions().collect::<Vec<_>>()),
                (wildcard, expressions.to_vec())
            );
            assert_eq!(pattern.name().is_some(), expressions.is_empty());
            assert_eq!(pattern.check(), Ok(()), "{text}");
        }
        let pattern = Pattern::parse("a-{x}-{y}").unwrap();
        assert_eq!(pattern.fill([Some("1"), Some("2")].into_iter()).as_deref(), Some("a-1-2"));
        assert_eq!(pattern.fill([Some("1"), None].into_iter()), None);
    }

    #[test]
    fn what_values_make_must_be_one_name() {
        for name in ["", ".", "<logs-{now/d}>", "a*", "a,b", "-a", "_all", "a/b", "A", "a b", "a\n", &"x".repeat(256)] {
            assert!(Pattern::unfit(name).is_some(), "{name:?}");
        }
        for name in ["a", ".a", "a-_+", "ä", "a{b}", "a.2026.01"] {
            assert_eq!(Pattern::unfit(name), None);
        }
    }

    #[test]
    fn what_can_be_no_name_is_found() {
        for text in
            ["", "Logs", "a b", "a,b", "-a", "_a", "<a-{x}>", ".", "a:b", "{", "a}", "{}", "a-{'}", &"x".repeat(256)]
        {
            assert!(Pattern::parse(text).and_then(|pattern| pattern.check()).is_err(), "{text:?}");
        }
    }
}
