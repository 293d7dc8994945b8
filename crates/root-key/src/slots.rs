//! Which slot holds the token that the configuration means.
//!
//! Invariant: exactly one token matches, or the error lists what was found and says what to change. A
//! token whose description cannot be read (a clock string that does not parse, on openCryptoki) can be
//! selected by its slot.

use std::fmt;

use cryptoki::{
    context::Pkcs11,
    slot::{Slot, TokenInfo},
};

use crate::{
    TokenError,
    config::{Selector, misconfigured},
    fault::unreachable,
};

/// A token that is there.
#[derive(Debug)]
pub(crate) struct FoundToken {
    pub(crate) slot: Slot,
    /// None where it cannot be read.
    pub(crate) info: Option<TokenInfo>,
}

/// The one token that matches.
///
/// # Errors
/// [`TokenError::Misconfigured`] when none or several match; [`TokenError::Unreachable`] when the slots
/// cannot be listed.
pub(crate) fn select(module: &Pkcs11, selector: &Selector) -> Result<FoundToken, TokenError> {
    let all = list(module)?;
    let seen = all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut matching = all.into_iter().filter(|token| token.matches(selector));
    match (matching.next(), matching.count()) {
        (Some(token), 0) => Ok(token),
        (Some(_), more) => misconfigured(format!(
            "{} tokens match {selector}: {seen}; select one by token.serial",
            more + 1
        )),
        (None, _) if seen.is_empty() => misconfigured(format!(
            "no token matches {selector}: the module sees none; plug in or start the device, or make a token (SoftHSM: is SOFTHSM2_CONF set for this process?)"
        )),
        (None, _) => misconfigured(format!(
            "no token matches {selector}: the module sees {seen}; correct token.serial, token.label or token.slot"
        )),
    }
}

/// All tokens the module shows, uninitialised ones left out.
fn list(module: &Pkcs11) -> Result<Vec<FoundToken>, TokenError> {
    let slots = module.get_slots_with_token().map_err(|error| unreachable(&error))?;
    let tokens =
        slots.into_iter().map(|slot| FoundToken { slot, info: module.get_token_info(slot).ok() });
    let initialized =
        |token: &FoundToken| token.info.as_ref().is_none_or(TokenInfo::token_initialized);
    Ok(tokens.filter(initialized).collect())
}

impl FoundToken {
    fn matches(&self, selector: &Selector) -> bool {
        let text =
            |wanted: &Option<String>, read: fn(&TokenInfo) -> &str| match (wanted, &self.info) {
                (None, _) => true,
                (Some(wanted), Some(info)) => read(info) == wanted,
                (Some(_), None) => false,
            };
        text(&selector.serial, TokenInfo::serial_number)
            && text(&selector.label, TokenInfo::label)
            && text(&selector.manufacturer, TokenInfo::manufacturer_id)
            && text(&selector.model, TokenInfo::model)
            && selector.slot.is_none_or(|slot| slot == self.slot.id())
    }

    /// What the token says of itself, for the report.
    pub(crate) fn description(&self) -> Option<String> {
        self.info.as_ref().map(|info| {
            format!(
                "{}; manufacturer {}, model {}, firmware {}",
                self,
                info.manufacturer_id(),
                info.model(),
                info.firmware_version()
            )
        })
    }
}

impl fmt::Display for FoundToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot.id();
        match &self.info {
            Some(info) => {
                let (label, serial) = (info.label(), info.serial_number());
                write!(f, "label {label:?}, serial {serial:?}, slot {slot}")
            }
            None => write!(f, "slot {slot}, whose token cannot be read"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("label", &self.label),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
        ];
        let mut shown: Vec<String> = texts
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value:?}")))
            .collect();
        shown.extend(self.slot.map(|slot| format!("slot {slot}")));
        f.write_str(&shown.join(", "))
    }
}
