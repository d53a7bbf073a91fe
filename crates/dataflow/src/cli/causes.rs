//! Dead letters by cause, as people read them.
use super::output::thousands;
use dataflow_api_types::DeadLettersByCause;

/// Most causes that are printed.
const MOST: usize = 10;

/// Each cause with its count and an example; empty if there is none.
pub(super) fn text(causes: &DeadLettersByCause) -> String {
    let mut text = String::new();
    let width = causes.items.first().map_or(0, |most| thousands(most.records).len());
    for cause in causes.items.iter().take(MOST) {
        let example = &cause.example;
        text.push_str(&format!(
            "  {:>width$}  {} [{}, {}]\n",
            thousands(cause.records),
            example.cause,
            cause.stage,
            cause.code
        ));
        let first = if cause.records == 1 { "" } else { "the first: " };
        text.push_str(&format!(
            "  {:>width$}  {first}number {}, {} at {}\n",
            "", example.number, example.partition, example.position
        ));
    }
    let more: u64 = causes.items.iter().skip(MOST).map(|cause| cause.records).sum::<u64>() + causes.others;
    if more > 0 {
        text.push_str(&format!("  {} more of other causes\n", thousands(more)));
    }
    text
}
