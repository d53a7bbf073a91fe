//! Translates PostgreSQL's time formats to strftime's.

/// All patterns of PostgreSQL, as the longest one that fits is meant: `SSSS` is not `SS` twice. With strftime's, which pads
/// with zeros; none: not supported.
const PATTERNS: &[(&str, Option<&str>)] = &[
    ("A.D.", None),
    ("A.M.", None),
    ("AD", None),
    ("AM", Some("%p")),
    ("B.C.", None),
    ("BC", None),
    ("CC", None),
    ("D", None),
    ("DAY", None),
    ("DD", Some("%d")),
    ("DDD", Some("%j")),
    ("DY", None),
    // Padded with blanks.
    ("Day", None),
    ("Dy", Some("%a")),
    ("FF1", None),
    ("FF2", None),
    ("FF3", None),
    ("FF4", None),
    ("FF5", None),
    ("FF6", None),
    ("FMDD", Some("%-d")),
    ("FMDay", Some("%A")),
    ("FMHH24", Some("%-H")),
    ("FMMM", Some("%-m")),
    ("FMMonth", Some("%B")),
    ("HH", Some("%I")),
    ("HH12", Some("%I")),
    ("HH24", Some("%H")),
    ("I", None),
    ("ID", Some("%u")),
    ("IDDD", None),
    ("IW", Some("%V")),
    ("IY", None),
    ("IYY", None),
    ("IYYY", Some("%G")),
    ("J", None),
    ("MI", Some("%M")),
    ("MM", Some("%m")),
    ("MON", None),
    ("MONTH", None),
    ("MS", Some("%3f")),
    ("Mon", Some("%b")),
    ("Month", None),
    ("OF", None),
    ("P.M.", None),
    ("PM", Some("%p")),
    ("Q", Some("%q")),
    ("RM", None),
    ("SS", Some("%S")),
    ("SSSS", None),
    ("SSSSS", None),
    ("TZ", None),
    ("TZH", None),
    ("TZM", None),
    ("US", Some("%6f")),
    ("W", None),
    ("WW", None),
    ("Y", None),
    ("Y,YYY", None),
    ("YY", Some("%y")),
    ("YYY", None),
    ("YYYY", Some("%Y")),
    ("am", Some("%P")),
    ("pm", Some("%P")),
];

/// Patterns of weeks, and of the days that PostgreSQL doesn't read beside them.
const OF_WEEKS: &[&str] = &["ID", "IW", "IYYY"];
const OF_DAYS: &[&str] = &["DD", "DDD", "FMDD", "FMMM", "FMMonth", "MM", "Mon", "YY", "YYYY"];

/// Returns strftime's format, to write times or to read them.
///
/// # Errors
/// The unsupported part of the format.
pub(super) fn strftime(format: &str, reads: bool) -> Result<String, String> {
    let mut made = String::new();
    let mut rest = format;
    let mut used = Vec::new();
    while let Some(next) = rest.chars().next() {
        let longest = PATTERNS.iter().filter(|(pattern, _)| rest.starts_with(pattern)).max_by_key(|(p, _)| p.len());
        let unsupported = |part: &str| Err(format!("{part} in the format {format:?} is not supported"));
        if let Some((pattern, written)) = longest {
            let Some(written) = written else { return unsupported(pattern) };
            if reads && used.last().is_some_and(|last: &&str| last.starts_with("FM") && !made.ends_with(is_between)) {
                return Err(format!("nothing in the format {format:?} ends the digits before {pattern}"));
            }
            used.push(*pattern);
            if reads && [OF_WEEKS, OF_DAYS].iter().all(|of| used.iter().any(|pattern| of.contains(pattern))) {
                return Err(format!("the format {format:?} has parts of weeks (IYYY, IW, ID) and of months"));
            }
            made.push_str(written);
            rest = &rest[pattern.len()..];
            // Of a number: 1st, 2nd.
            if let Some(suffix) = ["TH", "th", "SP"].iter().find(|suffix| rest.starts_with(**suffix)) {
                return unsupported(suffix);
            }
            continue;
        }
        rest = &rest[next.len_utf8()..];
        match next {
            '%' => made.push_str("%%"),
            '"' => {
                let Some((quoted, after)) = rest.split_once('"') else { return Err("a quote is not closed".into()) };
                made.push_str(&quoted.replace('%', "%%"));
                rest = after;
            }
            next if next.is_alphanumeric() || next == '\\' => return unsupported(next.encode_utf8(&mut [0; 4])),
            next => made.push(next),
        }
    }
    Ok(made)
}

/// Whether a character stands between patterns.
fn is_between(c: char) -> bool {
    !c.is_alphanumeric()
}
