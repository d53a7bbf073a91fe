//! The header `Link` (RFC 8288).

/// The address with `rel="next"`.
pub(super) fn next<'a>(headers: impl Iterator<Item = &'a str>) -> Option<String> {
    headers.flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(address, _)| address.to_owned())
}

/// Addresses with their parameters. Commas and semicolons may be part of an address, and of what is in quotes.
fn links(header: &str) -> Vec<(&str, Vec<&str>)> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((_, inner)) = rest.split_once('<') {
        let Some((address, after)) = inner.split_once('>') else { break };
        let end = outside_quotes(after, ',').next().unwrap_or(after.len());
        let (mut parameters, mut start) = (Vec::new(), 0);
        for at in outside_quotes(&after[..end], ';').chain([end]) {
            parameters.push(after[start..at].trim());
            start = (at + 1).min(end);
        }
        links.push((address.trim(), parameters));
        rest = &after[end..];
    }
    links
}

fn outside_quotes(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let mut quoted = false;
    text.char_indices().filter_map(move |(at, c)| {
        quoted ^= c == '"';
        (c == wanted && !quoted).then_some(at)
    })
}

fn is_next(parameters: &[&str]) -> bool {
    let named = parameters.iter().filter_map(|parameter| parameter.split_once('='));
    let mut rels = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"));
    let is_next =
        |value: &str| value.trim().trim_matches('"').split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"));
    rels.next().is_some_and(|(_, value)| is_next(value))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_link_is_found() {
        for (headers, expected) in [
            (&["<https://a/?page=2>; rel=\"next\", <https://a/?page=9>; rel=\"last\""][..], Some("https://a/?page=2")),
            (&["<https://a/?page=1>; rel=\"prev\"", "</?ids=1,2;3>; title=\"a, b; c\"; REL=Next"], Some("/?ids=1,2;3")),
            (&["<a>;rel=\"last next\""], Some("a")),
            (&["<a>; rel=prev; title=\"rel=next\""], None),
            (&["<a>"], None),
            (&["<a"], None),
            (&[], None),
        ] {
            assert_eq!(next(headers.iter().copied()).as_deref(), expected, "{headers:?}");
        }
    }
}
