//! `dataflow pipeline history`.
use super::Outcome;
use crate::cli::{
    client::{Request, Server},
    exit::Failure,
    output::{self, Output},
};
use dataflow_api_types::{HistoryItem, HistoryPage};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Show at most this many events.
    #[arg(long, default_value_t = 100)]
    limit: u64,
    /// The newest event first.
    #[arg(long)]
    newest_first: bool,
    /// Only events after this number; with --newest-first, only those before it.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Don't truncate the details of events on a terminal.
    #[arg(long)]
    wide: bool,
}

/// Most characters of an event's detail in a table.
const DETAIL: usize = 100;

/// The detail of an event as a table has it: as a whole if it is `wide`.
fn shown(detail: &Value, wide: bool) -> String {
    let detail = detail.to_string();
    match detail.char_indices().nth(DETAIL) {
        Some((end, _)) if !wide => format!("{}…", &detail[..end]),
        _ if detail == "{}" => String::new(),
        _ => detail,
    }
}

/// What an update changed, and what else its event says: the whole spec would hide it. `before` is the spec until then.
fn changes(before: &Value, mut detail: Value) -> Value {
    let Some(fields) = detail.as_object_mut() else { return detail };
    let Some(Value::Object(spec)) = fields.remove("spec") else { return detail };
    let names = before.as_object().into_iter().flat_map(Map::keys).chain(spec.keys());
    let mut changed = Map::new();
    for name in names.filter(|name| before.get(name.as_str()) != spec.get(name.as_str())) {
        let (from, to) = (before.get(name).unwrap_or(&Value::Null), spec.get(name).unwrap_or(&Value::Null));
        changed.insert(name.clone(), json!({"from": from, "to": to}));
    }
    let mut shown = Map::from_iter([("changed".to_owned(), Value::Object(changed))]);
    shown.append(fields);
    Value::Object(shown)
}

/// Has each update say what it changed, where the spec before it is among the events.
fn tell_changes(items: &mut [HistoryItem], newest_first: bool) {
    let mut before: Option<Value> = None;
    let in_order: Box<dyn Iterator<Item = &mut HistoryItem>> =
        if newest_first { Box::new(items.iter_mut().rev()) } else { Box::new(items.iter_mut()) };
    for item in in_order {
        if let (Some(before), Some(asked)) = (&before, item.detail.pointer_mut("/then/update")) {
            *asked = changes(before, asked.take());
        }
        let Some(spec) = item.detail.get("spec").cloned() else { continue };
        if let Some(before) = before.filter(|_| item.event == "PipelineUpdated") {
            item.detail = changes(&before, item.detail.take());
        }
        before = Some(spec);
    }
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.newest_first.then(|| ("order", "desc".to_owned())));
    query.extend(args.after.map(|after| ("after", after.to_string())));
    let path = ["pipelines", args.id.as_str(), "history"];
    let page: HistoryPage = args.server.client()?.send(Request::get(&path).query(&query)).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let wide = args.wide || !std::io::stdout().is_terminal();
            let mut items = page.items;
            tell_changes(&mut items, args.newest_first);
            let rows: Vec<_> = items
                .into_iter()
                .map(|item| {
                    let reason = item.reason.unwrap_or_default();
                    let detail = shown(&item.detail, wide);
                    let sink = item.sink.unwrap_or_default();
                    [item.number.to_string(), item.at, item.actor, item.event, sink, reason, detail]
                })
                .collect();
            output::print(&output::table(["NUMBER", "AT", "ACTOR", "EVENT", "SINK", "REASON", "DETAIL"], &rows));
            if let Some(next) = page.next {
                say!("there are more: --after {next}");
            }
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(event: &str, detail: Value) -> HistoryItem {
        let text = String::new;
        let (reason, trace) = (None, None);
        HistoryItem {
            number: 1,
            at: text(),
            actor: text(),
            reason,
            trace,
            command: text(),
            event: event.into(),
            sink: None,
            detail,
        }
    }

    #[test]
    fn an_update_says_what_it_changed_in_either_order() {
        let spec = |lanes: u64| json!({"name": "p", "lanes": lanes});
        let events = || {
            vec![
                item("PipelineCreated", json!({"spec": spec(1), "incarnation": "i"})),
                item("PipelineStarted", json!({})),
                item("PipelineUpdated", json!({"spec": spec(2), "generation": {"generation": 2}})),
            ]
        };
        let expected = json!({"changed": {"lanes": {"from": 1, "to": 2}}, "generation": {"generation": 2}});
        let (mut rising, mut falling) = (events(), events());
        falling.reverse();
        tell_changes(&mut rising, false);
        tell_changes(&mut falling, true);
        assert_eq!((&rising[2].detail, &falling[0].detail), (&expected, &expected));
        assert_eq!(rising[0].detail["spec"], spec(1));
    }

    #[test]
    fn a_detail_is_cut_unless_it_is_wide() {
        let long = json!({"text": "x".repeat(200)});
        assert_eq!(shown(&long, false).chars().count(), DETAIL + 1);
        assert_eq!(shown(&long, true), long.to_string());
        assert_eq!(shown(&json!({}), true), "");
    }
}
