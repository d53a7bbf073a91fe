//! The position of each lane: a transactional sink's own token overrules the journal.
use crate::report::{Report, TokenFinding};
use dataflow_api_types::Claims;
use dataflow_core::{
    id::Epoch,
    pipeline::event::LaneProgress,
    token::{Fence, Token},
};
use dataflow_sdk::{Context, Error, catalog::BuiltSink, sink::DeliveryMode};

/// Returns the position of each lane. A token that lags its lane, or is missing, is a finding.
pub(crate) async fn reached(
    claims: &Claims,
    built: &BuiltSink,
    cx: &Context,
    report: &mut Report,
) -> Result<Vec<LaneProgress>, Error> {
    let mut reached = claims.by_lane.clone();
    if built.delivery != DeliveryMode::Transactional {
        return Ok(reached);
    }
    for lane in &mut reached {
        let fence = Fence {
            branch: cx.branch.clone(),
            incarnation: claims.incarnation.clone(),
            generation: claims.generation,
            lane: lane.lane,
            epoch: Epoch(0),
            opening: 0,
        };
        let token = built.sink.token(cx, &fence).await?;
        let finding = |problem: &str| TokenFinding {
            lane: lane.lane,
            journal: lane.sequence,
            sink: token.as_ref().map(|token| token.sequence),
            problem: problem.into(),
        };
        match &token {
            None if lane.sequence == 0 => {}
            None => report.tokens.push(finding("the sink has no token of this lane")),
            Some(token) if token.sequence < lane.sequence => {
                report.tokens.push(finding("the sink's token lags the journal"));
            }
            Some(token) if token.sequence == lane.sequence && *token.positions != lane.positions => {
                report.tokens.push(finding(
                    "the sink's token and the journal are at the same commit, but at different positions",
                ));
            }
            Some(Token { sequence, positions, counters, .. }) => {
                lane.sequence = *sequence;
                lane.positions.clone_from(positions);
                lane.counters = *counters;
            }
        }
    }
    Ok(reached)
}
