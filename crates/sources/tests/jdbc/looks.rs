//! What a look at a table costs: round trips to the server.
use crate::{PATIENCE, context, open, read, source};
use dataflow_testkit::proxy::Proxy;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// The round trips of a reader's first round, the only one within an hour. `url`: of a server at an address; `rows`: how many it finds;
/// `least`: what it takes at least if there are none.
pub(crate) async fn round_trips(
    port: u16,
    url: impl Fn(SocketAddr) -> String,
    mut config: Value,
    rows: usize,
    least: u64,
) -> u64 {
    let proxy = Proxy::start(([127, 0, 0, 1], port).into()).unwrap();
    config["url"] = json!(url(proxy.address()));
    config["pollInterval"] = json!("1h");
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    let before = proxy.round_trips();
    if rows > 0 {
        assert_eq!(read(&mut *reader).await.unwrap().len(), rows);
        return proxy.round_trips() - before;
    }
    let begun = tokio::time::Instant::now();
    while proxy.round_trips() < before + least {
        assert!(tokio::time::timeout(Duration::from_millis(100), reader.read()).await.is_err());
        assert!(begun.elapsed() < PATIENCE);
    }
    // What more there is would come now.
    assert!(tokio::time::timeout(Duration::from_millis(300), reader.read()).await.is_err());
    proxy.round_trips() - before
}
