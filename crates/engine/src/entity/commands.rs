//! Commands of users: gives them time, incarnation and settlement, and carries them out.
use super::{Entity, answer, queries, settle::Asked};
use crate::{
    chunks,
    region::{Action, AskError, Reply, ResetPoint, UserCommand},
    run::Choice,
};
use dataflow_core::{
    branch::BranchNumber,
    chunk::Scope,
    id::{Incarnation, SinkName},
    pipeline::{
        Branch, BranchView, Command, CommandKind, Event, Rejected, State,
        command::{Reset, Settlement},
        decide,
        event::Lost,
        inbox::Inbox,
        rejected::Doubled,
        then::Wanted,
    },
    position::{Partition, Position, Positions},
    problem::Problem,
    spec::PipelineSpec,
};
use dataflow_sdk::{
    sink::{DeliveryMode, TakeOver},
    source::{Edge, Source},
};
use std::{cmp::Ordering, collections::BTreeMap};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

impl Entity {
    pub(super) async fn command(
        &mut self,
        command: UserCommand,
        decided: CancellationToken,
        reply: oneshot::Sender<Result<Reply, AskError>>,
    ) {
        let (waits, id) = (command.action.wait().is_some(), command.id.clone());
        let updates = matches!(command.action, Action::Update { .. });
        self.refused = None;
        let outcome = self.user(command).await;
        if waits && self.cell.state().is_stopping() && outcome.is_ok() {
            // Another request may have asked for the same update before.
            self.waiting.push((self.awaited().filter(|_| updates).unwrap_or(id), reply));
            decided.cancel();
        } else {
            // Without a run the stop is over at once, and what was to follow may have been refused.
            let refused = self.refused.take().filter(|(of, _)| *of == id && outcome.is_ok());
            answer(reply, refused.map_or(outcome, |(_, rejected)| Err(rejected.into())));
        }
    }

    async fn user(&mut self, command: UserCommand) -> Result<Reply, AskError> {
        let UserCommand { id, actor, reason, trace, expected_version, action } = command;
        let hash = Some(action.hash());
        // Who sends a command a second time is answered as the first time, whatever the pipeline is by now.
        let before = self.cell.state().carried_out(&id).map(|before| before.hash);
        match before {
            Some(known) if known != hash => return Err(Rejected::KeyReused.into()),
            Some(_) if matches!(action, Action::Delete { .. }) => return Ok(Reply::Deleted(())),
            Some(_) => return queries::state(&self.context, &self.cell),
            None => {}
        }
        let (pipeline, at) = (self.cell.pipeline.clone(), self.context.parts.clock.now());
        let to = |kind| Command {
            pipeline: pipeline.clone(),
            id: id.clone(),
            hash,
            actor: actor.clone(),
            reason: reason.clone(),
            trace: trace.clone(),
            at,
            expected_version,
            branch: 0,
            kind,
        };
        match action {
            Action::Ingest { .. } => unreachable!("pushed batches are taken in together, see `ingest`"),
            Action::Create(spec) => {
                self.check(&spec)?;
                let last = match &*self.cell.state() {
                    State::Deleted(deleted) => Some(deleted.incarnation.clone()),
                    _ => None,
                };
                let incarnation = Incarnation::following(last.as_ref(), &self.context.parts.rng.name())
                    .map_err(|error| AskError::Internal(error.to_string()))?;
                if let Some(last) = last {
                    // The node may have gone down between the end of the last one of this id and that of its chunks. Only
                    // of that one: another node may have made the next one already.
                    chunks::remove_all(&self.context.parts.journal, &pipeline, &last).await;
                }
                self.carry_out(to(CommandKind::Create {
                    pushes: self.context.parts.plugins.declared(&spec).source.pushes,
                    spec,
                    incarnation,
                }))
                .await?;
            }
            Action::Update { spec, reset, retarget, force, wait: _ } => {
                self.check(&spec)?;
                let kind = self.update(&to, Wanted { spec, reset, retarget, force }).await?;
                self.carry_out(to(kind)).await?;
            }
            Action::Start { sink } => {
                let only = queries::only(&self.cell, sink.as_ref())?;
                self.carry_out(to(CommandKind::Start { only })).await?;
            }
            Action::Stop { sink, .. } => {
                let only = queries::only(&self.cell, sink.as_ref())?;
                self.carry_out(to(CommandKind::Stop { only })).await?;
            }
            Action::Restart { sink, .. } => {
                let only = queries::only(&self.cell, sink.as_ref())?;
                self.carry_out(to(CommandKind::Restart { only })).await?;
            }
            Action::ResetCheckpoint { to: place, sink, force, take_over } => {
                let kind = self.reset_checkpoint(&to, &place, sink.as_ref(), (force, take_over)).await?;
                self.carry_out(to(kind)).await?;
            }
            Action::Delete { discard } => {
                let incarnation = self.cell.state().pipeline().map(|pipeline| pipeline.incarnation.clone());
                self.carry_out(to(CommandKind::Delete { discard })).await?;
                if let Some(incarnation) = incarnation {
                    chunks::remove_all(&self.context.parts.journal, &pipeline, &incarnation).await;
                }
                return Ok(Reply::Deleted(()));
            }
        }
        queries::state(&self.context, &self.cell)
    }

