//! One batch: looked at, moved, written where the old bytes stand, counted.
//!
//! Invariants: every item is counted once; what the service gives is looked at before it is written, and never
//! written if it is older than what stands there; the service's refusal of one envelope leaves that one alone,
//! its refusal of the caller stops the run.

use std::sync::Mutex;

use claviger_envelope::{EnvelopeError, Envelopes, Header};
use claviger_kms::{
    CampaignCounts, CampaignMode, EncryptionContext, KeyId, KeyPath, KeyVersion, KmsError,
};
use tokio_util::sync::CancellationToken;

use super::{
    Destination,
    look::{keys_of, look},
    opens_content,
};
use crate::{
    Batch, Change, Content, Findings, Item, New, Patience, Replaced, Source, SourceError,
    decide::{self, Found, Goal, Step},
    pace::Pace,
};

pub(super) struct Mover {
    pub(super) envelopes: Envelopes,
    pub(super) key: KeyPath,
    pub(super) mode: CampaignMode,
    pub(super) destination: Option<Destination>,
    pub(super) patience: Patience,
    pub(super) pace: Pace,
    pub(super) halt: CancellationToken,
}

/// Why a batch was not finished.
#[derive(Debug)]
pub(super) enum Stuck {
    Service(KmsError),
    Source(SourceError),
    Halted,
}

impl From<SourceError> for Stuck {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// What one batch came to.
#[derive(Default)]
struct Tally {
    counts: CampaignCounts,
    findings: Findings,
}

/// An envelope on its way.
struct Moving {
    item: Item,
    header: Header,
    keys: Vec<(KeyId, KeyVersion)>,
    context: EncryptionContext,
}

impl Mover {
    pub(super) async fn work(
        &self,
        source: &dyn Source,
        goal: &Goal,
        batch: Batch,
    ) -> Result<(CampaignCounts, Findings), Stuck> {
        let mut tally = Tally::default();
        let moving: Vec<_> =
            batch.items.into_iter().filter_map(|item| tally.sort(item, goal)).collect();
        if !self.pace.turn(moving.len(), &self.halt).await {
            return Err(Stuck::Halted);
        }
        let moved = self.headers(&moving).await?;
        let mut changes = Vec::with_capacity(moving.len());
        for (envelope, moved) in moving.into_iter().zip(moved) {
            let checked = moved.and_then(|header| check(&envelope, header, goal));
            let new = match checked {
                Ok(header) => self.content(&envelope, header).await,
                Err(error) => Err(error),
            };
            match new {
                Ok(new) => changes.push(Change { item: envelope.item, new }),
                Err(error) if stops(&error) => return Err(Stuck::Service(kms_error(error))),
                Err(error) => tally.refuse(&envelope.item.locator, error.to_string()),
            }
        }
        self.write(source, changes, &mut tally).await?;
        Ok((tally.counts, tally.findings))
    }

    /// The new header of each, repeated while the service is out of reach.
    async fn headers(
        &self,
        moving: &[Moving],
    ) -> Result<Vec<Result<Header, EnvelopeError>>, Stuck> {
        if moving.is_empty() {
            return Ok(Vec::new());
        }
        let ask = || async {
            let answers = match &self.destination {
                None => self.rewrapped(moving).await,
                Some(destination) => self.transferred(moving, destination).await,
            };
            // One that is out of reach is out of reach for all.
            let away = |answer: &Result<Header, EnvelopeError>| match answer {
                Err(EnvelopeError::Kms { source }) if source.is_retryable() => Some(source.clone()),
                _ => None,
            };
            match answers.iter().find_map(away) {
                Some(error) => Err(error),
                None => Ok(answers),
            }
        };
        self.patience.try_until(&self.halt, ask).await.map_err(Stuck::Service)
    }

    async fn rewrapped(&self, moving: &[Moving]) -> Vec<Result<Header, EnvelopeError>> {
        let items: Vec<_> = moving.iter().map(|one| (&one.context, &one.header)).collect();
        let answers = self.envelopes.rewrap_headers(&items).await;
        answers.into_iter().map(|answer| answer.map(|moved| moved.header)).collect()
    }

    async fn transferred(
        &self,
        moving: &[Moving],
        to: &Destination,
    ) -> Vec<Result<Header, EnvelopeError>> {
        let mut answers = Vec::with_capacity(moving.len());
        for Moving { context, header, .. } in moving {
            let moved =
                self.envelopes.transfer_header(context, header, to.provider, &to.service, &to.key);
            answers.push(moved.await);
        }
        answers
    }

