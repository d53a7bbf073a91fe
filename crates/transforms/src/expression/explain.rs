//! Words for expressions and for DataFusion's errors.
use super::written::short;
use arrow::datatypes::DataType;
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
    let text = reworded(text.trim_end_matches(['.', ' ']));
    let text = in_sql(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first)
            if !text.starts_with(|c: char| c.is_uppercase()) || !chars.as_str().starts_with(char::is_uppercase) =>
        {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.clone(),
    }
}

/// What the planner says of its own signatures, of which nobody can write one.
fn reworded(text: &str) -> String {
    let between = |from: &str, to: &str| text.split_once(from)?.1.split_once(to).map(|(part, _)| part);
    if let Some(function) = between("to satisfy a call to '", "' function: ") {
        let types = between("coercion from ", " to the signature").unwrap_or("these arguments");
        return match text.contains("ArraySignature") {
            true => format!(
                "{function} takes a list, and no field is one in an expression: string_to_array makes one of a text, and unnest(field) in a \
                 `sql` transform a row of each element of a field's"
            ),
            false => format!("{function} can't take {types}"),
        };
    }
    // Of many signatures, each has something to say.
    if let (Some(function), Some((_, ty))) = (between("unction '", "'"), text.split_once("(DataType: ")) {
        let ty = &ty[..closing_of(ty)];
        return format!("{function} can't take {ty}");
    }
    if let (Some(function), true) = (between("unction '", "'"), text.contains("coercion failed")) {
        return format!("{function} takes values of one type");
    }
    if let Some(operation) = between("cannot coerce arithmetic expression ", " to valid types") {
        return format!("there is no {operation}: cast one of them");
    }
    // Their operands are the engine's: of decimals, the digits without a point.
    if text.contains("verflow happened") || text.contains("verflow on ") {
        return "the result is out of range".into();
    }
    if let Some((value, _)) = text.split_once(" is too large to store in a ") {
        let most = text.split_once("Max is ").map(|(_, most)| format!(": at most {most}")).unwrap_or_default();
        return format!("{} is out of range{most}", short(value));
    }
    if let (Some((what, _)), true) = (text.split_once(" to value of "), text.contains(" to value of Decimal")) {
        return format!("{what} to a decimal");
    }
    let text = text.replace(" is out of range ", " is out of range for ");
    let text = text.trim_start_matches("Value of ").trim_start_matches("value of ");
    match text.split_once(" to value of ") {
        Some((what, ty)) => format!("{what} to {}", ty.trim_end_matches(" type")),
        None => text.into(),
    }
}

/// A type as SQL calls it.
pub(super) fn in_words(ty: &DataType) -> String {
    in_sql(&ty.to_string())
}

/// The engine's types as SQL calls them. What stands between quotes is a user's.
fn in_sql(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let part = match first {
            '\'' | '"' => rest[1..].find(first).map_or(1, |end| end + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, after) = rest.split_at(part);
        let (name, arguments) = named(word, after);
        said.push_str(name.unwrap_or(word));
        rest = &after[arguments..];
    }
    said
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The name of a type in SQL, if a word is one, and how much of what follows belongs to it.
fn named<'a>(word: &'a str, after: &str) -> (Option<&'a str>, usize) {
    let arguments = after.strip_prefix('(').map_or(0, |inner| (closing_of(inner) + 2).min(after.len()));
    let name = match word {
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" => "bigint",
        "UInt64" => "decimal(20,0)",
        "Float16" | "Float32" => "real",
        "Float64" => "double",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Binary" | "LargeBinary" | "BinaryView" => "bytes",
        "Boolean" => "boolean",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => return (Some("time"), arguments),
        "Timestamp" if arguments > 0 && after[..arguments].contains("None") => return (Some("timestamp"), arguments),
        "Timestamp" if arguments > 0 && after[..arguments].contains(',') => return (Some("timestamptz"), arguments),
        "Timestamp" if arguments > 0 => return (Some("timestamp"), arguments),
        "Interval" | "Duration" if arguments > 0 => return (Some("interval"), arguments),
        "List" | "LargeList" | "ListView" | "FixedSizeList" if arguments > 0 => return (Some("a list"), arguments),
        "Null" => "null",
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => "decimal",
        _ => return (None, 0),
    };
    (Some(name), 0)
}

/// Length of what stands before the bracket that closes it.
fn closing_of(text: &str) -> usize {
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_as_in_sql() {
        let cases = [
            ("Cannot cast string 'Int64' to value of Int64 type", "cannot cast string 'Int64' to bigint"),
            (
                r#"Can't compare Timestamp(µs, "UTC") with Timestamp(ns) and Decimal128(10, 2)"#,
                "can't compare timestamptz with timestamp and decimal(10, 2)",
            ),
            ("Interval(MonthDayNano) = Utf8View. You might need to add", "interval = text"),
            ("Cannot cast string 'x' to value of Decimal128(38, 10) type", "cannot cast string 'x' to a decimal"),
            ("Overflow happened on: 123450 * 123450", "the result is out of range"),
            (
                "1234567890.50 is too large to store in a Decimal128 of precision 10. Max is 99999999.99",
                "1234567890.5 is out of range: at most 99999999.99",
            ),
            ("Value of 70000 is out of range Int16", "70000 is out of range for smallint"),
            ("the Timestamp of a Book", "the Timestamp of a Book"),
        ];
        for (engines, ours) in cases {
            assert_eq!(explain(&DataFusionError::Plan(engines.into())), ours);
        }
    }
}