    /// Checks a spec with its connectors and transforms.
    fn check(&self, spec: &PipelineSpec) -> Result<(), Rejected> {
        let problems = self.context.parts.plugins.check(spec);
        if problems.is_empty() { Ok(()) } else { Err(Rejected::Invalid { problems }) }
    }

    /// How the chunks of what came since this node had the shard are called.
    fn since(&self, branch: &Branch) -> String {
        let scope = Scope::Pipeline(branch.id.pipeline().clone(), branch.incarnation.clone());
        format!("{scope}{}/", self.log.epoch())
    }

    /// The request of a reset, of the branch of one sink or of all.
    async fn reset_checkpoint(
        &self,
        to: &impl Fn(CommandKind) -> Command,
        place: &ResetPoint,
        sink: Option<&SinkName>,
        (force, take_over): (bool, bool),
    ) -> Result<CommandKind, AskError> {
        let pipeline = self.cell.state().pipeline().cloned().ok_or(Rejected::NotFound)?;
        let branches: Vec<BranchNumber> = match sink {
            Some(_) => vec![queries::branch_of(&pipeline, sink)?.0],
            None => pipeline.present().map(|(number, _)| number).collect(),
        };
        let name = match place {
            ResetPoint::Beginning => Event::BEGINNING,
            ResetPoint::End => "end",
            ResetPoint::Positions(_) => "positions",
            ResetPoint::SinkToken => "sink-token",
            ResetPoint::Journal => "journal",
        };
        let kind = |resets| CommandKind::ResetCheckpoint { to: name.into(), resets };
        let (positions, passed, reached) = (Positions::new(), Vec::new(), Positions::new());
        let forced = Settlement::Unsettled { reason: String::new(), forced: true };
        let tentative = Reset { positions, passed, reached, settlement: forced, nonce: 0 };
        decide(&self.cell.state(), &to(kind(branches.iter().map(|number| (*number, tentative.clone())).collect())))?;
        let mut resets = BTreeMap::new();
        for number in branches {
            let view = pipeline.view(number).ok_or(Rejected::NotFound)?;
            let reset = self.reset(&view, place, force, take_over).await;
            resets.insert(number, reset.map_err(|error| error.of_sink(view.branch.sink.as_ref()))?);
        }
        Ok(kind(resets))
    }

