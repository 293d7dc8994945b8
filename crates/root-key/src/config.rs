//! Which token, by which module, with the PIN from where.
//!
//! Invariants: a configuration never holds a PIN. A `pin` or a URI's `pin-value` that someone put there
//! is dropped while reading and refused with the remedy, so no `Debug`, error or file can show it.
//! Exactly one way to select the token and exactly one source of the PIN, or [`TokenConfig::check`] says
//! which field to change.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{TokenError, pin::PinSource, uri::TokenUri};

/// The `[token]` table of the configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenConfig {
    /// Absolute path of the vendor's PKCS#11 module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<PathBuf>,
    /// Selects the token by its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Selects the token by its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Selects the token by the number of its slot; for modules that cannot read the token's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
    /// Selects token, module and PIN source by an RFC 7512 URI in place of the fields above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<TokenUri>,
    /// File that holds the PIN and nothing else; readable by its owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// Name of the systemd credential (`LoadCredential=`) that holds the PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_credential: Option<String>,
    /// How long one question may take, in milliseconds: 50 to 600,000, default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Threads, each with a read/write session of its own: 1 to 64, default 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
    /// Lets one call at a time into the module; for modules that are not safe with threads.
    #[serde(default)]
    pub serialize_calls: bool,
    /// Accepts keys of which the module says that it did not make them (`CKA_LOCAL` = false), as NSS
    /// says of every key. A warning stays in each report.
    #[serde(default)]
    pub accept_not_local: bool,
    /// Only here to be refused; its value is dropped while reading.
    #[serde(default, skip_serializing)]
    pub pin: Option<IgnoredAny>,
}

impl TokenConfig {
    /// The token with this label, behind this module, with the PIN in a file.
    #[must_use]
    pub fn by_label(module: &Path, label: &str, pin_file: &Path) -> Self {
        Self {
            module: Some(module.to_owned()),
            label: Some(label.to_owned()),
            pin_file: Some(pin_file.to_owned()),
            ..Self::default()
        }
    }

    /// Whether the configuration leads to one module, one way to select the token and one PIN source.
    /// Neither the module nor the PIN is touched.
    ///
    /// # Errors
    /// [`TokenError::Misconfigured`] naming the field and the remedy.
    pub fn check(&self) -> Result<(), TokenError> {
        self.resolve().map(drop)
    }

    /// Whether the module is a file and the PIN can be read, beside [`check`](Self::check). The module
    /// is not loaded and nobody logs in.
    ///
    /// # Errors
    /// [`TokenError::Misconfigured`] naming the file and the remedy.
    pub fn check_files(&self) -> Result<(), TokenError> {
        let settings = self.resolve()?;
        if !settings.module.is_file() {
            return misconfigured(format!(
                "token.module = {:?} is not a file: install the vendor's module or correct the path",
                settings.module
            ));
        }
        settings.pin.read().map(drop)
    }

    pub(crate) fn resolve(&self) -> Result<Settings, TokenError> {
        if self.pin.is_some() {
            return misconfigured(
                "token.pin: a configuration must not hold a PIN; write it to a file of mode 0600 and name the file in `pin-file`",
            );
        }
        let uri = self.uri.as_ref().map(TokenUri::parse).transpose()?.unwrap_or_default();
        let module = one_of("module", [self.module.clone(), uri.module_path])?;
        let Some(module) = module else {
            return misconfigured(
                "token.module is missing: name the vendor's PKCS#11 module, e.g. module = \"/usr/lib/softhsm/libsofthsm2.so\"",
            );
        };
        if !module.is_absolute() {
            return misconfigured(format!(
                "token.module = {module:?} is not an absolute path; a module is never searched for"
            ));
        }
        let own = Selector {
            serial: self.serial.clone(),
            label: self.label.clone(),
            slot: self.slot,
            ..Selector::default()
        };
        let selector = match (own.criteria(), uri.selector.criteria()) {
            (1, 0) => own,
            (0, 1..) => uri.selector,
            (0, 0) => {
                return misconfigured(
                    "the token is not selected: give one of token.serial, token.label and token.slot",
                );
            }
            (_, 0) => {
                return misconfigured("give only one of token.serial, token.label and token.slot");
            }
            (_, _) => {
                return misconfigured(
                    "token.uri selects the token already: remove token.serial, token.label and token.slot",
                );
            }
        };
        let from_file = self.pin_file.clone().map(PinSource::File);
        let from_credential = self.pin_credential.clone().map(PinSource::Credential);
        let pin = one_of("PIN source", [from_file, from_credential, uri.pin_source])?;
        let Some(pin) = pin else {
            return misconfigured(
                "the PIN has no source: give one of token.pin-file, token.pin-credential and a token.uri with pin-source",
            );
        };
        pin.check()?;
        Ok(Settings {
            module,
            selector,
            pin,
            deadline: Duration::from_millis(within(
                "deadline-ms",
                self.deadline_ms,
                50,
                5000,
                600_000,
            )?),
            sessions: within("sessions", self.sessions, 1, 4, 64)?,
            serialize_calls: self.serialize_calls,
            accept_not_local: self.accept_not_local,
        })
    }
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) module: PathBuf,
    pub(crate) selector: Selector,
    pub(crate) pin: PinSource,
    pub(crate) deadline: Duration,
    pub(crate) sessions: usize,
    pub(crate) serialize_calls: bool,
    pub(crate) accept_not_local: bool,
}

/// What a token must match, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) serial: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) slot: Option<u64>,
}

impl Selector {
    /// How many criteria there are.
    pub(crate) fn criteria(&self) -> usize {
        let texts = [&self.serial, &self.label, &self.manufacturer, &self.model];
        texts.into_iter().flatten().count() + usize::from(self.slot.is_some())
    }
}

pub(crate) fn misconfigured<T>(reason: impl Into<String>) -> Result<T, TokenError> {
    Err(TokenError::Misconfigured { reason: reason.into() })
}

/// At most one of the given.
fn one_of<T, const N: usize>(what: &str, given: [Option<T>; N]) -> Result<Option<T>, TokenError> {
    let mut given = given.into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        return misconfigured(format!(
            "the token has more than one {what} (the URI counts): keep one"
        ));
    }
    Ok(first)
}

fn within<N: Copy + PartialOrd + std::fmt::Display>(
    field: &str,
    given: Option<N>,
    least: N,
    usual: N,
    most: N,
) -> Result<N, TokenError> {
    let value = given.unwrap_or(usual);
    if value < least || value > most {
        return misconfigured(format!(
            "token.{field} = {value} is out of range: {least} to {most}, {usual} if left out"
        ));
    }
    Ok(value)
}
