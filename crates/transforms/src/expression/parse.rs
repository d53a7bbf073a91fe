//! Parses text into syntax trees.
use super::{balance::balance, finding::Finding};
use dataflow_core::limits::MAX_EXPRESSION;
use datafusion_sql::sqlparser::{
    ast::{Expr, Query, VisitMut},
    dialect::GenericDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
};

/// The deepest nesting of an expression.
const MAX_DEPTH: usize = 50;

const EXPRESSION: &str = "an expression";

const SET_OPERATORS: &[Keyword] = &[Keyword::UNION, Keyword::INTERSECT, Keyword::EXCEPT, Keyword::MINUS];

const DIALECT: GenericDialect = GenericDialect {};

/// Parses an expression.
pub(crate) fn expression(text: &str) -> Result<Expr, Finding> {
    parse(text, EXPRESSION, |parser| parser.parse_expr())
}

/// Parses a query; a semicolon at its end is allowed.
pub(crate) fn query(text: &str) -> Result<Query, Finding> {
    parse(text, "a query", |parser| {
        let query = parser.parse_query()?;
        let _ends = parser.consume_token(&Token::SemiColon);
        Ok(*query)
    })
}

fn parse<T: VisitMut>(
    text: &str,
    what: &str,
    tree: impl Fn(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, Finding> {
    if text.trim().is_empty() {
        return Err(Finding::new("syntax", format!("is empty, needs {what}")));
    }
    if text.len() > MAX_EXPRESSION {
        let message = format!("has {} bytes, the limit is {MAX_EXPRESSION}", text.len());
        return Err(Finding::new("too-long", message).fix("compute parts of it in transforms before this one"));
    }
    let tokens = Tokenizer::new(&DIALECT, text)
        .tokenize_with_location()
        .map_err(|error| Finding::new("syntax", decapitalised(&error.message)).at(error.location))?;
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().map(plain_names).collect();
    lenient(&tokens)?;
    let unions = tokens
        .iter()
        .filter(|token| matches!(&token.token, Token::Word(word) if SET_OPERATORS.contains(&word.keyword)));
    if unions.count() > 100 {
        return Err(Finding::new("unsupported", "only SELECT … FROM input WHERE … is possible"));
    }
    let mut parser = Parser::new(&DIALECT).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens);
    let mut tree = tree(&mut parser).map_err(syntax)?;
    let next = parser.peek_token();
    match next.token {
        Token::EOF => balance(&mut tree).map(|()| tree),
        token => {
            let finding = Finding::new("syntax", format!("unexpected `{token}` after {what}")).at(next.span.start);
            Err(match token {
                Token::Word(_) | Token::Number(..) if what == EXPRESSION => {
                    finding.fix("join conditions with AND or OR, and quote names with special characters")
                }
                Token::Eq => finding.fix("compare with a single ="),
                _ => finding,
            })
        }
    }
}

/// Refuses what the parser takes for the sake of other databases, and PostgreSQL does not.
fn lenient(tokens: &[TokenWithSpan]) -> Result<(), Finding> {
    let mut tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).peekable();
    while let Some(token) = tokens.next() {
        let next = tokens.peek().map(|next| &next.token);
        let ends = match next {
            Some(Token::Word(word)) => word.quote_style.is_none() && word.keyword == Keyword::FROM,
            next => matches!(next, None | Some(Token::EOF | Token::SemiColon | Token::RParen)),
        };
        let (what, fix) = match &token.token {
            Token::DoubleEq => ("`==` is not SQL", "compare with a single ="),
            Token::Comma if ends => ("a comma follows the last item of a list", "remove it"),
            _ => continue,
        };
        return Err(Finding::new("syntax", what).fix(fix).at(token.span.start));
    }
    Ok(())
}

/// `user` and similar keywords are field names here: an expression has no logged-in user.
fn plain_names(mut token: TokenWithSpan) -> TokenWithSpan {
    if let Token::Word(word) = &mut token.token
        && matches!(
            word.keyword,
            Keyword::USER | Keyword::CURRENT_USER | Keyword::SESSION_USER | Keyword::CURRENT_CATALOG
        )
    {
        word.keyword = Keyword::NoKeyword;
    }
    token
}

fn syntax(error: ParserError) -> Finding {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Finding::new("too-deep", format!("is nested deeper than {MAX_DEPTH} levels"))
                .fix("compute parts of it in transforms before this one");
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    // The parser appends the place to its message.
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, location(place)),
        None => (text.as_str(), Location::new(0, 0)),
    };
    let message = match message.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: ")) {
        Some((expected, "EOF")) => {
            let finding = Finding::new("syntax", format!("ends where {expected} is expected"));
            return finding.fix("complete its end, or remove the incomplete part").at(place);
        }
        Some((expected, found)) => format!("found `{found}` where {expected} is expected"),
        None => decapitalised(message),
    };
    Finding::new("syntax", message).at(place)
}

fn location(text: &str) -> Location {
    let mut numbers = text.split(", Column: ").map(|number| number.trim().parse().unwrap_or(0));
    Location::new(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn decapitalised(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}
