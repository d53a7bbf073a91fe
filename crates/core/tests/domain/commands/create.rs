use dataflow_core::{
    pipeline::{Command, CommandKind, Event, Rejected, testing::*},
    spec::PipelineSpec,
};

fn create_as(spec: PipelineSpec) -> CommandKind {
    CommandKind::Create { pushes: pushes(&spec), spec: Box::new(spec), incarnation: incarnation() }
}

#[test]
fn a_new_one_is_at_version_1_and_in_generation_1() {
    let after = given([]).when(create()).then([created()]).then_effects([]).after();
    let pipeline = after.state.pipeline().unwrap();
    assert_eq!((pipeline.version, pipeline.branches[&0].progress.generation.number), (1, 1));
    assert_eq!((pipeline.created_at, pipeline.updated_at), (NOW, NOW));
}

#[test]
fn without_a_name_it_is_called_by_its_id() {
    given([]).when(create_as(PipelineSpec { name: String::new(), ..spec() })).then([created()]);
}

#[test]
fn there_is_only_one_of_an_id() {
    given([created()]).when(create()).then_rejected("already-exists");
    given([created(), started()]).when(create()).then_rejected("already-exists");
}

#[test]
fn all_problems_of_a_spec_are_named() {
    let spec = PipelineSpec { name: "n".repeat(257), lanes: Some(0), ..spec() };
    let rejected = given([]).when(create_as(spec)).then_rejected("invalid");
    let Rejected::Invalid { problems } = rejected else { panic!("{rejected:?}") };
    assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["name", "lanes"]);
}

#[test]
fn a_version_of_nothing_does_not_fit() {
    given([]).when(Command::from(create()).only_at_version(1)).then_rejected("version-mismatch");
}

#[test]
fn made_again_it_goes_on_counting_versions_and_knows_old_commands() {
    let again =
        given([created(), updated(described()), Event::PipelineDeleted]).when(create()).then([created()]).after();
    let pipeline = again.state.pipeline().unwrap();
    assert_eq!(pipeline.version, 4);
    assert_eq!(pipeline.spec, spec());
    // A delayed repetition of the old delete does not hit the new one.
    let delete = Command { hash: Some(3), ..Command::from(CommandKind::Delete { discard: false }).named("given-3") };
    again.when(delete).then_nothing();
}
