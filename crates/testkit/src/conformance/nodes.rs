//! Two nodes, or two lives of one node, on one target.
use super::{PIPELINE, Run, Subject, expect, open_as, pair};
use crate::fixture::{fence, open_lane, token};
use dataflow_core::{
    branch::{BranchId, BranchNumber},
    id::{Generation, Incarnation},
    position::Positions,
    token::Fence,
};
use dataflow_sdk::{
    Error,
    sink::{CommitError, DeliveryMode, OpenLane, TakeOver},
};

fn lane(journal: &str, incarnation: &str, take_over: TakeOver) -> OpenLane {
    let incarnation = Incarnation::try_from(incarnation).unwrap_or_else(|error| panic!("{error}"));
    let fence = Fence { incarnation, ..fence(PIPELINE, 3) };
    OpenLane { journal: journal.into(), take_over, ..open_lane(&fence) }
}

/// The same by the branch of this number.
fn by_branch(number: BranchNumber, mut lane: OpenLane) -> OpenLane {
    lane.fence.branch = BranchId::new(lane.fence.branch.pipeline().clone(), number);
    lane
}

/// The same after the pipelines of these incarnations.
fn after(ancestors: &[&str], lane: OpenLane) -> OpenLane {
    let name = |text: &&str| Incarnation::try_from(*text).unwrap_or_else(|error| panic!("{error}"));
    OpenLane { ancestors: ancestors.iter().map(name).collect(), ..lane }
}

async fn opened(subject: &dyn Subject, lane: OpenLane) -> Run {
    let shown = format!("{lane:?}");
    open_as(subject, lane).await.unwrap_or_else(|error| panic!("{shown}: {error}"))
}

async fn refused(subject: &dyn Subject, lane: OpenLane, code: &str, words: &[&str]) {
    let shown = format!("{lane:?}");
    let Err(error) = open_as(subject, lane).await else { panic!("{shown} was admitted") };
    assert_eq!(error.code(), code, "{shown}: {error}");
    let said = error.to_string();
    assert!(words.iter().all(|word| said.contains(word)), "{shown}: {said}");
}

async fn written(subject: &dyn Subject, lane: OpenLane, id: i64) -> Run {
    let mut run = opened(subject, lane).await;
    run.commit(1, &[pair(id, "x")]).await;
    if subject.delivery() == DeliveryMode::Staged {
        run.seal(1).await;
    }
    run
}

pub(super) async fn another_node_is_refused(subject: &dyn Subject) {
    let transactional = subject.delivery() == DeliveryMode::Transactional;
    written(subject, lane("here", "1-a", TakeOver::Nobody), 1).await.close().await;
    for take_over in [TakeOver::Nobody, TakeOver::Later] {
        let other = || lane("there", "1-b", take_over);
        refused(subject, other(), "target-of-another-node", &["here", "there", PIPELINE]).await;
    }
    // A staged sink has one writer at a time.
    let mut old = match transactional {
        true => Some(opened(subject, lane("here", "1-a", TakeOver::Nobody)).await),
        false => None,
    };
    let taker = opened(subject, lane("there", "1-b", TakeOver::AnotherNode)).await;
    if transactional {
        let ahead: Vec<_> = taker.others.iter().map(|token| (token.fence.clone(), token.sequence)).collect();
        let next = Fence { generation: Generation::new(2, 0), ..taker.fence.clone() };
        assert_eq!((taker.found.as_ref(), ahead), (None, vec![(next, 1)]), "the other node has a later generation");
        assert_eq!(taker.others[0].positions, token(&taker.fence, 1).positions);
    }
    taker.close().await;
    if let Some(old) = &mut old {
        let late = old.try_commit(2, &[pair(9, "late")]).await;
        assert!(matches!(late, Err(CommitError::Failed(Error::Fenced(_)))), "{late:?}");
    }
    refused(subject, lane("here", "1-a", TakeOver::Nobody), "target-of-another-node", &["here", "there"]).await;
    let mut next = lane("there", "1-b", TakeOver::Nobody);
    next.known = vec![next.fence.generation, Generation::new(2, 0)];
    next.fence.generation = Generation::new(3, 7);
    written(subject, next, 2).await.close().await;
    expect(subject, &[(1, "x"), (2, "x")], "each node has written once").await;
}

