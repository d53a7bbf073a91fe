//! A real MariaDB, at 127.0.0.1:3306.
mod changes;
mod database;
mod looks;
mod order;
mod refused;
mod rows;
mod secured;
mod types;
