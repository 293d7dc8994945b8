//! Whether the service can serve: token, store and audit log asked, at most once a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::Operations;

/// Whether the service can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Readiness {
    /// Whether the token answers.
    pub token: Part,
    /// Whether the key store answers.
    pub store: Part,
    /// Whether audit records can be made durable.
    pub audit: Part,
}

/// State of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// It answers.
    Ready,
    /// It does not; the log says why.
    NotReady,
}

impl Readiness {
    /// Whether every part is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        [&self.token, &self.store, &self.audit].into_iter().all(|part| *part == Part::Ready)
    }
}

#[derive(Debug, Default)]
pub(crate) struct ReadinessCache(tokio::sync::Mutex<Option<(Instant, Readiness)>>);

impl Operations {
    /// Asks every part, or returns the answer of less than a second ago. The question is asked to its
    /// end and its answer kept even if the caller goes away, so that callers cannot flood the token.
    pub async fn readiness(self: &Arc<Self>) -> Readiness {
        let operations = Arc::clone(self);
        let asked = tokio::spawn(async move { operations.ask_every_part().await });
        asked.await.unwrap_or(Readiness {
            token: Part::NotReady,
            store: Part::NotReady,
            audit: Part::NotReady,
        })
    }

    /// Returns when the store and the audit log have answered, be it with an error; not while one of them hangs.
    /// The token is not asked: keys in memory serve without it.
    pub async fn until_parts_answer(&self) {
        // An error is an answer, and what it says is the readiness' affair.
        drop(self.hierarchy.check_store().await);
        while !self.audit.answers().await {
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
        }
    }

    async fn ask_every_part(&self) -> Readiness {
        let mut cached = self.readiness.0.lock().await;
        if let Some((at, readiness)) = &*cached
            && at.elapsed() < MAX_AGE
        {
            return readiness.clone();
        }
        let (token, store) = self.hierarchy.check().await;
        let part = |name: &str, trouble: Option<String>| match trouble {
            None => Part::Ready,
            Some(reason) => {
                tracing::warn!(part = name, reason, "not ready");
                Part::NotReady
            }
        };
        let readiness = Readiness {
            token: part("token", token.err().map(|error| error.to_string())),
            store: part("store", store.err().map(|error| error.to_string())),
            audit: part("audit", self.audit.health().failing.map(|failing| failing.reason)),
        };
        *cached = Some((Instant::now(), readiness.clone()));
        readiness
    }
}

const MAX_AGE: Duration = Duration::from_secs(1);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(100);
