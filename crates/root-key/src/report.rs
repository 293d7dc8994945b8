//! What a token can do, tried, not listed.

use serde::{Deserialize, Serialize};

/// The capability report of one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReport {
    /// Path of the module.
    pub module: String,
    /// What the module says of itself: manufacturer, description, version.
    pub library: String,
    /// What the token says of itself, where it can be read.
    pub token: Option<String>,
    /// Each thing tried and what came of it.
    pub trials: Vec<Trial>,
}

/// One thing tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tried.
    pub what: String,
    /// Whether it came out as Claviger needs it.
    pub ok: bool,
    /// What came of it.
    pub outcome: String,
}
