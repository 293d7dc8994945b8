//! PKCS#11 URIs (RFC 7512), as far as they select a token and name the file of its PIN.
//!
//! Invariant: a `pin-value` is cut out while the URI is read, before anything can show it, and then
//! refused. Refused too: attributes that name a key object (Claviger finds its keys by the ids of the
//! ceremony), PIN programs, unknown and repeated attributes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::{
    TokenError,
    config::{Selector, misconfigured},
    pin::PinSource,
};

/// The text of a PKCS#11 URI, without the value of any `pin-value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct TokenUri(String);

impl From<String> for TokenUri {
    fn from(mut text: String) -> Self {
        let kept = without_pin_value(&text);
        text.zeroize();
        Self(kept)
    }
}

impl From<&str> for TokenUri {
    fn from(text: &str) -> Self {
        Self(without_pin_value(text))
    }
}

impl From<TokenUri> for String {
    fn from(uri: TokenUri) -> Self {
        uri.0
    }
}

/// What a URI says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UriParts {
    pub(crate) selector: Selector,
    pub(crate) module_path: Option<PathBuf>,
    pub(crate) pin_source: Option<PinSource>,
}

impl TokenUri {
    /// Reads the URI.
    ///
    /// # Errors
    /// [`TokenError::Misconfigured`] naming the attribute and the remedy.
    pub(crate) fn parse(&self) -> Result<UriParts, TokenError> {
        let Some(rest) = self.0.strip_prefix("pkcs11:") else {
            return misconfigured("token.uri does not begin with `pkcs11:` (RFC 7512)");
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = UriParts::default();
        let mut seen = Vec::new();
        for attribute in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = name_and_value(attribute, &mut seen)?;
            parts.take_path_attribute(name, value)?;
        }
        for attribute in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = name_and_value(attribute, &mut seen)?;
            parts.take_query_attribute(name, value)?;
        }
        Ok(parts)
    }
}

impl UriParts {
    fn take_path_attribute(&mut self, name: &str, value: String) -> Result<(), TokenError> {
        let selector = &mut self.selector;
        match name {
            "token" => selector.label = Some(value),
            "serial" => selector.serial = Some(value),
            "manufacturer" => selector.manufacturer = Some(value),
            "model" => selector.model = Some(value),
            "slot-id" => match value.parse() {
                Ok(number) => selector.slot = Some(number),
                Err(_) => return misconfigured("token.uri: slot-id is not a number"),
            },
            "object" | "id" | "type" => {
                return misconfigured(format!(
                    "token.uri: leave `{name}` out; Claviger finds its keys by the ids recorded at the ceremony"
                ));
            }
            _ => {
                return misconfigured(format!(
                    "token.uri: `{name}` cannot select a token; token, serial, manufacturer, model and slot-id can"
                ));
            }
        }
        Ok(())
    }

    fn take_query_attribute(&mut self, name: &str, value: String) -> Result<(), TokenError> {
        match name {
            "module-path" => self.module_path = Some(PathBuf::from(value)),
            "pin-source" => self.pin_source = Some(pin_file_of(&value)?),
            "pin-value" => {
                return misconfigured(
                    "token.uri: pin-value is refused, since a configuration must not hold a PIN; use pin-source=file:/path/of/the/pin",
                );
            }
            "module-name" => {
                return misconfigured(
                    "token.uri: module-name is refused, since a module is never searched for; use module-path",
                );
            }
            _ => {
                return misconfigured(format!(
                    "token.uri: `{name}` is unknown; after the question mark stand module-path and pin-source"
                ));
            }
        }
        Ok(())
    }
}

/// `file:/path`, `file:///path` or `file://localhost/path`.
fn pin_file_of(source: &str) -> Result<PinSource, TokenError> {
    let path = source.strip_prefix("file:").map(|rest| {
        rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest)
    });
    match path {
        Some(path) if path.starts_with('/') => Ok(PinSource::File(PathBuf::from(path))),
        _ if source.starts_with('|') => misconfigured(
            "token.uri: a program as pin-source is refused; use file:/path/of/the/pin",
        ),
        _ => misconfigured(
            "token.uri: pin-source is not a file URI with an absolute path; use file:/path/of/the/pin",
        ),
    }
}

