//! DataFlow.