    /// What is to stand at the place.
    async fn content(&self, envelope: &Moving, header: Header) -> Result<New, EnvelopeError> {
        let reencrypts = opens_content(self.mode) && self.destination.is_none();
        match &envelope.item.content {
            Content::Bytes(old) => {
                let payload = old.get(envelope.header.encoded_length()..).unwrap_or_default();
                let moved = [&header.to_bytes(), payload].concat();
                if !reencrypts {
                    return Ok(New::Bytes(moved));
                }
                let seal = || self.envelopes.reencrypt(&self.key, &envelope.context, &moved);
                self.repeated(seal).await.map(New::Bytes)
            }
            _ if !reencrypts => Ok(New::Header(Box::new(header))),
            _ => {
                let begin = || self.envelopes.begin_reseal(&self.key, &envelope.context, &header);
                self.repeated(begin)
                    .await
                    .map(|resealer| New::Reseal(Mutex::new(Some(Box::new(resealer)))))
            }
        }
    }

    /// Repeats what the key service may do later.
    async fn repeated<T, F: Future<Output = Result<T, EnvelopeError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, EnvelopeError> {
        let attempt = || async {
            match attempt().await {
                Err(EnvelopeError::Kms { source }) if source.is_retryable() => Err(source),
                other => Ok(other),
            }
        };
        self.patience.try_until(&self.halt, attempt).await.map_err(EnvelopeError::from)?
    }

    async fn write(
        &self,
        source: &dyn Source,
        changes: Vec<Change>,
        tally: &mut Tally,
    ) -> Result<(), Stuck> {
        if changes.is_empty() {
            return Ok(());
        }
        let facts: Vec<_> =
            changes.iter().map(|change| (change.item.locator.clone(), size(&change.new))).collect();
        let replace = || source.replace(&changes);
        let outcomes = self.patience.try_until(&self.halt, replace).await?;
        for ((locator, bytes), outcome) in facts.iter().zip(outcomes) {
            decide::count_replaced(&mut tally.counts, outcome);
            match outcome {
                Replaced::Replaced => {
                    tally.counts.bytes = tally.counts.bytes.saturating_add(*bytes)
                }
                Replaced::Conflict => {
                    tally.findings.add("conflict", locator, "changed or locked meanwhile");
                }
                Replaced::Refused => {
                    tally.findings.add("refused", locator, "it could not be written; see the log");
                }
                Replaced::Gone => {}
            }
        }
        Ok(())
    }
}

impl Tally {
    /// Counts what stays, and gives back what is to move.
    fn sort(&mut self, item: Item, goal: &Goal) -> Option<Moving> {
        let (found, header, why) = look(&item.content);
        let step = decide::step(&found, goal);
        let keys = match found {
            Found::Envelope(keys) => keys,
            Found::Empty | Found::Malformed => Vec::new(),
        };
        let refused = match (step, header, item.context.clone()) {
            (Step::Move, Some(header), Ok(context)) => {
                return Some(Moving { item, header, keys, context });
            }
            (Step::Move, _, Err(reason)) => Some(("refused", reason)),
            (Step::Malformed, ..) => Some(("malformed", why)),
            (Step::Foreign, ..) => Some(("foreign", foreign(&keys))),
            (Step::UnknownVersion, ..) => {
                Some(("refused", "it claims a version that the key does not have".to_owned()))
            }
            _ => None,
        };
        decide::count_left(&mut self.counts, step);
        if let Some((kind, reason)) = refused {
            self.findings.add(kind, &item.locator, reason);
        }
        None
    }

    fn refuse(&mut self, locator: &str, reason: String) {
        decide::count_left(&mut self.counts, Step::Move);
        self.findings.add("refused", locator, reason);
    }
}

/// The service's answer, if it is a step forward and all the way.
fn check(envelope: &Moving, header: Header, goal: &Goal) -> Result<Header, EnvelopeError> {
    let keys = keys_of(&header);
    let still = decide::step(&Found::Envelope(keys.clone()), goal) == Step::Move;
    if still || decide::goes_back(&envelope.keys, &keys) {
        let reason = "the service did not move it forward to the primary version; look at the key";
        return Err(EnvelopeError::from(KmsError::key_unusable(reason)));
    }
    Ok(header)
}

/// Whether an answer is about the caller or the campaign and not about one envelope.
fn stops(error: &EnvelopeError) -> bool {
    let EnvelopeError::Kms { source } = error else { return false };
    source.is_retryable()
        || matches!(
            source,
            KmsError::Denied | KmsError::Unsupported { .. } | KmsError::Conflict { .. }
        )
}

fn kms_error(error: EnvelopeError) -> KmsError {
    match error {
        EnvelopeError::Kms { source } => source,
        other => KmsError::invalid(other.to_string()),
    }
}

fn foreign(keys: &[(KeyId, KeyVersion)]) -> String {
    keys.first().map_or_else(
        || "of a key service that does not show its key".to_owned(),
        |(id, version)| format!("of key {id}, version {version}"),
    )
}

fn size(new: &New) -> u64 {
    match new {
        New::Bytes(bytes) => bytes.len() as u64,
        New::Header(_) => claviger_envelope::file::PAYLOAD_OFFSET as u64,
        New::Reseal(_) => 0,
    }
}
