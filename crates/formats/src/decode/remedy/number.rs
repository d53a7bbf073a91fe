//! Fixes for numbers in texts: with separators, a decimal comma, a currency or a percent sign, or too many digits.
use super::{Misfitting, sql};
use crate::decode::{
    cell::Kind,
    misfit::{Asked, SPELLING},
    number,
};
use dataflow_core::types::Type;

/// As many digits as numbers usually have after the point.
const USUAL: u8 = 10;
/// Currency symbols.
const CURRENCIES: &str = "$€£¥₹";
/// What is around a number, or within it but no part of one; an exponent is part of it. Without a backslash, which JSON doubles.
const AROUND: &str = "^[^-+0-9.]+|[^0-9]+$|[^0-9.,eE+-]";

pub(super) fn remedy(value: &Misfitting<'_>) -> Option<String> {
    let Misfitting { name, text, asked, .. } = *value;
    let text = text.trim_ascii();
    if number::is_number(text) {
        if asked.ty.is_some() && has_leading_zeros(text) {
            // It is a code, such as a postal code, rather than a number.
            return None;
        }
        // The value of a declared or untyped field is a number already: it needs rounding.
        return match value.kind {
            Kind::Untyped | Kind::Doubled if value.why.is_empty() => None,
            _ if value.why.is_empty() && matches!(asked.ty, None | Some(Type::Number)) => {
                Some(format!("use cast({name} as {})", target(text, asked)?.0))
            }
            _ if value.why.is_empty() => cast(name, text, asked),
            _ if value.why == SPELLING => Some(format!("if it is a number, not a code, {}", cast(name, text, asked)?)),
            Kind::Number => rounded(name, text, asked),
            _ => cast(name, text, asked),
        };
    }
    if !value.why.is_empty() {
        return None;
    }
    if let Some(percent) = text.strip_suffix('%') {
        return hundredth(&format!("replace({name}, '%', '')"), percent.trim_end(), asked);
    }
    let bare = without_currency(text);
    let base = |replaced: &[(char, &str)]| {
        // Where the field is a number in other records, its text has to stay that number: it may have a point.
        let plain = replaced.is_empty() && bare.is_none() || replaced.iter().any(|(from, _)| *from == '.');
        let base = if plain { name.into() } else { super::text_of(value) };
        match bare {
            Some(_) => format!("regexp_replace({base}, '{AROUND}', '', 'g')"),
            None => base,
        }
    };
    separated(base, &super::text_of(value), bare.as_deref().unwrap_or(text), asked)
}

/// Returns whether the generic number type holds the value, while another number type doesn't.
pub(super) fn is_kept(value: &Misfitting<'_>) -> bool {
    let is_number = match value.kind {
        Kind::Number => true,
        Kind::Untyped | Kind::Doubled => number::is_number(value.text.trim_ascii()),
        _ => false,
    };
    value.asked.is_number() && is_number && value.asked.ty != Some(Type::Number)
}

/// Returns whether conversion to a number would lose leading zeros.
fn has_leading_zeros(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit())
}

/// Returns the number next to a currency or a short unit.
fn without_currency(text: &str) -> Option<String> {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let signs = text.chars().filter(|c| CURRENCIES.contains(*c)).count();
    let known = |c: char| {
        c.is_ascii_digit() || c.is_alphabetic() || c.is_whitespace() || CURRENCIES.contains(c) || "+-.,".contains(c)
    };
    let digits = text.trim_matches(|c: char| !c.is_ascii_digit());
    // A unit stands before or after the number, not inside it.
    let apart = !digits.contains(|c: char| c.is_alphabetic() || CURRENCIES.contains(c));
    // Between a sign and digits, these would be an exponent's.
    let (before, _) = text.split_at(text.len() - text.trim_start_matches(|c: char| !c.is_ascii_digit()).len());
    let apart = apart && !(before.starts_with(['-', '+']) && before.contains(['e', 'E']));
    let bare: String = text.chars().filter(|c| c.is_ascii_digit() || ".,-".contains(*c)).collect();
    let is_one = letters <= 3 && signs <= 1 && letters + signs > 0 && text.chars().all(known) && apart;
    is_one.then_some(bare)
}

