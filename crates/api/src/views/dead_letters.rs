//! Dead letters: alone, in lists, and by cause.
use dataflow_api_types as shown;
use dataflow_engine::{
    answers::{DeadLetter, DeadLetters},
    causes::{Cause, DeadLettersByCause, Example},
};
use serde_json::value::RawValue;

/// A page of dead letters.
pub fn dead_letters(found: DeadLetters) -> shown::DeadLetterPage {
    shown::DeadLetterPage { items: found.letters.into_iter().map(dead_letter).collect(), next: found.next }
}

/// A dead letter: its bytes as text, or in base64 if they are not UTF-8.
pub fn dead_letter(letter: DeadLetter) -> shown::DeadLetter {
    let (original, original_base64) = shown::DeadLetter::written(letter.original);
    let (key, key_base64) = shown::DeadLetter::written(letter.sent.key);
    shown::DeadLetter {
        number: letter.number,
        partition: letter.partition,
        position: letter.position,
        line: letter.line,
        generation: letter.generation.map(|generation| generation.to_string()),
        record_id: letter.record_id,
        stage: letter.stage,
        code: letter.code,
        cause: letter.cause,
        at: letter.at.map_or_else(String::new, |at| at.to_string()),
        length: letter.length,
        hash: letter.hash,
        header: letter.header,
        original,
        original_base64,
        key,
        key_base64,
        metadata: letter.sent.metadata.and_then(|json| RawValue::from_string(json).ok()),
        timestamp: letter.sent.timestamp.map(|at| at.to_string()),
    }
}

/// Dead letters, counted by cause.
pub fn causes(DeadLettersByCause { counted, items, others }: DeadLettersByCause) -> shown::DeadLettersByCause {
    shown::DeadLettersByCause { counted, items: items.into_iter().map(cause).collect(), others }
}

fn cause(Cause { records, stage, code, example }: Cause) -> shown::Cause {
    let Example { number, partition, position, cause } = example;
    shown::Cause { records, stage, code, example: shown::Example { number, partition, position, cause } }
}