    async fn reset(
        &self,
        view: &BranchView,
        place: &ResetPoint,
        force: bool,
        take_over: bool,
    ) -> Result<Reset, AskError> {
        let nonce = self.context.parts.rng.next();
        let reset = |positions, passed, reached, settlement| Reset { positions, passed, reached, settlement, nonce };
        let is_behind = view.branch.undecided.is_some();
        let named = match place {
            ResetPoint::Positions(named) if named.is_empty() => {
                let problem = Problem::new("to.positions", "too-few", "names no position").fix("name at least one");
                return Err(Rejected::Invalid { problems: vec![problem] }.into());
            }
            ResetPoint::Positions(named) => self.place_named(view, named, force).await?,
            _ => Positions::new(),
        };
        let pushed = view.pushes.is_some();
        let earliest = match place {
            ResetPoint::Beginning => self.resolve(view, &Edge::Beginning).await?,
            ResetPoint::SinkToken | ResetPoint::Journal if !pushed => Positions::new(),
            // What can't be asked for is not known to be lost.
            _ => self.resolve(view, &Edge::Beginning).await.unwrap_or_default(),
        };
        let source = self.source(&view.branch).ok();
        let source = source.as_ref().map(|(source, ..)| &**source);
        let choice = Choice { to: place, earliest: &earliest, source };
        // Also where no run of this generation was opened, since the target had lost what earlier ones had left in it.
        let left = view.branch.progress.left.records > 0 || view.branch.progress.left.handle.is_some();
        // The token may be of a start that an older journal does not know.
        let sink = self.context.parts.plugins.sink(&view.branch.spec.sink);
        let has_token = sink.as_ref().is_ok_and(|built| built.delivery == DeliveryMode::Transactional);
        let goes_on = matches!(place, ResetPoint::SinkToken | ResetPoint::Journal);
        let handle = view.branch.progress.left.handle.as_ref();
        if take_over && goes_on && !has_token && !force && sink.is_ok_and(|built| !built.recognizes(handle)) {
            let reason = "it keeps no positions of what another node has written, which would be written again: name the \
                positions to continue from, or choose \"end\", or \"beginning\", which writes everything again";
            return Err(Rejected::Unsettled { reason: reason.into() }.into());
        }
        let asked = left || has_token && matches!(place, ResetPoint::SinkToken);
        let Asked { settlement, decided, begun, uncounted } =
            if view.branch.needs_settlement() || asked || is_behind || take_over {
                let take_over = if take_over { TakeOver::AnotherNode } else { TakeOver::Later };
                self.settle(view, Some(choice), force, take_over).await
            } else {
                Asked::of(Settlement::NotNeeded)
            };
        if let Settlement::Unsettled { reason, forced: false } = settlement {
            return Err(Rejected::Unsettled { reason }.into());
        }
        let settlement = match settlement {
            Settlement::Settled { lanes, met, lost } => {
                Settlement::Settled { lanes: choice.count_expired(lanes), met, lost }
            }
            unsettled => unsettled,
        };
        let current = view.branch.progress.positions_with(settlement.lanes());
        if let Some(inbox) = view.pushed()
            && let Some(at) = current.get(Inbox::PARTITION)
            && matches!(place, ResetPoint::SinkToken)
            && !inbox.has_received(at)
        {
            return Err(nowhere_here(inbox, at, &self.since(&view.branch)).into());
        }
        let reached = self.reached(view, &settlement);
        let chosen = match place {
            ResetPoint::SinkToken => return Ok(reset(current, Vec::new(), reached, settlement)),
            ResetPoint::Journal if begun.is_empty() => view.branch.progress.positions(),
            ResetPoint::Journal => begun,
            ResetPoint::Beginning => earliest,
            ResetPoint::End => self.resolve(view, &Edge::End).await?,
            ResetPoint::Positions(_) => current.clone().into_iter().chain(named).collect(),
        };
        let positions = match place {
            ResetPoint::Journal => chosen,
            _ => self.given_up(view, &current, chosen).await,
        };
        // Where the journal doesn't know what the sink has, something must be chosen, and none of it is known to be pending.
        if pushed && !force && !is_behind && !matches!(place, ResetPoint::Journal) {
            still_pending(view, &settlement, &positions)?;
        }
        let mut passed = if pushed { Vec::new() } else { self.passed(view, &reached, &positions, source).await };
        let left = arrived(&mut passed, uncounted);
        if !force {
            let has = match decided {
                // Where a sink's position of pushed records says nothing here, it may have any of those that came since.
                Some(_) if pushed && is_behind => {
                    [(Inbox::PARTITION.into(), Position::offset(view.inbox.received))].into()
                }
                Some(_) if pushed => Positions::new(),
                decided => decided.unwrap_or_else(|| reached.clone()),
            };
            let goes_back = !matches!(place, ResetPoint::End);
            let again = if goes_back && !(pushed && is_behind) { left } else { 0 };
            self.written_twice(view, &settlement, (&has, again), &positions, source).await?;
        }
        Ok(reset(positions, passed, reached, settlement))
    }

    /// How far the source was read, or passed over for good.
    pub(super) fn reached(&self, view: &BranchView, settlement: &Settlement) -> Positions {
        let source = self.context.parts.plugins.source(&view.branch.spec.source).ok();
        let is_after = |one: &Position, other: &Position| is_after(source.as_deref(), one, other);
        view.branch.progress.reached_with(settlement.lanes(), is_after)
    }

