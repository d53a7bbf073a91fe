//! Field names as expressions write them.

/// Words that have another meaning unless they are in double quotes.
const RESERVED: &str = " all analyse analyze and any array as asc asymmetric between both case cast check collate column constraint create \
    cross current_date current_time current_timestamp current_user date default deferrable desc distinct do else end escape except exists \
    extract false fetch first floor for foreign from full grant group grouping having ilike in initially inner intersect interval into is \
    join last lateral leading left like limit localtime localtimestamp map match natural not null offset on only or order outer overlay \
    placing position primary qualify references regexp returning right rlike rows select session_user similar some struct substring symmetric \
    table then time timestamp timestamptz to top trailing trim true try_cast try_convert convert ceil uncache union unique unnest unpivot pivot user \
    using values variadic view when where window with within ";

/// Returns a field as an expression names it: every part that is not a plain name is in double quotes.
pub(in crate::decode) fn expression<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    let parts = path.into_iter().map(|part| match is_plain(part) {
        true => part.to_owned(),
        false => format!("\"{}\"", part.replace('"', "\"\"")),
    });
    parts.collect::<Vec<_>>().join(".")
}

fn is_plain(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&format!(" {} ", part.to_ascii_lowercase()))
}
