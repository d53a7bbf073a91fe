//! Expressions with holes, from `templates.txt`. `{i}` takes an integer, by the letters of [`Class::of`]; after `=>` stands how PostgreSQL writes it,
//! where that differs, with the holes by number.
use crate::values::{COLUMNS, Class, quoted};
use proptest::{prelude::*, sample::select};

/// An expression in the words of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    pub ours: String,
    pub theirs: String,
}

/// An expression with holes.
#[derive(Clone, Debug)]
pub struct Template {
    pub class: Class,
    pub holes: Vec<Class>,
    /// Whether the program is to refuse it.
    pub refused: bool,
    /// Whether what it gives is written otherwise by the two, so that nothing is to be made of it.
    outermost: bool,
    ours: String,
    theirs: String,
}

impl Template {
    fn new(class: Class, text: &str) -> Self {
        let (outermost, text) = text.strip_prefix("! ").map_or((false, text), |text| (true, text));
        let (refused, text) = text.strip_prefix("? ").map_or((false, text), |text| (true, text));
        let (ours, theirs) = text.split_once(" => ").unwrap_or((text, text));
        let mut holes = Vec::new();
        let mut number = |text: &str| {
            let mut parts = text.split('{');
            let mut numbered = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (letter, rest) = part.split_once('}').unwrap();
                let hole = match letter.chars().next() {
                    Some(letter @ 'a'..='z') => {
                        holes.push(Class::of(letter));
                        (holes.len() - 1).to_string()
                    }
                    _ => letter.to_owned(),
                };
                numbered.push_str(&format!("{{{hole}}}{rest}"));
            }
            numbered
        };
        let ours = number(ours);
        let theirs = if text.contains(" => ") { number(theirs) } else { ours.clone() };
        Self { class, holes, refused, outermost, ours, theirs }
    }

    /// The expression with its holes filled.
    pub fn fill(&self, parts: &[Expression]) -> Expression {
        let mut made = Expression { ours: self.ours.clone(), theirs: self.theirs.clone() };
        for (index, part) in parts.iter().enumerate() {
            let hole = format!("{{{index}}}");
            made.ours = made.ours.replace(&hole, &part.ours);
            made.theirs = made.theirs.replace(&hole, &part.theirs);
        }
        made
    }

    /// The expression with a column of its own in each hole.
    pub fn of_columns(&self) -> Expression {
        let mut used = std::collections::HashMap::new();
        let parts: Vec<Expression> = self
            .holes
            .iter()
            .map(|class| {
                let next = used.entry(*class).or_insert(0);
                let names: Vec<&str> = COLUMNS.iter().filter(|(_, of)| of == class).map(|(name, _)| *name).collect();
                *next += 1;
                match names.is_empty() {
                    true => literal(*class, class.edges()[*next]),
                    false => same(names[(*next - 1) % names.len()].to_owned()),
                }
            })
            .collect();
        self.fill(&parts)
    }
}

/// All of them.
pub fn all() -> Vec<Template> {
    let mut class = Class::Boolean;
    let mut all = Vec::new();
    for line in include_str!("templates.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(letter) => class = Class::of(letter.chars().next().unwrap()),
            None => all.push(Template::new(class, line)),
        }
    }
    all
}

/// What both write alike.
fn same(text: String) -> Expression {
    Expression { ours: text.clone(), theirs: text }
}

/// A value as it is written in an expression.
fn literal(class: Class, value: &str) -> Expression {
    let theirs = format!("{}::{}", quoted(value), class.postgres());
    let ours = match class {
        Class::Boolean => return same(value.into()),
        Class::Integer | Class::Small | Class::Decimal => format!("({value})"),
        Class::Double => format!("cast({value} as double)"),
        Class::Text => quoted(value),
        Class::Instant => format!("cast('{value}' as timestamptz)"),
        Class::Datetime => format!("cast('{value}' as timestamp)"),
        Class::Date => format!("cast('{value}' as date)"),
        Class::Interval => format!("interval '{value}'"),
    };
    Expression { ours, theirs }
}

/// A column or a literal of a class.
fn leaf(class: Class) -> BoxedStrategy<Expression> {
    let literal = class.value().prop_map(move |value| literal(class, &value));
    let names: Vec<&str> = COLUMNS.iter().filter(|(_, of)| *of == class).map(|(name, _)| *name).collect();
    if names.is_empty() {
        return literal.boxed();
    }
    let column = select(names).prop_map(|name| same(name.into()));
    prop_oneof![3 => column, 1 => literal].boxed()
}

/// Expressions of all classes, nested up to a depth.
pub fn nested(depth: usize) -> BoxedStrategy<Expression> {
    use crate::values::CLASSES;
    let mut of: std::collections::HashMap<Class, BoxedStrategy<Expression>> =
        CLASSES.iter().map(|class| (*class, leaf(*class))).collect();
    for _ in 0..depth {
        let mut next = of.clone();
        for class in CLASSES {
            let templates =
                all().into_iter().filter(|template| template.class == class && !template.outermost).map(|template| {
                    let parts: Vec<BoxedStrategy<Expression>> =
                        template.holes.iter().map(|hole| of[hole].clone()).collect();
                    parts.prop_map(move |parts| template.fill(&parts)).boxed()
                });
            let mut options: Vec<(u32, BoxedStrategy<Expression>)> = templates.map(|option| (1, option)).collect();
            if options.is_empty() {
                continue;
            }
            options.insert(0, (options.len() as u32 / 3 + 1, of[&class].clone()));
            next.insert(class, prop::strategy::Union::new_weighted(options).boxed());
        }
        of = next;
    }
    let whole = CLASSES.iter().filter(|class| !matches!(class, Class::Small | Class::Interval));
    prop::strategy::Union::new(whole.map(|class| of[class].clone())).boxed()
}
