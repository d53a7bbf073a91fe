//! Parts, units, zones and formats of times: quoted ones are checked before any record arrives.
use super::{
    Demand,
    format::strftime,
    operators::{call, take, text},
    patterns::literal,
};
use crate::expression::{
    class::Class,
    finding::Finding,
    own::{
        intervals::PARTS_OF_TIMES,
        moments::{AT_ZONE, DECIMAL_PART, PARTS, READ_DATE, READ_TIME, UNITS, WHOLE_PART, part, unit},
    },
};
use datafusion_sql::sqlparser::ast::{CastKind, DataType, Expr, Spanned};

impl Demand<'_> {
    /// `extract(part from time)`, `date_part('part', time)`.
    pub(super) fn part(&mut self, expr: &mut Expr, name: &str, mut time: Expr) -> Option<Class> {
        let place = expr.span().start;
        let interval = self.one_of(&mut time, &[Class::Time, Class::Interval], "EXTRACT")? == Class::Interval;
        let has = |name: &str| !(interval && PARTS_OF_TIMES.contains(&name));
        let Some((name, fraction)) = part(name).filter(|(name, _)| has(name)) else {
            let known: Vec<&str> = PARTS.iter().map(|(name, _)| *name).filter(|name| has(name)).collect();
            let what = if interval { "an interval" } else { "a time" };
            let finding = Finding::new("unknown-value", format!("{what} has no {name}")).at(place);
            return self.fail(finding.fix(format!("known: {}", known.join(", "))));
        };
        let function = if fraction { DECIMAL_PART } else { WHOLE_PART };
        *expr = call(function, [text(name.into()), time], place);
        self.planned(expr)
    }

    pub(super) fn at_zone(&mut self, expr: &mut Expr) -> Option<Class> {
        let place = expr.span().start;
        let Expr::AtTimeZone { timestamp, time_zone } = expr else { return None };
        self.each([(&mut **timestamp, Class::Time), (&mut **time_zone, Class::Text)], "AT TIME ZONE")?;
        *expr = call(AT_ZONE, [take(timestamp), take(time_zone)], place);
        self.planned(expr)
    }

    /// Calls that are rewritten, or whose quoted arguments are checked.
    pub(super) fn of_time(
        &mut self,
        name: &str,
        expr: &mut Expr,
        arguments: &mut [&mut Expr],
    ) -> Option<Option<Class>> {
        let place = expr.span().start;
        match (name, arguments) {
            ("date_part" | "datepart", [name, time]) => Some(match literal(name) {
                Some(name) => {
                    let time = take(time);
                    self.part(expr, &name, time)?;
                    // Unlike EXTRACT it returns doubles.
                    let (inner, data_type) = (Box::new(take(expr)), DataType::DoublePrecision);
                    *expr = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
                    self.planned(expr)
                }
                None => self.fail(Finding::new("type-mismatch", "date_part takes a part in quotes: 'year'").at(place)),
            }),
            ("date_trunc" | "datetrunc", [name, _]) => {
                let name = literal(name)?;
                if unit(&name).is_some() {
                    return None;
                }
                let finding = Finding::new("unknown-value", format!("a time can't be cut to {name}")).at(place);
                Some(self.fail(finding.fix(format!("known: {}", UNITS.join(", ")))))
            }
            ("to_char" | "to_date" | "to_timestamp", [value, format]) => {
                let format_place = format.span().start;
                let format = match literal(format).map(|format| strftime(&format, name != "to_char")) {
                    Some(Ok(format)) => text(format),
                    Some(Err(why)) => {
                        let finding = Finding::new("unsupported", why).at(format_place);
                        let fix = "write YYYY, MM, DD, HH24, MI, SS, MS and what stands between them, or use strftime";
                        return Some(self.fail(finding.fix(fix)));
                    }
                    None => {
                        let finding = Finding::new("type-mismatch", format!("{name} takes a format in quotes"));
                        return Some(self.fail(finding.at(format_place).fix("use strftime for formats in a field")));
                    }
                };
                let (function, class) = match name {
                    "to_char" => ("strftime", Class::Time),
                    "to_date" => (READ_DATE, Class::Text),
                    _ => (READ_TIME, Class::Text),
                };
                let mut value = take(value);
                if self.demand(&mut value, class, name).is_none() {
                    return Some(None);
                }
                *expr = call(function, [value, format], place);
                Some(self.planned(expr))
            }
            _ => None,
        }
    }
}