pub(super) async fn a_later_incarnation_is_told_of(subject: &dyn Subject) {
    written(subject, lane("here", "1-a", TakeOver::Nobody), 1).await.close().await;
    written(subject, after(&["1-a"], lane("here", "2-b", TakeOver::Nobody)), 2).await.close().await;
    // Neither an older one, nor one of this time, nor one that is deleted and created once more.
    for (older, ancestors) in [("1-a", &[][..]), ("1-c", &[]), ("2-c", &["1-a"]), ("3-c", &["2-c", "1-a"])] {
        let older = after(ancestors, lane("here", older, TakeOver::Nobody));
        refused(subject, older, "journal-behind", &["2-b", "behind"]).await;
    }
    written(subject, after(&["2-b", "1-a"], lane("here", "3-d", TakeOver::Nobody)), 3).await.close().await;
    opened(subject, lane("here", "1-a", TakeOver::Later)).await.close().await;
    expect(subject, &[(1, "x"), (2, "x"), (3, "x")], "written rows stay").await;
}

/// After dropping or emptying a target, a pipeline that starts afresh elsewhere has nothing to take over.
pub(super) async fn what_is_gone_is_in_nobodys_way(subject: &dyn Subject) {
    let mut old = written(subject, lane("here", "1-a", TakeOver::Nobody), 1).await;
    refused(subject, lane("there", "1-b", TakeOver::Nobody), "target-of-another-node", &[]).await;
    if !subject.clear().await {
        return;
    }
    let new = written(subject, lane("there", "1-b", TakeOver::Nobody), 2).await;
    assert!(new.found.is_none() && new.others.is_empty(), "{:?}, {:?}", new.found, new.others);
    let late = old.try_commit(2, &[pair(9, "late")]).await;
    // It may have seen that its target is another one by now: then it opens again, and is refused.
    let ended = matches!(late, Err(CommitError::Failed(Error::Fenced(_) | Error::Transient { .. })));
    assert!(ended, "{late:?}");
    refused(subject, lane("here", "1-a", TakeOver::Nobody), "target-of-another-node", &[]).await;
    expect(subject, &[(2, "x")], "the new one alone has written").await;
}

/// Another node goes on where the lane of this one ended, in every partition.
pub(super) async fn positions_are_taken_over(subject: &dyn Subject, positions: &Positions) {
    let taker = opened(subject, lane("there", "1-z", TakeOver::AnotherNode)).await;
    assert!(taker.others.iter().any(|token| *token.positions == *positions), "taken over: {:?}", taker.others);
    taker.close().await;
}

/// Which number the branch of a sink has depends on the order of sinks and updates.
pub(super) async fn another_number_of_a_branch_is_no_way_around(subject: &dyn Subject) {
    let by = |number, journal, incarnation, take_over| by_branch(number, lane(journal, incarnation, take_over));
    written(subject, by(1, "here", "1-a", TakeOver::Nobody), 1).await.close().await;
    for number in [0, 2] {
        let words = ["here", "there", PIPELINE];
        refused(subject, by(number, "there", "1-b", TakeOver::Nobody), "target-of-another-node", &words).await;
    }
    opened(subject, by(0, "there", "1-b", TakeOver::AnotherNode)).await.close().await;
    refused(subject, by(1, "here", "1-a", TakeOver::Nobody), "target-of-another-node", &["here", "there"]).await;
    expect(subject, &[(1, "x")], "nobody has written it again").await;
}

/// A journal that was restored gives the number of a branch that it has forgotten to another one.
pub(super) async fn a_branch_that_was_never_added_is_told_of(subject: &dyn Subject) {
    let by = |number, nonce, take_over| {
        let mut lane = by_branch(number, lane("here", "1-a", take_over));
        lane.fence.generation = Generation::new(1, nonce);
        lane
    };
    written(subject, by(1, 0xb, TakeOver::Nobody), 1).await.close().await;
    refused(subject, by(2, 0xc, TakeOver::Nobody), "journal-behind", &["never added"]).await;
    let taker = opened(subject, by(2, 0xc, TakeOver::Later)).await;
    if subject.delivery() == DeliveryMode::Transactional {
        assert_eq!(taker.others.iter().map(|token| token.sequence).collect::<Vec<_>>(), [1]);
    }
    taker.close().await;
    expect(subject, &[(1, "x")], "nobody has written it again").await;
}
