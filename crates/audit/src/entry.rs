//! What a caller of the log knows about one operation; the log adds number, times and instance.
//!
//! Invariant: no field holds free text or bytes. Every text was read by a parser with a strict
//! alphabet and a limit, and neither a secret nor a value can be put into any field: values appear
//! as keyed hashes and sizes.

use std::net::SocketAddr;

use claviger_kms::{
    CampaignId, ErrorCode, KeyId, KeyPath, KeyVersion, Principal, RequestId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Digest, Event, ForeignId, KeyedHash, RuleWord};

/// One thing to record. Made by [`Entry::new`], [`Entry::intent`] or [`Entry::outcome`]; then set
/// the fields that are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The request it belongs to; an intent and its outcome share it.
    pub request: RequestId,
    /// The id another system gave the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_request: Option<ForeignId>,
    /// Who asked; none when nobody could be identified, or the service acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// How the principal was proven.
    pub proof: Proof,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// What was asked for, or happened.
    pub event: Event,
    /// Whether this record stands alone or is one of two.
    pub phase: Phase,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyPath>,
    /// The key's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The key version used or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<KeyVersion>,
    /// SHA-256 of the policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<Digest>,
    /// The rule that decided; none when no rule said anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleWord>,
    /// What was decided.
    pub decision: AuditDecision,
    /// What came of it.
    pub result: AuditResult,
    /// Keyed hash of the encryption context's canonical bytes, label `context`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_hash: Option<KeyedHash>,
    /// Keyed hash of the envelope or ciphertext, label `envelope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_hash: Option<KeyedHash>,
    /// Size of the request's value in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// Size of the reply's value in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_bytes: Option<u64>,
    /// Time from the request's arrival to this entry, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// The campaign opened or ended, or named by the request; one that is not open on this key lets a
    /// request fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
    /// The key record this state change wrote, or saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<StateChange>,
    /// The key store's generation when the service started or a restore was accepted: from then on an
    /// older store is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_generation: Option<u64>,
    /// When it happened, if the entry was written later than that: an emergency change made while
    /// the log could not be written, replayed from the key record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// May use the room that is kept for emergencies (quarantine, disable).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
}

impl Entry {
    /// An entry that stands alone: a data operation, a refusal, an event of the service.
    #[must_use]
    pub fn new(
        request: RequestId,
        event: impl Into<Event>,
        decision: AuditDecision,
        result: AuditResult,
    ) -> Self {
        Self {
            request,
            foreign_request: None,
            principal: None,
            proof: Proof::None,
            peer: None,
            event: event.into(),
            phase: Phase::Only,
            key: None,
            key_id: None,
            key_version: None,
            policy_hash: None,
            rule: None,
            decision,
            result,
            context_hash: None,
            envelope_hash: None,
            request_bytes: None,
            reply_bytes: None,
            latency_us: None,
            campaign: None,
            change: None,
            store_generation: None,
            occurred_at: None,
            emergency: false,
        }
    }

    /// The intent of a state change, recorded before it is made.
    #[must_use]
    pub fn intent(request: RequestId, event: impl Into<Event>, decision: AuditDecision) -> Self {
        let entry = Self::new(request, event, decision, AuditResult::Pending);
        Self { phase: Phase::Intent, ..entry }
    }

    /// The highest generation of the key store that this entry names; 0 for none.
    #[must_use]
    pub fn highest_generation(&self) -> u64 {
        let change = self.change.map_or(0, |change| change.generation);
        change.max(self.store_generation.unwrap_or(0))
    }

    /// The outcome of the state change whose intent this is: the same facts with a result.
    #[must_use]
    pub fn outcome(&self, result: AuditResult) -> Self {
        Self { phase: Phase::Outcome, result, ..self.clone() }
    }
}

/// How the principal was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Proof {
    /// The kernel's word about the process at the other end of a Unix socket.
    PeerCredentials,
    /// A client certificate.
    ClientCertificate,
    /// A bearer token.
    BearerToken,
    /// The caller is linked into the same process.
    InProcess,
    /// The service acts by itself.
    Internal,
    /// Not at all.
    None,
}

/// Where a request came from. In JSON `{"pid":1,"uid":2,"gid":3}` or `{"address":"192.0.2.1:5000"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Peer {
    /// The process at the other end of a Unix socket.
    Process {
        /// Process id.
        pid: u32,
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// The other end of a TCP connection.
    Network {
        /// IP address and port.
        address: SocketAddr,
    },
}

/// Which part of an operation a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// The whole operation: data operations, refusals, service events.
    Only,
    /// A state change is about to be made.
    Intent,
    /// The state change was made, or failed.
    Outcome,
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditDecision {
    /// The policy allowed it.
    Allowed,
    /// The policy denied it.
    Denied,
    /// Nobody asked: the service itself, or the ceremony.
    Internal,
}

/// What came of it. In JSON `"done"`, `"pending"` or `{"failed":"denied"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditResult {
    /// It was done.
    Done,
    /// It was not done, and the caller gets this code.
    Failed(ErrorCode),
    /// It is about to be done; the outcome follows.
    Pending,
}

/// The key record that a state change wrote, so that an older one is noticed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateChange {
    /// The key.
    pub key_id: KeyId,
    /// The record's epoch.
    pub epoch: u64,
    /// SHA-256 of the record.
    pub record_hash: Digest,
    /// The store's generation after the change.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use claviger_kms::{Action, SecretBytes, SecretKey};

    use super::*;

    #[test]
    fn an_outcome_shares_everything_with_its_intent_but_phase_and_result() {
        let request = RequestId::from_bytes([7; 16]);
        let mut intent = Entry::intent(request, Action::Rotate, AuditDecision::Allowed);
        intent.key = Some("eu/users".parse().unwrap());
        assert_eq!((intent.phase, intent.result), (Phase::Intent, AuditResult::Pending));
        let outcome = intent.outcome(AuditResult::Failed(ErrorCode::Conflict));
        assert_eq!((outcome.phase, outcome.key.clone()), (Phase::Outcome, intent.key));
        assert_eq!(outcome.request, request);
    }

    #[test]
    fn a_peer_is_numbers_only() {
        let process = serde_json::to_string(&Peer::Process { pid: 1, uid: 2, gid: 3 }).unwrap();
        assert_eq!(process, r#"{"pid":1,"uid":2,"gid":3}"#);
        let address = "[2001:db8::1]:5000".parse().unwrap();
        let network = serde_json::to_string(&Peer::Network { address }).unwrap();
        assert_eq!(network, r#"{"address":"[2001:db8::1]:5000"}"#);
        assert!(serde_json::from_str::<Peer>(r#"{"address":"host.example:1"}"#).is_err());
    }

    /// Does not compile when a secret can be turned into any text or hash of a record, or be
    /// serialised: then `Marker` fits twice.
    #[test]
    fn no_secret_can_become_a_field() {
        trait Marker<A> {
            fn holds() {}
        }
        struct Turns;
        struct Serialises;
        impl<T> Marker<()> for T {}
        impl<T: Into<ForeignId>> Marker<(Turns, ForeignId)> for T {}
        impl<T: Into<RuleWord>> Marker<(Turns, RuleWord)> for T {}
        impl<T: Into<Digest>> Marker<(Turns, Digest)> for T {}
        impl<T: Into<KeyedHash>> Marker<(Turns, KeyedHash)> for T {}
        impl<T: Into<String>> Marker<(Turns, String)> for T {}
        impl<T: Serialize> Marker<Serialises> for T {}
        <SecretKey as Marker<_>>::holds();
        <SecretBytes as Marker<_>>::holds();
    }
}
