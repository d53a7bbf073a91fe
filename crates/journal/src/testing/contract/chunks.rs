//! Chunks.
use super::owner::patient;
use crate::{Error, Journal};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, Seq},
    shard::ShardId,
};
use futures::future::join_all;

fn id(name: &str) -> ChunkId {
    ChunkId(name.into())
}

async fn put(journal: &Journal, name: &str, body: &'static [u8]) -> Result<(), Error> {
    let name = id(name);
    patient(|| journal.put_chunk(&name, Bytes::from_static(body))).await
}

fn of(pipeline: &str, incarnation: &str) -> Scope {
    Scope::Pipeline(pipeline.try_into().expect("an id"), incarnation.try_into().expect("an incarnation"))
}

async fn list(journal: &Journal, scope: &Scope) -> Vec<String> {
    patient(|| journal.chunks(scope)).await.expect("listed").iter().map(ToString::to_string).collect()
}

/// A chunk comes back byte for byte, whatever its size; an absent one is `None`.
pub async fn a_chunk_comes_back(journal: &Journal, other: &Journal) {
    let large: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
    for (name, body) in
        [("p/i/1/empty", Bytes::new()), ("p/i/1/zero", Bytes::from_static(b"\0\xff\0")), ("p/i/1/large", large)]
    {
        let name = id(name);
        patient(|| journal.put_chunk(&name, body.clone())).await.expect("stored");
        for journal in [journal, other] {
            assert_eq!(patient(|| journal.chunk(&name)).await.expect("read").as_ref(), Some(&body));
        }
    }
    let staged = id("p/i/1/staged");
    patient(|| journal.stage_chunk(&staged, Bytes::from_static(b"staged"))).await.expect("staged");
    for journal in [journal, other] {
        assert_eq!(patient(|| journal.chunk(&staged)).await.expect("read"), Some(Bytes::from_static(b"staged")));
    }
    let none = id("p/i/1/none");
    assert_eq!(patient(|| journal.chunk(&none)).await.expect("read"), None);
}

/// Storing the same chunk again is fine; other content under its name is refused.
pub async fn a_chunk_is_never_overwritten(journal: &Journal, other: &Journal) {
    put(journal, "p/i/1/a", b"one").await.expect("stored");
    put(other, "p/i/1/a", b"one").await.expect("the same again");
    assert!(matches!(put(journal, "p/i/1/a", b"two").await, Err(Error::Corrupt(_))));
    let name = id("p/i/1/a");
    assert_eq!(patient(|| journal.chunk(&name)).await.expect("read"), Some(Bytes::from_static(b"one")));
}

/// Chunks are listed by scope, in the order of their names, and from one of them on.
pub async fn chunks_are_listed_by_scope(journal: &Journal, other: &Journal) {
    let names = ["a/i/1/x", "a/i/1/y", "a/i/10/x", "a/i0/1/x", "a_/i/1/x", "a-/i/1/x", "ab/i/1/x", "b/i/1/ü"];
    let shard = [Scope::Progress(ShardId(1)), Scope::Lifecycle(ShardId(1)), Scope::Progress(ShardId(10))];
    let bodies: Vec<_> = shard.iter().map(|scope| scope.event(Seq(7), Epoch(2)).to_string()).collect();
    let all = names.iter().copied().chain(bodies.iter().map(String::as_str));
    join_all(all.map(async |name| put(journal, name, b"x").await.expect("stored"))).await;
    for journal in [journal, other] {
        assert_eq!(list(journal, &of("a", "i")).await, ["a/i/1/x", "a/i/1/y", "a/i/10/x"]);
        assert_eq!(list(journal, &of("a_", "i")).await, ["a_/i/1/x"]);
        assert_eq!(list(journal, &of("b", "i")).await, ["b/i/1/ü"]);
        assert_eq!(list(journal, &of("c", "i")).await, [""; 0]);
        for (scope, body) in shard.iter().zip(&bodies) {
            assert_eq!(list(journal, scope).await, [body.as_str()]);
        }
        let scope = of("a", "i");
        let page = async |after: &str, limit| {
            let after = Some(id(after)).filter(|after| !after.0.is_empty());
            let found = patient(|| journal.store.chunks(&scope, after.as_ref(), limit)).await.expect("listed");
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(page("", 2).await, ["a/i/1/x", "a/i/1/y"]);
        assert_eq!(page("a/i/1/y", 2).await, ["a/i/10/x"]);
        assert_eq!(page("a/i/10/x", 2).await, [""; 0]);
    }
}

/// Removed chunks are gone, and no others; absent chunks can be removed.
pub async fn removed_chunks_are_gone(journal: &Journal, other: &Journal) {
    for name in ["p/i/1/a", "p/i/1/b", "p/i/1/c"] {
        put(journal, name, b"x").await.expect("stored");
    }
    for ids in [vec![], vec![id("p/i/1/a"), id("p/i/1/c"), id("p/i/1/none")]] {
        patient(|| journal.remove_chunks(&ids)).await.expect("removed");
    }
    assert_eq!(list(other, &of("p", "i")).await, ["p/i/1/b"]);
    put(other, "p/i/1/a", b"new").await.expect("a name can be used again");
}
