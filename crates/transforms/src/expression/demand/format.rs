//! Translates PostgreSQL's time formats to strftime's.

/// Longer patterns stand before their prefixes.
const PATTERNS: &[(&str, &str)] = &[
    ("FMMonth", "%B"),
    ("FMDay", "%A"),
    ("FMMM", "%-m"),
    ("FMDD", "%-d"),
    ("FMHH24", "%-H"),
    ("YYYY", "%Y"),
    ("IYYY", "%G"),
    ("YY", "%y"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("MM", "%m"),
    ("MS", "%3f"),
    ("Mon", "%b"),
    ("SS", "%S"),
    ("US", "%6f"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("Dy", "%a"),
    ("IW", "%V"),
    ("ID", "%u"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("am", "%P"),
    ("pm", "%P"),
    ("Q", "%q"),
];

/// Returns strftime's format.
///
/// # Errors
/// The unsupported part of the format.
pub(super) fn strftime(format: &str) -> Result<String, String> {
    let mut made = String::new();
    let mut rest = format;
    while let Some(next) = rest.chars().next() {
        if let Some((pattern, written)) = PATTERNS.iter().find(|(pattern, _)| rest.starts_with(pattern)) {
            made.push_str(written);
            rest = &rest[pattern.len()..];
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
            next if next.is_alphanumeric() || next == '\\' => {
                return Err(format!("{next} in the format {format:?} is not supported"));
            }
            next => made.push(next),
        }
    }
    Ok(made)
}
