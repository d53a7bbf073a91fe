//! Every state against every command, reviewed; and the page about the lifecycle, made from it.
use dataflow_core::pipeline::testing::table;

#[test]
fn what_follows_from_every_command_in_every_state() {
    let lines: Vec<_> = table().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
