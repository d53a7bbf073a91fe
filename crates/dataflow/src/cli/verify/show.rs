//! A report as people read it.
use crate::cli::output::{table, thousands};
use dataflow_sdk::audit::{Example, Finding, Unwritten};
use dataflow_verify::{Missing, Report};

/// Most examples that are printed of each finding.
const MOST: usize = 10;

pub(super) fn text(report: &Report) -> String {
    let Report { pipeline_id, sink, generation, rows, dead_letters, .. } = report;
    let sink = sink.as_ref().map_or_else(String::new, |sink| format!(", sink {sink}"));
    let mut text = format!("{pipeline_id}{sink}, generation {generation}\n\n");
    let line = |what: &str, expected: u64, found: u64| [what.to_owned(), thousands(expected), thousands(found)];
    let mut counts = vec![
        line("rows in the target", rows.expected, rows.found),
        line("dead letters listed", dead_letters.expected, dead_letters.found),
    ];
    let ledger = ["read", "delivered", "filtered", "absorbed", "dead", "lost"];
    let ledger = ledger.into_iter().filter_map(|name| Some((name, report.ledger.get(name)?)));
    counts.extend(ledger.map(|(name, count)| line(&format!("ledger: {name}"), count.expected, count.found)));
    text.push_str(&table(["", "EXPECTED", "FOUND"], &counts));
    let findings = [
        ("row lost", &rows.lost),
        ("row doubled", &rows.doubled),
        ("row altered", &rows.altered),
        ("row unexpected", &rows.unexpected),
        ("dead letter lost", &dead_letters.lost),
        ("dead letter doubled", &dead_letters.doubled),
        ("dead letter altered", &dead_letters.altered),
        ("dead letter unexpected", &dead_letters.unexpected),
        ("dead letter accepted on the database's word", &report.at_its_word),
    ];
    for (what, finding) in findings {
        section(&mut text, what, finding);
    }
    if !rows.unwritten.is_empty() {
        let chosen = if report.leaves_out { ", as the spec asks" } else { "" };
        text.push_str(&format!("\nfields that were not written{chosen}: {}\n", rows.unwritten.len()));
        for Unwritten { field, records, example } in rows.unwritten.iter().take(MOST) {
            text.push_str(&format!("  {field}, of {} rows; first {}\n", thousands(*records), one(example)));
        }
        if !report.leaves_out {
            text.push_str(
                "  the target has no column for them: add one (or rename the fields with a map transform, if it can have none of their names), or set unknownFields: ignore to leave them out\n",
            );
        }
    }
    for token in &report.tokens {
        let sink = token.sink.map_or_else(|| "none".into(), |sequence| format!("commit {sequence}"));
        text.push_str(&format!(
            "\nlane {}: {} (journal: commit {}, sink: {sink})\n",
            token.lane, token.problem, token.journal
        ));
    }
    if !report.unverifiable.is_empty() {
        text.push_str(&format!("\ncan't be verified: {}\n", report.unverifiable.len()));
        for missing in report.unverifiable.iter().take(MOST) {
            text.push_str(&format!("  {}{}\n", range(missing), missing.reason));
        }
        if report.unattributed > 0 {
            let count = thousands(report.unattributed);
            text.push_str(&format!(
                "  {count} rows and dead letters may belong to records that can no longer be read, or to earlier generations\n"
            ));
        }
    }
    if report.dead_letters.bodiless > 0 {
        let count = thousands(report.dead_letters.bodiless);
        text.push_str(&format!(
            "\n{count} dead letters are only counted: the journal is older than the target, and doesn't have them (letter-missing)\n"
        ));
    }
    if !report.not_compared.is_empty() {
        text.push_str(&format!(
            "\nnot compared, because they have other values each time: {}\n",
            report.not_compared.join(", ")
        ));
    }
    if !report.not_durable.is_empty() {
        text.push_str(&format!("\nthe target may lose data in a crash:\n  {}\n", report.not_durable.join("\n  ")));
    }
    match (report.shared, rows.unexpected.count + rows.doubled.count) {
        (_, 0) => {}
        (true, _) => text.push_str("\nunexpected and doubled rows are not counted as findings (--shared)\n"),
        (false, _) => text.push_str(
            "\nif an earlier generation wrote the unexpected or doubled rows, or another pipeline or program that writes to the target, use --shared\n",
        ),
    }
    text.push_str(&match (report.verified, lost(report)) {
        (false, _) => "\nNOT VERIFIED\n".into(),
        (true, None) => "\nverified: every record is accounted for\n".into(),
        (true, Some(lost)) => {
            format!("\nverified, except for records that were lost by choice and are in no target: {lost}\n")
        }
    });
    text
}

/// What is gone by choice, in any generation.
fn lost(report: &Report) -> Option<String> {
    let Report { records_lost, bytes_lost, .. } = report;
    let records = (*records_lost > 0).then(|| format!("{} records", thousands(*records_lost)));
    let bytes = (*bytes_lost > 0).then(|| format!("{} bytes", thousands(*bytes_lost)));
    match (records, bytes) {
        (Some(records), Some(bytes)) => Some(format!("{records} and {bytes}")),
        (records, bytes) => records.or(bytes),
    }
}

fn section(text: &mut String, what: &str, finding: &Finding) {
    if finding.count == 0 {
        return;
    }
    text.push_str(&format!("\n{what}: {}\n", thousands(finding.count)));
    for example in finding.examples.iter().take(MOST) {
        text.push_str(&format!("  {}\n", one(example)));
    }
    if finding.count > MOST as u64 {
        text.push_str("  …\n");
    }
}

fn one(example: &Example) -> String {
    let mut parts = Vec::new();
    if let (Some(partition), Some(position)) = (&example.partition, &example.position) {
        parts.push(format!("{partition} at {position}"));
    }
    parts.extend(example.place.clone());
    if example.fields.is_empty() {
        parts.extend(example.expected.as_ref().map(|expected| format!("expected {expected}")));
        parts.extend(example.found.as_ref().map(|found| format!("found {found}")));
    }
    for field in &example.fields {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        parts.push(format!("{}: expected {}, found {}", field.field, value(&field.expected), value(&field.found)));
    }
    parts.join("; ")
}

fn range(missing: &Missing) -> String {
    match (&missing.partition, &missing.from, &missing.to) {
        (Some(partition), Some(from), Some(to)) => format!("{partition} from {from} to {to}: "),
        (Some(partition), ..) => format!("{partition}: "),
        _ => String::new(),
    }
}
