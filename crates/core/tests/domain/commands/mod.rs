//! Given/when/then, a file per command.
mod create;
mod delete;
mod ingest;
mod join;
mod remembered;
mod reports;
mod reset_checkpoint;
mod start;
mod stop;
mod update;
mod update_running;
