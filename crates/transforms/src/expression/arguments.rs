//! The classes that functions expect of their arguments.
use super::class::Class;
use arrow::datatypes::DataType;
use datafusion_common::types::NativeType;
use datafusion_expr::{Coercion, ScalarUDF, TypeSignature, TypeSignatureClass};

/// How the arguments of a function call are typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Each in its own class.
    Each(Vec<Class>),
    /// All in one class, given by any of them or by the context.
    Alike,
}

/// Types `count` arguments of a function: by its signature, or by its name if the signature leaves it open.
pub(crate) fn arguments(function: &ScalarUDF, count: usize) -> Arguments {
    let rest = |first: &[Class], class| {
        Arguments::Each((0..count).map(|index| first.get(index).copied().unwrap_or(class)).collect())
    };
    match function.name() {
        "coalesce" | "nullif" | "greatest" | "least" | "make_array" => Arguments::Alike,
        // They accept anything and write it as text.
        "concat" | "concat_ws" => rest(&[], Class::Literal),
        "strftime" => rest(&[Class::Time], Class::Text),
        "date_part" | "date_trunc" => rest(&[Class::Text], Class::Time),
        "date_bin" => rest(&[Class::Interval], Class::Time),
        "gcd" | "lcm" => rest(&[], Class::Integer),
        // A number of seconds or a text, different in each record.
        "to_timestamp" | "to_timestamp_seconds" | "to_timestamp_millis" | "to_timestamp_micros" | "from_unixtime" => {
            rest(&[Class::Literal], Class::Text)
        }
        "encode" | "decode" => rest(&[], Class::Text),
        "round" | "trunc" => rest(&[Class::Number], Class::Integer),
        "floor" | "ceil" | "abs" | "power" | "log" | "sign" => rest(&[], Class::Number),
        _ => match classes(&function.signature().type_signature, count) {
            Some(classes) => Arguments::Each(classes),
            None if matches!(function.signature().type_signature, TypeSignature::Comparable(_)) => Arguments::Alike,
            None => rest(&[], Class::Any),
        },
    }
}

fn classes(signature: &TypeSignature, count: usize) -> Option<Vec<Class>> {
    let all = |class| Some(vec![class; count]);
    match signature {
        TypeSignature::Variadic(types) | TypeSignature::Uniform(_, types) => {
            all(types.iter().map(demanded).fold(Class::Any, widest))
        }
        TypeSignature::Exact(types) if types.len() == count => Some(types.iter().map(demanded).collect()),
        TypeSignature::Coercible(coercions) if coercions.len() == count => {
            Some(coercions.iter().map(coerced).collect())
        }
        TypeSignature::Numeric(_) => all(Class::Number),
        TypeSignature::String(_) => all(Class::Text),
        TypeSignature::OneOf(signatures) => {
            let variants: Vec<Vec<Class>> = signatures.iter().filter_map(|one| classes(one, count)).collect();
            let position = |index| variants.iter().map(|variant: &Vec<Class>| variant[index]).fold(Class::Any, widest);
            (!variants.is_empty()).then(|| (0..count).map(position).collect())
        }
        TypeSignature::Exact(_)
        | TypeSignature::Coercible(_)
        | TypeSignature::Comparable(_)
        | TypeSignature::UserDefined
        | TypeSignature::VariadicAny
        | TypeSignature::Any(_)
        | TypeSignature::ArraySignature(_)
        | TypeSignature::Nullary => None,
    }
}

fn demanded(ty: &DataType) -> Class {
    if ty.is_integer() { Class::Integer } else { Class::of(ty) }
}

fn coerced(coercion: &Coercion) -> Class {
    match coercion.desired_type() {
        TypeSignatureClass::Timestamp => Class::Time,
        TypeSignatureClass::Integer => Class::Integer,
        TypeSignatureClass::Float | TypeSignatureClass::Decimal | TypeSignatureClass::Numeric => Class::Number,
        TypeSignatureClass::Native(ty) => {
            let ty = ty.native();
            if ty.is_integer() {
                Class::Integer
            } else if ty.is_numeric() {
                Class::Number
            } else {
                match ty {
                    NativeType::String => Class::Text,
                    NativeType::Boolean => Class::Boolean,
                    NativeType::Date | NativeType::Timestamp(..) => Class::Time,
                    _ => Class::Any,
                }
            }
        }
        TypeSignatureClass::Any
        | TypeSignatureClass::Time
        | TypeSignatureClass::Interval
        | TypeSignatureClass::Duration
        | TypeSignatureClass::Binary => Class::Any,
    }
}

fn first(a: Class, b: Class) -> Class {
    if a == Class::Any { b } else { a }
}

/// Combines the classes of two signatures: the one that covers both, otherwise the first.
fn widest(a: Class, b: Class) -> Class {
    match (a, b) {
        (Class::Integer, Class::Number) | (Class::Number, Class::Integer) => Class::Number,
        _ => first(a, b),
    }
}
