//! The indices that a lane writes to. Each is looked up before it is first written to, and created if it is missing; from then
//! on each bulk request tells which index it has reached by that name: servers make one anew that was deleted.
use super::{
    CreateIndex,
    client::Client,
    target::{self, Found, Index},
};
use dataflow_sdk::{Error, batch::Warning};
use std::collections::HashMap;

/// What a user may do where an index lacks what was written to it.
pub(super) const CHOICES: &str = "choose where to continue: with the checkpoint set to \"beginning\" everything is written again, with \"journal\" only what \
     comes from now on; or restore it from a snapshot, and set the checkpoint to a position before that";

/// Those that are known, by name: no more than a cluster has.
#[derive(Debug, Default)]
pub(super) struct Indices {
    known: HashMap<String, Index>,
    warnings: Vec<Warning>,
}

impl Indices {
    /// That of a spec which names one.
    pub(super) fn of(name: &str, mut index: Index) -> Self {
        index.warnings.clear();
        Self { known: [(name.into(), index)].into(), warnings: Vec::new() }
    }

    /// Has a name looked up that comes from a record. Returns why nothing can be written there.
    pub(super) async fn learn(
        &mut self,
        client: &Client,
        name: &str,
        how: Option<&CreateIndex>,
    ) -> Result<Option<String>, Error> {
        if self.known.contains_key(name) {
            return Ok(None);
        }
        match target::find_or_create(client, name, how).await? {
            Found::Index(mut index) => {
                self.warnings.append(&mut index.warnings);
                self.known.insert(name.into(), index);
                Ok(None)
            }
            Found::Unfit(why) => Ok(Some(why)),
            Found::Nothing => Ok(Some(format!("there is no index {name}"))),
        }
    }

    /// A request has reached the index of this id by that name. `only`: it is the one that the spec names.
    pub(super) fn reached(&mut self, client: &Client, name: &str, id: &str, only: bool) -> Result<(), Error> {
        let Some(index) = self.known.get_mut(name) else { return Ok(()) };
        let before = match index.id.replace(id.into()) {
            Some(before) if before != id => before,
            _ => return Ok(()),
        };
        let message = match index.is_alias {
            true => format!(
                "alias {name} was pointed to another index while the pipeline wrote to it: what was written before is in the one of \
                 id {before}"
            ),
            false if only => return Err(replaced(client, name, &before, id)),
            false => format!(
                "index {name} was deleted while the pipeline ran, and what was written to it: the server has made it anew for later \
                 records, without `createIndex`"
            ),
        };
        self.warnings.push(Warning { code: "index-replaced", subject: name.into(), message, records: 0 });
        Ok(())
    }

    /// What is to be said of them since this was asked last.
    pub(super) fn warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

/// An index is not the one that a pipeline has written to.
pub(super) fn replaced(client: &Client, name: &str, before: &str, now: &str) -> Error {
    let message = format!(
        "index {name} at {} was created anew, and lacks the documents that this pipeline has written (its id was {before}, and is {now})",
        client.name()
    );
    let fix =
        format!("if the server has made it for a later document, with a mapping of its own, delete it; then {CHOICES}");
    Error::contradicts("index-replaced", message, fix)
}
