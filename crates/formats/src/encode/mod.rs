//! Writing rows as JSON documents.
