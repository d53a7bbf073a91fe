//! Commands, one per file.