fn name_and_value<'a>(
    attribute: &'a str,
    seen: &mut Vec<&'a str>,
) -> Result<(&'a str, String), TokenError> {
    let Some((name, value)) = attribute.split_once('=') else {
        return misconfigured("token.uri: each attribute is `name=value`; one has no `=`");
    };
    if seen.contains(&name) {
        return misconfigured(format!("token.uri: `{name}` stands twice; keep one"));
    }
    seen.push(name);
    match percent_decoded(value) {
        Some(value) => Ok((name, value)),
        None => misconfigured(format!(
            "token.uri: the value of `{name}` is not percent-encoded UTF-8 (RFC 3986, section 2.1)"
        )),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The text with the value of every `pin-value` left out; the name stays, to be refused.
fn without_pin_value(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(PIN_VALUE) {
        let (before, after) = rest.split_at(at + PIN_VALUE.len());
        kept.push_str(before);
        rest = after.find(['&', ';', '?']).map_or("", |end| after.split_at(end).1);
    }
    kept.push_str(rest);
    kept
}

const PIN_VALUE: &str = "pin-value=";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<UriParts, TokenError> {
        TokenUri::from(text).parse()
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_part_is_read() {
        let parts = parse(
            "pkcs11:token=my%20token;serial=ab12;slot-id=7?module-path=/lib/p.so&pin-source=file:/etc/pin",
        )
        .unwrap();
        assert_eq!(parts.selector.label.as_deref(), Some("my token"));
        assert_eq!(parts.selector.serial.as_deref(), Some("ab12"));
        assert_eq!(parts.selector.slot, Some(7));
        assert_eq!(parts.module_path, Some(PathBuf::from("/lib/p.so")));
        assert_eq!(parts.pin_source, Some(PinSource::File(PathBuf::from("/etc/pin"))));
    }

    #[test]
    fn each_spelling_of_a_file_uri_is_one_path() {
        for source in
            ["file:/etc/pin", "file:///etc/pin", "file://localhost/etc/pin", "file:%2Fetc/pin"]
        {
            let parts = parse(&format!("pkcs11:token=t?pin-source={source}")).unwrap();
            assert_eq!(
                parts.pin_source,
                Some(PinSource::File(PathBuf::from("/etc/pin"))),
                "{source}"
            );
        }
    }

    #[test]
    fn a_pin_value_is_refused_and_never_kept() {
        for text in [
            "pkcs11:token=t?pin-value=13572468",
            "pkcs11:token=t?PIN-VALUE=13572468&pin-source=file:/p",
            "pkcs11:pin-value=13572468;token=t",
            "pin-value=13572468pin-value=13572468",
        ] {
            let uri = TokenUri::from(text.to_owned());
            assert!(!format!("{uri:?}").contains("13572468"), "{text}");
            assert!(!serde_json::to_string(&uri).unwrap().contains("13572468"));
            assert!(!uri.parse().unwrap_err().to_string().contains("13572468"));
        }
        assert!(refusal("pkcs11:token=t?pin-value=1").contains("must not hold a PIN"));
    }

    #[test]
    fn what_does_not_select_a_token_is_refused_by_name() {
        for (text, named) in [
            ("token=t", "pkcs11:"),
            ("pkcs11:token", "no `=`"),
            ("pkcs11:token=a;token=b", "stands twice"),
            ("pkcs11:object=root", "`object`"),
            ("pkcs11:id=%01", "`id`"),
            ("pkcs11:library-version=3", "`library-version`"),
            ("pkcs11:slot-id=x", "slot-id"),
            ("pkcs11:token=%4", "`token`"),
            ("pkcs11:token=%zz", "`token`"),
            ("pkcs11:token=%ff", "`token`"),
            ("pkcs11:token=%00", "`token`"),
            ("pkcs11:token=t?module-name=softhsm2", "module-path"),
            ("pkcs11:token=t?pin-source=|cat", "program"),
            ("pkcs11:token=t?pin-source=file:pin", "absolute"),
            ("pkcs11:token=t?pin-source=https://pin", "file URI"),
            ("pkcs11:token=t?x-vendor=1", "`x-vendor`"),
        ] {
            assert!(refusal(text).contains(named), "{text}: {}", refusal(text));
        }
    }
}
