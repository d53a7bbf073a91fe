//! Dead letters: alone, in lists, and by cause.
use dataflow_api_types as shown;
use dataflow_engine::{
    answers::{DeadLetter, DeadLetters},
    causes::{Cause, DeadLettersByCause, Example},
};
use serde_json::value::RawValue;

/// A page of dead letters.
pub fn dead_letters(found: DeadLetters) -> shown::DeadLetterPage {
    let next = found.next.map(|place| place.to_string());
    shown::DeadLetterPage { items: found.letters.into_iter().map(dead_letter).collect(), next }
}

/// A dead letter: its bytes as text, or in base64 if they are not UTF-8.
pub fn dead_letter(letter: DeadLetter) -> shown::DeadLetter {
    let (original, original_base64) = shown::DeadLetter::written(letter.original);
    let (key, key_base64) = shown::DeadLetter::written(letter.sent.key);
    let known = |text: String| (!text.is_empty()).then_some(text);
    shown::DeadLetter {
        sink: letter.sink.map(|sink| sink.to_string()),
        number: letter.number,
        partition: known(letter.partition),
        position: known(letter.position),
        line: letter.line,
        generation: letter.generation.map(|generation| generation.to_string()),
        record_id: known(letter.record_id),
        stage: letter.stage,
        code: letter.code,
        cause: letter.cause,
        at: letter.at.map(|at| at.to_string()),
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
