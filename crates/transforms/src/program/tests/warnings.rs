//! What a user ought to know.
use super::*;

fn warned(condition: &str, lines: &[&str]) -> String {
    let processed = run(json!([{"type": "filter", "condition": condition}]), lines);
    processed
        .warnings
        .iter()
        .map(|warning| format!("{} {}: {}", warning.code, warning.subject, warning.message))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_field_that_no_record_has_is_spoken_of() {
    insta::assert_snapshot!(
        [
            warned("username = 'x'", &[r#"{"userName": "x"}"#]),
            warned("agee > 3 and x.y = 1", &[r#"{"age": 1, "x": {"z": 1}}"#]),
            warned("nothing = 3", &[r#"{"age": 1}"#]),
        ]
        .join("\n")
    );
    assert_eq!(warned("a = 1 or b = 2", &[r#"{"a": 1}"#, r#"{"b": null}"#]), "");
}

#[test]
fn it_is_said_once() {
    let mut program =
        program(&plan(spec(json!([{"type": "filter", "condition": "b = 1"}]), json!({})), Demand::Documents));
    assert_eq!(program.process(records(&[r#"{"a": 1}"#])).warnings.len(), 1);
    assert_eq!(program.process(records(&[r#"{"a": 1}"#])).warnings.len(), 0);
}
