//! One trial: a flow from its beginning to its end on a node that suffers a strike.
use super::{
    cell::{Cell, Strike},
    restore,
};
use crate::{
    fault_points::{METRIC, Passing, Point, VARIABLE, When},
    flow::{Driven, Flow, Pair},
    program::{Node, Program},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

/// The course of an undisturbed flow.
#[derive(Clone, Debug)]
pub struct Clean {
    /// The time from the start of the node to the end of the flow.
    pub length: Duration,
    passed: BTreeMap<String, u64>,
}

/// A cell with a seed, which selects the passing of the point or the moment.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The cell.
    pub cell: Cell,
    /// The number of records of the flow.
    pub records: u64,
    /// The seed.
    pub seed: u64,
    /// How long a node stays frozen.
    pub freeze: Duration,
}

/// A strike from outside.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Terminate,
    Freeze(Duration),
}

impl Clean {
    /// Runs an undisturbed flow, proves it, and counts the points that it passes.
    pub async fn run(program: &Program, pair: Pair, records: u64, folder: &Path) -> Self {
        let mut flow = prepare(pair, records, folder).await;
        let begun = Instant::now();
        let mut node =
            start(program, &flow, "count").unwrap_or_else(|status| panic!("the node ended by itself: {status}"));
        let view = match flow.drive(&mut node).await {
            Driven::Through(view) => view,
            Driven::Died(status) => panic!("the node ended by itself: {status}"),
        };
        let length = begun.elapsed();
        flow.prove(&node, &view).await;
        let metrics = node.get("/metrics").await;
        let passed = passed(metrics.as_str().unwrap_or_default());
        assert!(node.terminate().success(), "everything is settled");
        for point in pair.points().filter(|point| !is_at_the_end(*point)) {
            let passing = Passing { when: When::After, point }.to_string();
            assert!(passed.contains_key(&passing), "{pair} does not pass {passing}: {passed:?}");
        }
        Self { length, passed }
    }

    /// How often a point is passed.
    pub fn passed(&self, passing: Passing) -> u64 {
        self.passed.get(&passing.to_string()).copied().unwrap_or(1)
    }
}

/// Parses the points and their counts from a node's metrics.
fn passed(metrics: &str) -> BTreeMap<String, u64> {
    let prefix = format!("{METRIC}{{point=\"");
    let counts = metrics.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
    counts.map(|(point, count)| (point.to_owned(), count.parse().expect("a count"))).collect()
}

impl Trial {
    /// Runs the trial in an existing, empty folder, and proves its end. Returns what was done to the node.
    pub async fn run(&self, program: &Program, clean: &Clean, folder: &Path) -> String {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let program = program.clone().log_to(folder.join("node.log"));
        let mut flow = self.prepare(folder).await;
        let done = match self.cell.strike {
            Strike::At(passing) if is_at_the_end(passing.point) => {
                let fault = format!("{passing}=kill");
                let mut after = moment(&mut rng, clean);
                loop {
                    match live(&mut flow, &program, &fault, Some((after, Blow::Terminate))).await.driven {
                        // The node ended before there was anything to snapshot.
                        Driven::Died(status) if status.success() => after = 2 * after + clean.length / 10,
                        died => {
                            assert!(is_killed(&died), "{passing} is not reached: {died:?}");
                            break format!("{fault}, SIGTERM after {after:?}");
                        }
                    }
                }
            }
            Strike::At(passing) => {
                let mut nth = 1 + rng.next_u64() % clean.passed(passing);
                loop {
                    let fault = format!("{passing}@{nth}=kill");
                    if is_killed(&live(&mut flow, &program, &fault, None).await.driven) {
                        break fault;
                    }
                    // This run had fewer passings: batches are cut differently in each run.
                    assert!(nth > 1, "{} never passes {passing}", self.cell.pair);
                    nth = nth.div_ceil(2);
                    flow = self.anew(folder).await;
                }
            }
            Strike::Random => {
                let mut after = moment(&mut rng, clean);
                loop {
                    let fault = kill_after(after);
                    if live(&mut flow, &program, &fault, None).await.struck {
                        break fault;
                    }
                    // The flow had already ended.
                    after /= 2;
                    flow = self.anew(folder).await;
                }
            }
            Strike::Restarts => {
                let faults: Vec<_> = (0..5).map(|_| kill_after(moment(&mut rng, clean) / 5)).collect();
                for fault in &faults {
                    live(&mut flow, &program, fault, None).await;
                }
                faults.join(" ")
            }
            Strike::Freeze => {
                let mut after = moment(&mut rng, clean);
                while !live(&mut flow, &program, "count", Some((after, Blow::Freeze(self.freeze)))).await.struck {
                    after /= 2;
                    flow = self.anew(folder).await;
                }
                format!("SIGSTOP after {after:?} for {:?}", self.freeze)
            }
            Strike::Terminate => {
                let after = moment(&mut rng, clean);
                match live(&mut flow, &program, "count", Some((after, Blow::Terminate))).await.driven {
                    Driven::Died(status) => assert!(status.success(), "SIGTERM does not settle everything: {status}"),
                    Driven::Through(_) => {}
                }
                format!("SIGTERM after {after:?}")
            }
            Strike::Restore => return restore::trial(&mut flow, &program, clean, &mut rng, folder).await,
        };
        self.end(&mut flow, &program).await;
        done
    }