/// Suggests a conversion for a number with thousands separators or a decimal comma. `base` is the expression in which these are
/// replaced, `plain` the field's text: what is a number as it stands in other records stays that.
fn separated(base: impl Fn(&[(char, &str)]) -> String, plain: &str, text: &str, asked: Asked) -> Option<String> {
    let readings = readings(text);
    let choices: Vec<(String, &str)> = readings
        .iter()
        .filter_map(|(replaced, when)| {
            let replace = |(expression, text): (String, String), (from, to): &(char, &str)| {
                let written = if *from == '\'' { "''".into() } else { from.to_string() };
                (format!("replace({expression}, '{written}', '{to}')"), text.replace(*from, to))
            };
            let (expression, text) = replaced.iter().fold((base(replaced), text.to_owned()), replace);
            let fix = number::is_number(&text).then(|| cast_unless(plain, &expression, &text, asked))??;
            // If the comma separates thousands, nothing needs rounding.
            (readings.len() == 1 || fix.starts_with("use ")).then_some((fix, *when))
        })
        .collect();
    match choices.as_slice() {
        [(fix, "")] => Some(fix.clone()),
        [(fix, when)] => Some(format!("{fix} if {when}")),
        [(one, when), (other, otherwise)] => {
            let other = other.trim_start_matches("use ");
            Some(format!("{one} if {when}, and {other} if {otherwise}"))
        }
        _ => None,
    }
}

