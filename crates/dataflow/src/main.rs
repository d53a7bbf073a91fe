//! The DataFlow binary.
fn main() {}
