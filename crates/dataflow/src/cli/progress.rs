//! Live progress of a pipeline, on stderr: a line that is redrawn on a terminal, a line a second elsewhere.
use super::{exit::Failure, output::thousands, pipeline};
use dataflow_api_types::{ErrorView, PipelineView, Status};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeSet,
    io::IsTerminal,
    time::{Duration, Instant},
};

/// How often progress is written where it can't be redrawn.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// Shows how a pipeline gets on.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last: Option<(Instant, String)>,
    /// The last state was not written, because it came too soon after the one before.
    owed: bool,
    error: Option<String>,
    /// Messages of warnings that were said, with their sinks.
    warned: BTreeSet<(Option<String>, String)>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, last: None, owed: false, error: None, warned: BTreeSet::new() }
    }

    /// Shows the pipeline as it is now; new errors and warnings stay on the screen.
    pub(super) fn update(&mut self, pipeline: &PipelineView) {
        // Of one that has ended the command's own failure says it.
        let error = pipeline.error.as_ref().filter(|_| !at_rest(pipeline)).map(|error| {
            let retry = error.retry_at.as_ref().map_or(String::new(), |at| format!("; next attempt at {at}"));
            let fix = error.fix.as_ref().map_or(String::new(), |fix| format!("\n  fix: {fix}"));
            format!("{}: {}{retry}{fix}", place(error), error.message)
        });
        if error != self.error {
            // While it tries again, the error is still there, without a time for the next attempt.
            let said = |text: &str| self.error.as_ref().is_some_and(|said| said.starts_with(text));
            let again = pipeline
                .error
                .as_ref()
                .is_some_and(|error| error.retry_at.is_none() && said(&format!("{}: {}", place(error), error.message)));
            if let Some(text) = error.as_ref().filter(|_| !again) {
                self.say(text);
            }
            self.error = error;
        }
        for warning in &pipeline.warnings {
            if self.warned.insert((warning.sink.clone(), warning.message.clone())) {
                self.say(&format!("warning: {}", pipeline::worded(warning)));
            }
        }
        let line = line(pipeline);
        match &self.bar {
            Some(bar) => draw(bar, pipeline, line),
            None => self.plain(line),
        }
    }

    /// Writes a line that stays.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
    }

    /// Takes the moving line away; elsewhere than on a terminal, writes the last state.
    pub(super) fn finish(mut self) {
        match self.bar.take() {
            Some(bar) => bar.finish_and_clear(),
            None => {
                if let Some((_, line)) = self.last.take().filter(|_| self.owed) {
                    say!("{line}");
                }
            }
        }
    }

    fn plain(&mut self, line: String) {
        match &mut self.last {
            Some((_, last)) if *last == line => {}
            Some((written, last)) if written.elapsed() < PLAIN_EVERY => {
                *last = line;
                self.owed = true;
            }
            _ => {
                say!("{line}");
                self.last = Some((Instant::now(), line));
                self.owed = false;
            }
        }
    }
}

/// On a terminal: a bar where the end of the source is known, otherwise a spinner.
fn draw(bar: &ProgressBar, pipeline: &PipelineView, line: String) {
    let metrics = &pipeline.metrics;
    match metrics.lag {
        Some(lag) if pipeline.source.kind == "file" && metrics.bytes_read + lag > 0 => {
            bar.set_style(style("{spinner} [{bar:24}] {percent:>3}% {msg}"));
            bar.set_length(metrics.bytes_read + lag);
            bar.set_position(metrics.bytes_read);
        }
        _ => bar.set_style(style("{spinner} {msg}")),
    }
    bar.set_message(line);
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()).progress_chars("=> ")
}

fn line(pipeline: &PipelineView) -> String {
    let metrics = &pipeline.metrics;
    let mut line = format!(
        "{} {}: {} read, {} delivered, {} filtered, {} dead, {} in flight, {}/s",
        pipeline.pipeline_id,
        if pipeline.stopping { "stopping".to_owned() } else { pipeline.status.to_string() },
        thousands(metrics.records_read),
        thousands(metrics.records_delivered),
        thousands(metrics.records_filtered),
        thousands(metrics.records_dead),
        thousands(metrics.records_in_flight),
        thousands(metrics.records_per_second.max(0.0).round() as u64),
    );
    if let Some(lag) = metrics.lag.filter(|lag| *lag > 0) {
        line.push_str(&format!(", lag {}", thousands(lag)));
    }
    line
}

/// Where an error is: its stage, and of which sink.
fn place(error: &ErrorView) -> String {
    match &error.sink {
        Some(sink) => format!("{} (sink {sink})", error.stage),
        None => error.stage.clone(),
    }
}

/// Whether nothing more happens to the pipeline by itself.
pub(super) fn at_rest(pipeline: &PipelineView) -> bool {
    let rests = |status: Status, error: Option<&ErrorView>| match status {
        Status::Running => false,
        Status::Failed => error.is_none_or(|error| error.retry_at.is_none()),
        Status::Absent | Status::Configured | Status::Stopped | Status::Completed => true,
    };
    match pipeline.sinks.is_empty() {
        true => rests(pipeline.status, pipeline.error.as_ref()),
        false => pipeline.sinks.iter().all(|sink| rests(sink.status, sink.error.as_ref())),
    }
}

/// The failure of a failed pipeline, as the command's own.
pub(super) fn failure(pipeline: &PipelineView) -> Failure {
    match &pipeline.error {
        Some(error) => {
            let failed = pipeline.sinks.iter().filter(|sink| sink.status == Status::Failed);
            let others = failed.filter_map(|sink| sink.error.as_ref()).filter(|other| other.sink != error.sink);
            let others = others.map(|other| format!("; {}: {}", place(other), other.message)).collect::<String>();
            let (id, place, message) = (&pipeline.pipeline_id, place(error), &error.message);
            let failure = Failure::failed(format!("{id} failed at {place}: {message}{others}"));
            match &error.fix {
                Some(fix) => failure.fix(fix),
                None => failure,
            }
        }
        None => Failure::failed(format!("{} failed", pipeline.pipeline_id)),
    }
}

/// Shows how much of a verification is done: a bar on a terminal, nothing elsewhere.
#[derive(Debug)]
pub(super) struct Share(Option<ProgressBar>);

impl Share {
    pub(super) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} [{bar:24}] {percent:>3}% {msg}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }

    pub(super) fn update(&mut self, at: dataflow_verify::Progress) {
        let Some(bar) = &self.0 else { return };
        bar.set_position((at.share.unwrap_or(0.0) * 1_000.0) as u64);
        let doing = if at.comparing { "comparing" } else { "reading" };
        bar.set_message(format!("{doing}, {} records", thousands(at.records)));
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
