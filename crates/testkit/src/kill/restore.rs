//! A node that is backed up while it runs, runs on, is killed, and resumes from the backup.
use super::trial::{Clean, moment, start};
use crate::{
    flow::{Driven, Flow},
    program::Program,
};
use futures::future::{Either, select};
use rand::rngs::StdRng;
use serde_json::Value;
use std::{path::Path, pin::pin, time::Duration};

/// Runs the trial, and proves its end. Returns what was done to the node.
pub(super) async fn trial(
    flow: &mut Flow,
    program: &Program,
    clean: &Clean,
    rng: &mut StdRng,
    folder: &Path,
) -> String {
    let backup = folder.join("backup.db");
    let (before, after) = (moment(rng, clean) / 2, moment(rng, clean) / 2);
    let data = flow.data_dir();
    let call = async |args: &[&str]| {
        let args = [args, &["--data-dir", text(&data), text(&backup)]].concat();
        let (args, program): (Vec<_>, _) = (args.into_iter().map(str::to_owned).collect(), program.clone());
        let calling = move || {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let (code, _, stderr) = program.output(&args);
            assert_eq!(code, 0, "{args:?}: {stderr}");
        };
        tokio::task::spawn_blocking(calling).await.expect("it is done");
    };

    let mut node = start(program, flow, "").unwrap_or_else(|status| panic!("the node ended by itself: {status}"));
    let url = format!("{}/api/pipelines/{}", node.url, Flow::ID);
    let striking = async {
        // The journal can't lag the sink before anything is delivered.
        while delivered(&url).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(before).await;
        let at = delivered(&url).await;
        call(&["backup"]).await;
        tokio::time::sleep(after).await;
        format!("backup at {at} delivered, killed at {}", delivered(&url).await)
    };
    let done = match select(pin!(striking), pin!(flow.drive(&mut node))).await {
        Either::Left((done, _)) => done,
        Either::Right((Driven::Through(_), striking)) => striking.await,
        Either::Right((Driven::Died(status), _)) => panic!("the node ended by itself: {status}"),
    };
    node.kill();

    call(&["restore", "--replace"]).await;
    flow.restored().await;
    let mut node = start(program, flow, "").unwrap_or_else(|status| panic!("the node ended by itself: {status}"));
    match flow.drive(&mut node).await {
        Driven::Through(view) => flow.prove_restored(program, &node, &view).await,
        Driven::Died(status) => panic!("the node ended by itself: {status}"),
    }
    assert!(node.terminate().success(), "everything is settled");
    done
}

/// The number of delivered records, as the node reports it.
async fn delivered(url: &str) -> u64 {
    dataflow_tls::provide();
    let Ok(answer) = reqwest::get(url).await else { return 0 };
    answer.json::<Value>().await.ok().and_then(|view| view["metrics"]["recordsDelivered"].as_u64()).unwrap_or(0)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the folder's name is UTF-8")
}
