//! Words for expressions and for DataFusion's errors.
use datafusion_common::DataFusionError;
use datafusion_sql::sqlparser::ast::Expr;

/// Returns an expression's text, shortened if it is long.
pub(super) fn shortened(expr: &Expr) -> String {
    let text = expr.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Prefixes that name the layers of DataFusion an error passed through: meaningless to users.
const LAYERS: &[&str] = &[
    "Arithmetic overflow: ",
    "Arrow error: ",
    "Cast error: ",
    "Compute error: ",
    "Execution error: ",
    "Error during planning: ",
    "External error: ",
    "Invalid argument error: ",
    "Internal error: ",
    "Parser error: ",
    "This feature is not implemented: ",
];

/// Returns the planner's message without its internal terms.
pub(super) fn explain(error: &DataFusionError) -> String {
    let text = error.find_root().message().into_owned();
    // The last line names the fault of a bad pattern; the lines between only draw it.
    let pattern =
        text.lines().rev().find_map(|line| line.strip_prefix("error: ")).map(|why| format!("not a pattern: {why}"));
    let mut text = pattern.as_deref().unwrap_or_else(|| text.lines().next().unwrap_or_default());
    while let Some(rest) = LAYERS.iter().find_map(|layer| text.strip_prefix(layer)) {
        text = rest;
    }
    let text = [" You might need to add", " No function matches", " Candidate functions", " Substring {"]
        .iter()
        .fold(text, |text, tail| text.split(tail).next().unwrap_or(text));
    let text = text.trim_end_matches(['.', ' ']);
    let mut chars = text.chars();
    match chars.next() {
        Some(first)
            if !text.starts_with(|c: char| c.is_uppercase()) || !chars.as_str().starts_with(char::is_uppercase) =>
        {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.into(),
    }
}
