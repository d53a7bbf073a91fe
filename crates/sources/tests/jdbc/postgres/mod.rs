//! A real PostgreSQL, at 127.0.0.1:5432.
mod changes;
mod database;
mod looks;
mod order;
mod refused;
mod rows;
