//! PostgreSQL's arrays as JSON: `{1,NULL,"a b"}` as `[1,null,"a b"]`.
use super::types::Form;

/// Writes an array as JSON. None: it is not one whose elements are numbered from 1.
pub(super) fn json(text: &str, element: &Form, between: char, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut array = Array { rest: text, element, between, out };
    array.list()?;
    array.rest.is_empty().then_some(())
}

struct Array<'a> {
    rest: &'a str,
    element: &'a Form,
    between: char,
    out: &'a mut Vec<u8>,
}

impl Array<'_> {
    fn take(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn list(&mut self) -> Option<()> {
        if !self.take('{') {
            return None;
        }
        self.out.push(b'[');
        while !self.take('}') {
            match self.rest.chars().next()? {
                '{' => self.list()?,
                '"' => self.quoted()?,
                _ => self.plain()?,
            }
            if self.take(self.between) {
                self.out.push(b',');
            }
        }
        self.out.push(b']');
        Some(())
    }

    fn plain(&mut self) -> Option<()> {
        let (text, rest) = self.rest.split_at(self.rest.find([self.between, '}'])?);
        self.rest = rest;
        match text {
            "NULL" => self.out.extend_from_slice(b"null"),
            text => self.write(text),
        }
        Some(())
    }

    fn quoted(&mut self) -> Option<()> {
        self.take('"');
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        loop {
            match letters.next()?.1 {
                '"' => break,
                '\\' => text.push(letters.next()?.1),
                letter => text.push(letter),
            }
        }
        self.rest = letters.as_str();
        self.write(&text);
        Some(())
    }

    fn write(&mut self, text: &str) {
        let mut scratch = Vec::new();
        self.element.value(text, &mut scratch).write(self.out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arrays_become_lists() {
        for (element, text, expected) in [
            (Form::Number, "{}", Some("[]")),
            (Form::Number, "{1,-2.50,NULL,NaN}", Some(r#"[1,-2.50,null,"NaN"]"#)),
            (Form::Number, "{{1,2},{3,4}}", Some("[[1,2],[3,4]]")),
            (Form::Number, "[0:1]={1,2}", None),
            (Form::Boolean, "{t,f}", Some("[true,false]")),
            (
                Form::Text,
                r#"{a,"b c","d\"e\\","NULL",NULL,"","{}"}"#,
                Some(r#"["a","b c","d\"e\\","NULL",null,"","{}"]"#),
            ),
            (Form::Json, r#"{"{\"a\": [1, 2.0]}",7}"#, Some(r#"[{"a": [1, 2.0]},7]"#)),
            (Form::Timestamp, r#"{"2026-01-02 03:04:05+00"}"#, Some(r#"["2026-01-02T03:04:05Z"]"#)),
            (Form::Binary, r#"{"\\x00ff"}"#, Some(r#"["AP8="]"#)),
            (Form::Text, "{a", None),
            (Form::Text, "a", None),
        ] {
            let mut out = Vec::new();
            let found = json(text, &element, ',', &mut out).map(|()| String::from_utf8(out.clone()).unwrap());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let mut out = Vec::new();
        json("{(2,2),(1,1);(4,4),(3,3)}", &Form::Text, ';', &mut out).unwrap();
        assert_eq!(out, br#"["(2,2),(1,1)","(4,4),(3,3)"]"#);
    }
}
