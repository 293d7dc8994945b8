//! End-to-end tests and vectors.
