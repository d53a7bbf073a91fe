//! Names of chunks.
use dataflow_core::shard::ShardId;
use dataflow_core::{
    chunk::{ChunkId, ChunkName, Content, Scope},
    id::{Epoch, Generation, Incarnation, PipelineId, Seq},
};
use proptest::prelude::*;

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        any::<(u32, u64, u32, u64, u64)>().prop_map(|(branch, opening, lane, commit, letters)| Content::Letters {
            branch,
            opening,
            lane,
            commit,
            letters
        }),
        any::<(u32, u64, u64)>().prop_map(|(branch, before, letters)| Content::JoinedLetters {
            branch,
            before,
            letters
        }),
        any::<(u32, u64, u64, u32, u64, u64)>().prop_map(|(branch, number, nonce, lane, commit, before)| {
            Content::MissingLetters { branch, generation: Generation::new(number, nonce), lane, commit, before }
        }),
        any::<(u32, u64, u32, u64, bool)>().prop_map(|(branch, opening, lane, commit, whole)| Content::State {
            branch,
            opening,
            lane,
            commit,
            whole
        }),
        "[0-9a-f]{32}".prop_map(Content::Pushed),
    ]
}

proptest! {
    #[test]
    fn a_name_says_what_it_was_made_of(
        pipeline in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}", incarnation in "[ -~]{1,30}", epoch: u64, content in content(),
    ) {
        let name = ChunkName {
            pipeline: PipelineId::try_from(pipeline).unwrap(),
            incarnation: Incarnation::try_from(incarnation).unwrap(),
            epoch: Epoch(epoch),
            content,
        };
        let id = ChunkId::from(name.clone());
        prop_assert!(id.0.starts_with(&name.scope().to_string()));
        prop_assert_eq!(Scope::of(&id), Some(name.scope()));
        prop_assert_eq!(id.name(), Some(name));
    }
}

#[test]
fn a_name_of_another_kind_says_nothing() {
    for text in [
        "",
        "orders",
        "orders/1-a/7",
        "orders/1-a/7/state.3",
        "orders/1-a/7/letters.1.2.3.4",
        "orders/1-a/7/letters.1.2.3.4.5.6",
        "orders/1-a/7/letters.0.1.4294967296.3.4",
        "orders/1-a/x/joined.0.1.2",
        "_progress/200/00000000000000000017/3",
    ] {
        assert_eq!(ChunkId(text.into()).name(), None, "{text}");
    }
}

/// Whatever their numbers of digits: who reads up to a place reads no further.
#[test]
fn bodies_of_events_are_sorted_by_place() {
    let scope = Scope::Progress(ShardId(200));
    let names: Vec<_> = [9, 10, 99, 100].map(|at| scope.event(Seq(at), Epoch(3))).into();
    assert!(names.is_sorted());
    assert!(names[1] > scope.from(Seq(10)) && names[1] < scope.from(Seq(11)));
    assert_eq!(scope.event_of(&names[1]), Some((Seq(10), Epoch(3))));
    assert_eq!(Scope::of(&names[1]), Some(scope));
    // Neither another shard's, nor one of a pipeline of that name.
    assert_eq!(Scope::Progress(ShardId(20)).event_of(&names[1]), None);
    assert!(PipelineId::try_from("_progress").is_err());
}
