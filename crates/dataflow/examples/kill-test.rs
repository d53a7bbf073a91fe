//! `make kill-test`: the kill harness, long.
use clap::Parser;
use dataflow_testkit::{
    flow::Pair,
    kill::{Campaign, Cell},
};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Kills a node at every fault point and at random moments, and proves what comes of every record.
#[derive(Debug, Parser)]
struct Args {
    /// The program, built with fault points.
    #[arg(long)]
    program: PathBuf,
    /// Where results, and folders of failed trials, are kept. What has passed there is not tried again.
    #[arg(long)]
    folder: PathBuf,
    /// Trials of each fault point, of restarts and of SIGTERM.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Trials of random moments.
    #[arg(long, default_value_t = 100)]
    random: u64,
    /// Trials of a frozen node.
    #[arg(long, default_value_t = 3)]
    freezes: u64,
    /// Seconds that a frozen node stands still.
    #[arg(long, default_value_t = 12)]
    freeze: u64,
    /// Records of each flow.
    #[arg(long, default_value_t = 2_000)]
    records: u64,
    /// Only these pairs.
    #[arg(long, value_delimiter = ',')]
    pairs: Vec<Pair>,
    /// Only this cell: PAIR/STRIKE.
    #[arg(long)]
    cell: Option<Cell>,
    /// One trial of each cell, with this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only print the table of what has been tried.
    #[arg(long)]
    table: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let pairs = if args.pairs.is_empty() { Pair::ALL.to_vec() } else { args.pairs };
    let campaign = Campaign {
        program: args.program,
        folder: args.folder,
        cells: args.cell.map_or_else(|| pairs.into_iter().flat_map(Cell::of).collect(), |cell| vec![cell]),
        kills: args.kills,
        random: args.random,
        freezes: args.freezes,
        records: args.records,
        freeze: Duration::from_secs(args.freeze),
        seed: args.seed,
    };
    let results = if args.table { campaign.results() } else { campaign.run().await };
    println!("\n{}", results.table());
    let mut code = ExitCode::SUCCESS;
    for failure in results.failures() {
        code = ExitCode::FAILURE;
        let (cell, seed, records) = (&failure.cell, failure.seed, failure.records);
        println!("failed: {cell}: {}", failure.error.as_deref().unwrap_or_default());
        println!(
            "  again: kill-test --program {} --folder {} --cell {cell} --seed {seed} --records {records}",
            campaign.program.display(),
            campaign.folder.display()
        );
    }
    code
}
