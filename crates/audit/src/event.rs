//! What a record is about: an action on a key, or an event of the service itself.
//!
//! Invariant: the words of both are different, so one field names either without a prefix.

use std::{fmt, str::FromStr};

use claviger_kms::{Action, KmsError};
use serde::{Deserialize, Serialize};

/// What happened, or was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Event {
    /// A principal, or the service by itself, uses or changes a key.
    Action(Action),
    /// Something happened to the service.
    Service(ServiceEvent),
}

/// Something that happened to the service as a whole, or to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// The service started.
    Started,
    /// The service is about to stop.
    Stopping,
    /// The configuration and the files it names were read again, and are in force.
    ConfigurationLoaded,
    /// A reload was refused, for another reason than the policy; all stays as it was.
    ConfigurationRefused,
    /// A policy was loaded; the record's policy hash is the new one.
    PolicyLoaded,
    /// A reload was refused for its policy; all stays as it was.
    PolicyRefused,
    /// The root key was made in the token.
    RootInitialised,
    /// A root key that existed was taken over.
    RootAdopted,
    /// The root key was checked against the token.
    RootVerified,
    /// A new root key became the primary one.
    RootRotated,
    /// Former root keys that no key is wrapped by any more were destroyed.
    RootPruned,
    /// Two persons accepted that the store is older than the log.
    RestoreAccepted,
    /// A campaign is opened on a key.
    CampaignOpened,
    /// A campaign is ended: complete, partial or cancelled.
    CampaignEnded,
}

impl ServiceEvent {
    /// Every event.
    pub const ALL: [Self; 14] = [
        Self::Started,
        Self::Stopping,
        Self::ConfigurationLoaded,
        Self::ConfigurationRefused,
        Self::PolicyLoaded,
        Self::PolicyRefused,
        Self::RootInitialised,
        Self::RootAdopted,
        Self::RootVerified,
        Self::RootRotated,
        Self::RootPruned,
        Self::RestoreAccepted,
        Self::CampaignOpened,
        Self::CampaignEnded,
    ];

    /// The event's word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service-started",
            Self::Stopping => "service-stopping",
            Self::ConfigurationLoaded => "configuration-loaded",
            Self::ConfigurationRefused => "configuration-refused",
            Self::PolicyLoaded => "policy-loaded",
            Self::PolicyRefused => "policy-refused",
            Self::RootInitialised => "root-initialised",
            Self::RootAdopted => "root-adopted",
            Self::RootVerified => "root-verified",
            Self::RootRotated => "root-rotated",
            Self::RootPruned => "root-pruned",
            Self::RestoreAccepted => "restore-accepted",
            Self::CampaignOpened => "campaign-opened",
            Self::CampaignEnded => "campaign-ended",
        }
    }
}

impl Event {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action(action) => action.as_str(),
            Self::Service(event) => event.as_str(),
        }
    }
}

impl From<Action> for Event {
    fn from(action: Action) -> Self {
        Self::Action(action)
    }
}

impl From<ServiceEvent> for Event {
    fn from(event: ServiceEvent) -> Self {
        Self::Service(event)
    }
}

impl FromStr for Event {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let service = ServiceEvent::ALL.into_iter().find(|event| event.as_str() == text);
        service.map_or_else(|| text.parse().map(Self::Action), |event| Ok(Self::Service(event)))
    }
}

impl TryFrom<String> for Event {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<Event> for String {
    fn from(event: Event) -> Self {
        event.as_str().to_owned()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_one_event() {
        let actions = Action::ALL.map(Event::Action);
        for event in actions.into_iter().chain(ServiceEvent::ALL.map(Event::Service)) {
            assert_eq!(event.as_str().parse(), Ok(event));
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(json, format!("\"{event}\""));
        }
        assert!("service".parse::<Event>().is_err());
    }
}
