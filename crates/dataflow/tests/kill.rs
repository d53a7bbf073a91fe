//! The kill harness, short: one trial on one side of every fault point that a pair passes, and of what else befalls a
//! node. `make kill-test` runs it long.
#![cfg(feature = "fault-points")]
#![allow(clippy::unwrap_used)]
use dataflow_testkit::{
    flow::Pair,
    kill::{Campaign, Cell, Strike},
    servers,
};
use std::time::Duration;

async fn sample(pair: Pair) {
    let at_points: Vec<_> = Cell::of(pair).filter(|cell| matches!(cell.strike, Strike::At(_))).collect();
    // Before the first point, after the second, before the third …; for half of the pairs the other way round.
    let turn = Pair::ALL.iter().position(|other| *other == pair).unwrap() / 2;
    let sampled = at_points.chunks(2).enumerate().map(|(index, sides)| sides[(index + turn) % 2]);
    let others = [Strike::Random, Strike::Restarts, Strike::Freeze, Strike::Terminate, Strike::Restore];
    let others = others.map(|strike| Cell { pair, strike });
    prove(sampled.chain(others).collect()).await;
}

/// What a staged sink's promise hangs on.
const STAGED: [&str; 5] = ["after:seal", "before:publish", "after:publish", "random", "restore"];

/// These strikes alone, of pairs whose trials take long.
async fn few(pair: &str, strikes: &[&str]) {
    prove(strikes.iter().map(|strike| format!("{pair}/{strike}").parse::<Cell>().unwrap()).collect()).await;
}

/// One trial of each cell.
async fn prove(cells: Vec<Cell>) {
    let folder = tempfile::tempdir().unwrap();
    let campaign = Campaign {
        program: env!("CARGO_BIN_EXE_dataflow").into(),
        folder: folder.path().join("results"),
        cells,
        kills: 1,
        random: 1,
        freezes: 1,
        records: 2_000,
        freeze: Duration::from_millis(500),
        seed: None,
    };
    let results = campaign.run().await;
    let failures: Vec<_> = results.failures().collect();
    if !failures.is_empty() {
        let kept = folder.keep();
        panic!("{failures:#?}\nkept: {}", kept.display());
    }
    assert!(campaign.cells.iter().all(|cell| results.of(*cell) == (1, 0)), "{}", results.table());
}

#[tokio::test]
async fn file_to_file() {
    sample("file-file".parse().unwrap()).await;
}

#[tokio::test]
async fn file_to_sqlite() {
    sample("file-sqlite".parse().unwrap()).await;
}

#[tokio::test]
async fn http_to_sqlite() {
    sample("http-sqlite".parse().unwrap()).await;
}

#[tokio::test]
async fn rest_to_sqlite() {
    sample("rest-sqlite".parse().unwrap()).await;
}

#[tokio::test]
async fn kafka_to_postgres_in_two_lanes() {
    if servers::are_up() {
        sample("kafka-postgres-2-lanes".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn jdbc_to_postgres() {
    if servers::are_up() {
        sample("jdbc-postgres".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn mariadb_to_postgres() {
    if servers::are_up() && servers::mariadb_is_up() {
        sample("mariadb-postgres".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn sqlite_to_sqlite() {
    sample("sqlite-sqlite".parse().unwrap()).await;
}

#[tokio::test]
async fn kafka_to_file() {
    if servers::are_up() {
        sample("kafka-file".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn file_to_kafka() {
    if servers::are_up() {
        sample("file-kafka".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn kafka_to_kafka_in_two_lanes() {
    if servers::are_up() {
        sample("kafka-kafka-2-lanes".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn file_to_elasticsearch() {
    if !servers::search().is_empty() {
        sample("file-elasticsearch".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn file_to_s3() {
    if servers::minio_is_up() {
        few("file-s3", &STAGED).await;
    }
}

#[tokio::test]
async fn s3_to_file() {
    if servers::minio_is_up() {
        sample("s3-file".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn kafka_to_opensearch_in_two_lanes() {
    if servers::are_up() && !servers::search().is_empty() {
        sample("kafka-opensearch-2-lanes".parse().unwrap()).await;
    }
}

#[tokio::test]
async fn kafka_to_s3_in_two_lanes() {
    if servers::are_up() && servers::minio_is_up() {
        few("kafka-s3-2-lanes", &STAGED).await;
    }
}

#[tokio::test]
async fn kafka_to_parquet_in_two_lanes() {
    if servers::are_up() && servers::minio_is_up() {
        few("kafka-s3-parquet-2-lanes", &STAGED).await;
    }
}

#[tokio::test]
async fn file_to_folder() {
    few("file-folder", &STAGED).await;
}

#[tokio::test]
async fn kafka_to_folder_in_two_lanes() {
    if servers::are_up() {
        few("kafka-folder-2-lanes", &STAGED).await;
    }
}

#[tokio::test]
async fn kafka_to_azure_in_two_lanes() {
    if servers::are_up() && servers::azurite_is_up() {
        few("kafka-azureblob-2-lanes", &STAGED).await;
    }
}

#[tokio::test]
async fn file_to_two_files() {
    sample("file-file+sqlite".parse().unwrap()).await;
}

#[tokio::test]
async fn kafka_to_a_table_a_topic_and_an_index() {
    if servers::are_up() && !servers::search().is_empty() {
        let strikes = ["before:sink-commit", "after:sink-commit", "after:checkpoint", "random", "freeze", "restore"];
        few("kafka-postgres+kafka+elasticsearch-2-lanes", &strikes).await;
    }
}

/// What only restores are tried with: every other source with every other sink.
#[tokio::test]
async fn restored() {
    let there = |pair: &Pair| servers::are_up() || !pair.needs_servers();
    let pairs = Pair::ALL.into_iter().filter(|pair| !pair.is_struck()).filter(there);
    prove(pairs.flat_map(Cell::of).collect()).await;
}