/// The replacements that give a number, and the condition under which they apply.
type Reading = (Vec<(char, &'static str)>, &'static str);

fn readings(text: &str) -> Vec<Reading> {
    let unsigned = text.trim_start_matches(['-', '+']);
    let mut separators: Vec<char> = unsigned.chars().filter(|c| !c.is_ascii_digit()).collect();
    let last = separators.last().copied();
    let times = |c: char| separators.iter().filter(|other| **other == c).count();
    let once = last.is_some_and(|last| matches!(last, '.' | ',') && times(last) == 1);
    let (whole, fraction) = match last {
        Some(last) if once => unsigned.rsplit_once(last).unwrap_or((unsigned, "")),
        _ => (unsigned, ""),
    };
    separators.dedup();
    match separators.as_slice() {
        [] => vec![(Vec::new(), "")],
        ['.'] if once => vec![(Vec::new(), "")],
        [','] if once && fraction.len() == 3 && (1..=3).contains(&whole.len()) => {
            vec![(vec![(',', "")], "the comma separates thousands"), (vec![(',', ".")], "it is a decimal comma")]
        }
        [','] if once => vec![(vec![(',', ".")], "")],
        [separator] if is_grouped(unsigned, *separator) => vec![(vec![(*separator, "")], "")],
        [separator, '.'] if once && is_grouped(whole, *separator) => vec![(vec![(*separator, "")], "")],
        [separator, ','] if once && is_grouped(whole, *separator) => {
            vec![(vec![(*separator, ""), (',', ".")], "")]
        }
        _ => Vec::new(),
    }
}

/// Returns whether a character separates thousands.
fn is_grouped(digits: &str, separator: char) -> bool {
    let mut groups = digits.split(separator);
    let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().is_some_and(|first| (1..=3).contains(&first.len()) && is_digits(first));
    matches!(separator, '.' | ',' | ' ' | '\'' | '_' | '\u{a0}' | '\u{202f}')
        && first
        && groups.all(|group| group.len() == 3 && is_digits(group))
}

/// Casts a number's text to the type that was asked for; mentions rounding.
fn cast(expression: &str, text: &str, asked: Asked) -> Option<String> {
    cast_unless(expression, expression, text, asked)
}

/// The same of a text that is no number as it stands in `plain`.
fn cast_unless(plain: &str, expression: &str, text: &str, asked: Asked) -> Option<String> {
    let (ty, exact) = target(text, asked)?;
    let begin = if exact { "use" } else { "to round it, use" };
    let cast = format!("cast({expression} as {ty})");
    let cast = if plain == expression { cast } else { format!("coalesce(try_cast({plain} as {ty}), {cast})") };
    Some(format!("{begin} {cast}"))
}

/// Divides a percentage by 100.
fn hundredth(expression: &str, text: &str, asked: Asked) -> Option<String> {
    let number: f64 = if number::is_number(text) { text.parse().ok()? } else { return None };
    let hundredth = format!("cast({expression} as {}) / 100", exact(text, asked)?);
    let (ty, exact) = target(&format!("{}", number / 100.0), asked)?;
    match asked.ty {
        None | Some(Type::Double | Type::Number) => Some(format!("use {hundredth}")),
        _ if exact => Some(format!("use {hundredth}")),
        Some(Type::Smallint | Type::Integer | Type::Bigint) => None,
        _ => Some(format!("to round it, use cast({hundredth} as {ty})")),
    }
}

/// Suggests an expression that rounds a number to the type that was asked for.
fn rounded(name: &str, text: &str, asked: Asked) -> Option<String> {
    let (ty, _) = target(text, asked)?;
    match asked.ty? {
        Type::Decimal { scale, .. } => Some(format!("to round it, use round({name}, {scale})")),
        _ => Some(format!("to round it, use cast({name} as {ty})")),
    }
}

/// Returns the type to cast to for a number, and whether the cast is exact; `None` if no such type holds it.
fn target(text: &str, asked: Asked) -> Option<(String, bool)> {
    let decimal = number::decimal(text);
    let nearest: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let whole = |most: i64| {
        let exact = decimal.is_some_and(|number| number.scale == 0);
        // Half a unit below the bounds, so that the rounded number stays within them.
        let fits = match number::integer(text) {
            Some(number) => (-most - 1..=most).contains(&number),
            None => nearest.abs() < (most as f64) - 1.0,
        };
        fits.then(|| (sql(asked), exact))
    };
    let found = match asked.ty {
        Some(Type::Smallint) => whole(i16::MAX.into()),
        Some(Type::Integer) => whole(i32::MAX.into()),
        Some(Type::Bigint) => whole(i64::MAX),
        Some(Type::Real) => (nearest.abs() < f32::MAX.into()).then(|| (sql(asked), number::real(text).is_ok())),
        Some(Type::Decimal { precision, scale }) => {
            let number = decimal?;
            let exact = number.rescale(precision, scale).is_ok();
            let room = 10_f64.powi(i32::from(precision - scale)) - 1.0;
            (exact || nearest.abs() < room && number.scale > scale.into()).then(|| (sql(asked), exact))
        }
        None | Some(Type::Number) => exact(text, asked).map(|ty| (ty, true)),
        _ => Some(("double".into(), number::double(text).is_ok())),
    };
    match found? {
        // The column takes what fits; a cast to its own type would round what doesn't, in other records.
        (_, true) => exact(text, asked).map(|ty| (ty, true)),
        rounded => Some(rounded),
    }
}

/// The type that keeps all digits of a number, and of what is like it in other records.
fn exact(text: &str, asked: Asked) -> Option<String> {
    let Some(number) = number::decimal(text) else { return number::double(text).is_ok().then(|| "double".into()) };
    if number.rescale(38, fraction(asked)).is_ok() {
        return Some(usual(asked));
    }
    let shape = number.shape().map(|(precision, scale)| format!("decimal({precision}, {scale})"));
    shape.or_else(|| number::double(text).is_ok().then(|| "double".into()))
}

/// The type that keeps what numbers usually are, and all that was asked for.
pub(super) fn usual(asked: Asked) -> String {
    format!("decimal(38, {})", fraction(asked))
}

fn fraction(asked: Asked) -> u8 {
    match asked.ty {
        Some(Type::Decimal { scale, .. }) => scale.max(USUAL),
        _ => USUAL,
    }
}