    /// Refuses to write records again to a target that has them but can't recognise them.
    async fn written_twice(
        &self,
        view: &BranchView,
        settlement: &Settlement,
        (has, uncounted): (&Positions, u64),
        to: &Positions,
        source: Option<&dyn Source>,
    ) -> Result<(), Rejected> {
        let lanes = settlement.lanes();
        let progress = &view.branch.progress;
        let sink = self.context.parts.plugins.sink(&view.branch.spec.sink);
        let known = lanes.iter().chain(progress.by_lane.values()).find_map(|lane| lane.handle.as_ref());
        let known = known.or(progress.left.handle.as_ref()).or(progress.left.remembered.as_ref());
        if progress.held_by_target(lanes) == 0 || sink.is_ok_and(|built| built.recognizes(known)) {
            return Ok(());
        }
        let is_there = |(partition, has): &(&Partition, &Position)| match to.get(*partition) {
            Some(to) => is_after(source, has, to),
            // What is not there any more is not read again.
            None => to.is_empty(),
        };
        let behind: Positions = has.iter().filter(is_there).map(|(name, at)| (name.clone(), at.clone())).collect();
        let counts = self.count(view, to, &behind).await;
        let places = behind.into_iter().filter_map(|(partition, has)| {
            let records = counts.get(&partition).copied();
            let from = to.get(&partition).cloned().or(source.map(Source::beginning))?;
            (records != Some(0)).then_some(Doubled { partition, from, to: has, records })
        });
        let places: Vec<Doubled> = places.collect();
        if places.is_empty() && uncounted == 0 { Ok(()) } else { Err(Rejected::SinkAhead { places, uncounted }) }
    }

    /// The records between the current position and the one to continue from. Where that is no later, there are some only in another
    /// file, or one that was overwritten: the source knows.
    async fn passed(
        &self,
        view: &BranchView,
        reached: &Positions,
        to: &Positions,
        source: Option<&dyn Source>,
    ) -> Vec<Lost> {
        let Some(source) = source else { return Vec::new() };
        let beginning = source.beginning();
        let moved = |(partition, to): &(&Partition, &Position)| reached.get(*partition) != Some(*to);
        let chosen: Positions = to
            .iter()
            .filter(moved)
            .filter(|(_, to)| source.order(to, &beginning) != Some(Ordering::Equal))
            .map(|(partition, to)| (partition.clone(), to.clone()))
            .collect();
        let counts = self.count(view, reached, &chosen).await;
        let lost = chosen.into_iter().filter_map(|(partition, to)| {
            let before = reached.get(&partition).filter(|from| source.is_same(from, &to));
            let from = before.filter(|from| is_after(Some(source), &to, from)).cloned();
            // What can't be counted is taken for passed over only where it goes on.
            let is_back = before.is_some() && from.is_none();
            let records = counts.get(&partition).copied().or(is_back.then_some(0));
            let from = from.unwrap_or_else(|| beginning.clone());
            (records != Some(0)).then_some(Lost { partition, from, to, records: records.unwrap_or(0) })
        });
        lost.collect()
    }
}

/// Leaves out what the target has of the records that are passed over, although the journal did not count it. Returns how many
/// more it has.
fn arrived(passed: &mut Vec<Lost>, mut uncounted: u64) -> u64 {
    passed.retain_mut(|lost| {
        let there = lost.records.min(uncounted);
        lost.records -= there;
        uncounted -= there;
        there == 0 || lost.records > 0
    });
    uncounted
}

/// Whether the first position of a partition is after the second one, as far as the source can tell.
fn is_after(source: Option<&dyn Source>, one: &Position, other: &Position) -> bool {
    source.is_some_and(|source| source.is_same(one, other) && source.order(one, other) == Some(Ordering::Greater))
}

/// Refuses to continue from a sink position that means nothing in this journal.
fn nowhere_here(inbox: &Inbox, at: &Position, since: &str) -> Rejected {
    let (first, received, new) = (inbox.first(), inbox.received, inbox.first_in(since));
    let message = format!(
        "the sink's position {at} does not belong to this inbox (pending: {first} to {received}): the journal never had the records that the sink counts there"
    );
    let problem = Problem::new("to", "journal-behind", message).fix(format!(
        "push those again in their old order with ?replay=true, and start the pipeline; or choose \"journal\" with force to deliver all pending records, \"end\" for none of them, or a position: records pushed since this node started begin at {new}"
    ));
    Rejected::Invalid { problems: vec![problem] }
}

/// Refuses to skip acknowledged pushed records that are not delivered yet.
fn still_pending(view: &BranchView, settlement: &Settlement, positions: &Positions) -> Result<(), Rejected> {
    let discarded = view.inbox.discarded(&view.branch.progress, settlement.lanes(), positions);
    // Those that the target had and has lost are not pending.
    let Some(discarded) = discarded.filter(|discarded| discarded.records > 0) else { return Ok(()) };
    let message = format!(
        "{} acknowledged pushed record(s) are not delivered yet ({} to {}), and would be skipped",
        discarded.records, discarded.from, discarded.to
    );
    let problem = Problem::new("to", "undelivered", message).fix(
        "choose \"beginning\" or \"journal\" to deliver them, or force this one to lose them: batches that are skipped \
            as a whole may be pushed again; push the rest of others under another batchId",
    );
    Err(Rejected::Invalid { problems: vec![problem] })
}
