//! Secrets that stand in a spec literally: found by the check, hidden in views.
use super::{
    Connector, REDACTED,
    marks::{Mark, visit},
    passwords::places,
    secrets,
};
use crate::check::Problem;
use dataflow_core::spec::Component;
use serde_json::{Map, Value};

/// Findings about secrets that a component holds literally: they would be stored in events.
pub(super) fn literals(connector: &Connector, component: &Component) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut config = Value::Object(component.config.clone());
    visit(&mut config, Some(connector.schema.as_value()), &mut |path, text, mark| {
        let Some(what) = literal(text, mark).filter(|_| !secrets::malformed(text)) else { return };
        let from = match connector.connection {
            Some(kind) => format!(", or a connection of the node's settings (connections.{kind}.<name>)"),
            None => String::new(),
        };
        let message = format!("{what} is a literal value and would be stored with the pipeline");
        let fix = format!("use ${{env:NAME}} or ${{file:path}}{from}");
        problems.push(Problem::new(path, "literal-secret", message).fix(fix));
    });
    problems
}

/// The same component with its literal secrets hidden.
pub(super) fn redact(connector: Option<&Connector>, component: &Component) -> Component {
    let mut config = Value::Object(component.config.clone());
    let schema = connector.map(|connector| connector.schema.as_value());
    visit(&mut config, schema, &mut |_, text, mark| {
        if literal(text, mark).is_some() {
            *text = hidden(text);
        }
    });
    match config {
        Value::Object(config) => Component { kind: component.kind.clone(), config },
        _ => Component { kind: component.kind.clone(), config: Map::new() },
    }
}

/// The part of a text that is a literal secret.
fn literal(text: &str, mark: Mark) -> Option<&'static str> {
    let passwords = places(text);
    if passwords.iter().any(|place| !secrets::only_refers(&text[place.range.clone()])) {
        return Some(if text.contains("://") { "the password in this URL" } else { "the password in this text" })
            .filter(|_| !mark.path);
    }
    let whole = mark.secret && passwords.is_empty() && !text.is_empty() && !secrets::only_refers(text);
    whole.then_some("this secret")
}

/// A text without its passwords; if there is none in it, nothing of it.
fn hidden(text: &str) -> String {
    let places = places(text);
    if places.is_empty() {
        return REDACTED.into();
    }
    let (mut hidden, mut shown) = (String::new(), 0);
    for place in places.into_iter().filter(|place| !secrets::only_refers(&text[place.range.clone()])) {
        hidden.push_str(&text[shown..place.range.start]);
        hidden.push_str(REDACTED);
        shown = place.range.end;
    }
    hidden + &text[shown..]
}
