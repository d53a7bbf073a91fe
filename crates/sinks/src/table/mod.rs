//! Common code of the table sinks: the table options of a spec, the match with the existing table, and the storage of
//! tokens beside it. Contains no connection and no SQL specific to one database.
pub mod audit;
pub mod care;
pub mod columns;
pub mod ddl;
pub mod decimal;
pub mod drops;
pub mod growth;
pub mod kept;
pub mod keys;
pub mod layout;
pub mod naming;
pub mod options;
pub mod order;
pub mod pages;
pub mod remembered;
pub mod shown;
pub mod time;
pub mod tokens;
pub mod written;

pub use care::Care;
pub use columns::{Columns, Names};
pub use layout::{Found, FoundColumn, Layout, Slot};
pub use naming::Naming;
pub use options::{Mode, Options, Unknown};
pub use order::{Fields, Order, Said};
pub use pages::Pages;
pub use remembered::Remembered;
pub use written::{Counts, Written};