    /// Prepares the flow again from its beginning.
    async fn anew(&self, folder: &Path) -> Flow {
        fs::remove_dir_all(folder).expect("the folder can be emptied");
        fs::create_dir(folder).expect("the folder can be made");
        self.prepare(folder).await
    }

    /// Prepares the flow. In half of the trials its staged sinks seal late.
    async fn prepare(&self, folder: &Path) -> Flow {
        let mut flow = prepare(self.cell.pair, self.records, folder).await;
        let half = (self.seed + self.cell.to_string().len() as u64).is_multiple_of(2);
        flow.seals_late = half && self.cell.pair.is_staged();
        flow
    }

    /// Drives the flow to its end, and proves it.
    async fn end(&self, flow: &mut Flow, program: &Program) {
        let known = flow.known().await;
        let mut node = start(program, flow, "").unwrap_or_else(|status| panic!("the node ended by itself: {status}"));
        flow.prove_recovery(&node, &known).await;
        match flow.drive(&mut node).await {
            Driven::Through(view) => flow.prove(&node, &view).await,
            Driven::Died(status) => panic!("the node ended by itself: {status}"),
        }
        flow.prove_verified(program, &node);
        assert!(node.terminate().success(), "everything is settled");
    }
}

async fn prepare(pair: Pair, records: u64, folder: &Path) -> Flow {
    Flow::prepare(pair, records, folder, &database(pair)).await
}

/// The database of a pair's flows. Only one process uses it at a time.
pub(super) fn database(pair: Pair) -> String {
    format!("kill_{pair}_{}", std::process::id()).replace(|letter: char| !letter.is_alphanumeric(), "_")
}

/// Starts a node whose pipelines may read the flow's password, with a planned fault; "" for none.
pub(super) fn start(program: &Program, flow: &Flow, fault: &str) -> Result<Node, ExitStatus> {
    let secrets = flow.secrets();
    let mut variables = vec![("DATAFLOW_SECRETS_FILES", &*secrets)];
    let late = if flow.seals_late { "late-seals" } else { "" };
    let faults = [late, fault].into_iter().filter(|fault| !fault.is_empty()).collect::<Vec<_>>().join(",");
    variables.extend((!faults.is_empty()).then_some((VARIABLE, &*faults)));
    program.try_node(&flow.data_dir(), &[], &variables)
}

/// One life of a node.
struct Life {
    driven: Driven,
    /// Whether it was struck before the flow had ended.
    struck: bool,
}

/// Runs one life of a node, with a planned fault or a blow from outside.
async fn live(flow: &mut Flow, program: &Program, fault: &str, blow: Option<(Duration, Blow)>) -> Life {
    let known = flow.known().await;
    let begun = Instant::now();
    let mut node = match start(program, flow, fault) {
        Ok(node) => node,
        Err(status) => return Life { driven: Driven::Died(status), struck: true },
    };
    let Some((after, blow)) = blow else {
        let driven = go(flow, &mut node, &known).await;
        return Life { struck: matches!(driven, Driven::Died(_)), driven };
    };
    let until = tokio::time::Instant::from_std(begun + after);
    let driven = tokio::select! {
        driven = go(flow, &mut node, &known) => Some(driven),
        () = tokio::time::sleep_until(until) => None,
    };
    match (blow, driven) {
        (_, Some(died @ Driven::Died(_))) => Life { driven: died, struck: true },
        // Also when the flow has ended: the shutdown is tested then, too.
        (Blow::Terminate, _) => {
            node.signal("TERM");
            Life { driven: Driven::Died(node.ended()), struck: true }
        }
        (Blow::Freeze(_), Some(through)) => Life { driven: through, struck: false },
        (Blow::Freeze(time), None) => {
            node.signal("STOP");
            tokio::time::sleep(time).await;
            node.signal("CONT");
            Life { driven: flow.drive(&mut node).await, struck: true }
        }
    }
}

async fn go(flow: &mut Flow, node: &mut Node, known: &crate::flow::Known) -> Driven {
    flow.prove_recovery(node, known).await;
    flow.drive(node).await
}

fn is_killed(driven: &Driven) -> bool {
    use std::os::unix::process::ExitStatusExt;
    match driven {
        Driven::Died(status) => {
            assert_eq!(status.signal(), Some(9), "the node ended by itself: {status}");
            true
        }
        Driven::Through(_) => false,
    }
}

/// A random moment between the start and the end of a flow.
pub(super) fn moment(rng: &mut StdRng, clean: &Clean) -> Duration {
    clean.length.mul_f64((rng.next_u64() % 1_000) as f64 / 1_000.0)
}

/// SIGKILL this long after the node has begun: the first thing it does is to claim its shards.
fn kill_after(time: Duration) -> String {
    format!("before:claim@1=kill+{}ms", time.as_millis().max(1))
}

/// Returns whether a trial passes the point only at the shutdown of its node.
fn is_at_the_end(point: Point) -> bool {
    matches!(point, Point::Snapshot | Point::Compact)
}
