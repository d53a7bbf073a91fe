//! Against a real MinIO.
