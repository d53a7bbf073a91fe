use dataflow_core::{
    pipeline::{
        Command, CommandKind, Effect, Event, Rejected,
        event::Cause,
        state::{Inbox, Received},
        testing::*,
    },
    spec::PipelineSpec,
};
use serde_json::json;

fn inbox(given: &Given) -> &Inbox {
    &given.state.pipeline().unwrap().inbox
}

fn with_source(source: serde_json::Value) -> Event {
    let spec = PipelineSpec { source: component(source), ..spec() };
    created_as(spec)
}

fn of(bytes: u64) -> CommandKind {
    let CommandKind::Ingest { batch_id, hash, records, chunk, .. } = ingest("large", 1) else { unreachable!() };
    CommandKind::Ingest { batch_id, hash, records, bytes, chunk, replay: false }
}

#[test]
fn records_are_numbered_as_they_come() {
    let then =
        given([created(), received("a", 0, 3)]).when(ingest("b", 2)).then([received("b", 3, 5)]).then_effects([]);
    assert_eq!(then.decision().received, Some(Received { hash: "hash of b".into(), from: 3, to: 5 }));
    let after = then.after();
    assert_eq!((inbox(&after).received, inbox(&after).pending_bytes()), (5, 50));
}

#[test]
fn a_running_pipeline_is_woken() {
    given([created(), started()]).when(ingest("a", 1)).then_effects([Effect::WakeRun]);
}

#[test]
fn it_is_no_change_of_the_pipeline() {
    let after = given([created()]).when(Command::from(ingest("a", 1)).named("push")).after();
    let pipeline = after.state.pipeline().unwrap();
    assert_eq!((pipeline.version, pipeline.updated_at), (1, EPOCH.plus_millis(1_000)));
    assert!(after.state.carried_out(&command_id("push")).is_none());
}

#[test]
fn a_batch_that_comes_again_gets_the_same_answer() {
    let past = [created(), received("a", 0, 3), received("b", 3, 5)];
    let then = given(past.clone()).when(ingest("a", 3)).then_nothing();
    assert_eq!(then.decision().received, Some(Received { hash: "hash of a".into(), from: 0, to: 3 }));
    // Even if it is behind the checkpoint.
    let then = given(past).and(started()).and(opened(10, 0)).and(processed(10, 1)).when(ingest("a", 3)).then_nothing();
    assert!(then.decision().received.is_some());
}

#[test]
fn only_what_is_pushed_again_is_taken_while_the_journal_is_behind_a_sink() {
    let cause =
        |code: &str| Event::PipelineFailed { cause: Cause { code: code.into(), ..cause(false) }, restart_at: None };
    let failed = |code: &str| given([created(), received("a", 0, 3), started(), cause(code)]);
    let replay = |command: CommandKind| match command {
        CommandKind::Ingest { batch_id, hash, records, bytes, chunk, .. } => {
            CommandKind::Ingest { batch_id, hash, records, bytes, chunk, replay: true }
        }
        other => other,
    };
    let behind = failed(Cause::JOURNAL_BEHIND);
    behind.clone().when(ingest("b", 2)).then_rejected("not-allowed");
    behind.clone().when(replay(ingest("b", 2))).then([received("b", 3, 5)]);
    // All of it, as none can leave before.
    behind.when(replay(of(MAX_PENDING_BYTES))).then_effects([]);
    let full = given([created(), received("a", 0, 1)]);
    full.when(replay(of(MAX_PENDING_BYTES))).then_rejected("overloaded");
    failed(Cause::FENCED).when(replay(ingest("b", 2))).then_rejected("not-allowed");
}

#[test]
fn a_batch_id_is_used_only_once() {
    let CommandKind::Ingest { batch_id, records, bytes, chunk, .. } = ingest("a", 3) else { unreachable!() };
    let other = CommandKind::Ingest { batch_id, hash: "other".into(), records, bytes, chunk, replay: false };
    given([created(), received("a", 0, 3)]).when(other).then_rejected("batch-id-reused");
}

#[test]
fn only_so_much_may_wait() {
    let full = given([created(), received("a", 0, 1)]);
    let rejected = full.clone().when(of(MAX_PENDING_BYTES)).then_rejected("overloaded");
    assert_eq!(rejected, Rejected::Overloaded { pending: 10, most: MAX_PENDING_BYTES });
    full.when(of(MAX_PENDING_BYTES - 10)).then_effects([]);
    let small = given([with_source(json!({"type": "http", "maxPendingBytes": 15})), received("a", 0, 1)]);
    small.when(ingest("b", 1)).then_rejected("overloaded");
}

#[test]
fn one_large_batch_is_taken_in_when_nothing_waits() {
    given([with_source(json!({"type": "http", "maxPendingBytes": 15}))]).when(of(1_000)).then_effects([]);
}

#[test]
fn only_an_http_source_takes_records() {
    let rejected = given([with_source(json!({"type": "kafka", "topic": "t"}))]).when(ingest("a", 1));
    assert!(
        matches!(rejected.then_rejected("invalid"), Rejected::Invalid { problems } if problems[0].path == "source.type")
    );
    given([]).when(ingest("a", 1)).then_rejected("not-found");
}

#[test]
fn batches_leave_once_the_checkpoint_has_passed_them() {
    // Lane 0 is at record 100 after its first commit.
    let running = given([created(), received("a", 0, 60), received("b", 60, 101), started(), opened(10, 0)]);
    assert_eq!(inbox(&running).pending.len(), 2);
    let running = running.and(processed(10, 1));
    assert_eq!((inbox(&running).first(), inbox(&running).pending_bytes()), (60, 410));
    let running = running.and(received("c", 101, 150)).and(processed(10, 2));
    assert_eq!((inbox(&running).first(), inbox(&running).pending_bytes()), (150, 0));
}

#[test]
fn batches_that_a_token_is_ahead_of_leave_when_it_is_adopted() {
    let running = given([created(), received("a", 0, 100), received("b", 100, 200), started(), opened(10, 1)]);
    assert_eq!(inbox(&running).first(), 100);
}

#[test]
fn an_empty_batch_waits_for_nothing() {
    let after = given([created()]).when(ingest("a", 0)).then([received("a", 0, 0)]).after();
    assert!(inbox(&after).pending.is_empty());
}
