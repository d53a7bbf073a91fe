//! The sources of a spec. So far it has one, without a name.
use super::{Component, PipelineSpec};
use crate::id::SourceName;

impl PipelineSpec {
    /// The sources and their names, in the order of the spec; none is that of a source which is the only one.
    pub fn sources(&self) -> impl Iterator<Item = (Option<&SourceName>, &Component)> {
        std::iter::once((None, &self.source))
    }

    /// The source of this name; none: it has no such source.
    pub fn of_source(&self, name: Option<&SourceName>) -> Option<&Component> {
        self.sources().find(|(own, _)| *own == name).map(|(_, source)| source)
    }
}
