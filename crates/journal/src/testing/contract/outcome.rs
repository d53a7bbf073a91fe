//! Unknown outcomes.
use super::owner::{Owner, all, encoded};
use crate::{
    Appended, Journal,
    testing::samples::{lifecycle, pipeline, progress},
};
use dataflow_core::{id::Seq, shard::ShardId};

const SHARD: ShardId = ShardId(19);

/// The state of an append when its writer lost track of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Never,
    Before,
    After,
}

/// For every unknown append, a claim and a read of the log from its place on show the outcome, and an append still on
/// its way is fenced when it arrives.
pub async fn a_claim_decides_every_unknown_append(journal: &Journal, other: &Journal) {
    let name = pipeline(SHARD, 0);
    for (round, arrives) in [Lost::Never, Lost::Before, Lost::After, Lost::Before].into_iter().enumerate() {
        let writer = Owner::claim(journal, SHARD).await;
        let events =
            [(name.clone(), lifecycle(&format!("{round}a"))), (name.clone(), progress(&format!("{round}b"), 1))];
        let append = async || journal.append(SHARD, writer.epoch, writer.next, &encoded(journal, &events)).await;
        let early = if arrives == Lost::Before { append().await } else { Appended::Unknown };

        let decided = Owner::claim(other, SHARD).await;
        let found = all(other, SHARD, writer.next).await;
        assert_eq!(
            decided.next.0,
            writer.next.0 + found.len() as u64,
            "the head that a claim returns is the log's end"
        );
        match early {
            Appended::Applied => assert_eq!(found.len(), 2, "an applied append is there"),
            Appended::Fenced | Appended::Refused(_) => {
                panic!("nobody else had claimed, and the events are valid")
            }
            Appended::NotWritten => assert_eq!(found, [], "nothing was written"),
            Appended::Unknown if arrives == Lost::Before => assert!(matches!(found.len(), 0 | 2), "all or none"),
            Appended::Unknown => assert_eq!(found, [], "an append that has not arrived is not there"),
        }
        if arrives == Lost::After {
            assert_ne!(append().await, Appended::Applied);
        }
        assert_eq!(Owner::claim(journal, SHARD).await.next, decided.next, "and nothing lands afterwards");
        assert_eq!(all(other, SHARD, Seq(1)).await.len() as u64, decided.next.0 - 1);
    }
}
