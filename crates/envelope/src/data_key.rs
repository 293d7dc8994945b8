//! Data keys and the key services: made for a new envelope, unwrapped for an old one, moved by a rewrap.
//!
//! Invariants: every wrap is bound to the caller's context and the envelope id; a plain data key stands only
//! in secret types and leaves here only as a [`PayloadKey`]. Services are asked in the header's order of
//! wraps, then in the order they were given.

#![expect(clippy::disallowed_methods, reason = "hands the data key to each further key service")]

use std::sync::Arc;

use claviger_kms::{
    Binding, DataKey, Decrypt, Encrypt, EncryptionContext, EnvelopeId, GenerateDataKey, KeyId,
    KeyManagementService, KeyPath, KeyVersion, KmsError, Rewrap, SecretBytes, SecretKey,
};

use crate::{EnvelopeError, EnvelopeKind, Header, Provider, Result, Wrap, payload::PayloadKey};

/// A key service and whose it is.
pub(crate) struct Service {
    pub(crate) provider: Provider,
    pub(crate) kms: Arc<dyn KeyManagementService>,
}

/// The services of one [`Envelopes`](crate::Envelopes): the first makes data keys, the further ones wrap
/// them too, each under its own key.
pub(crate) struct Services {
    pub(crate) first: Service,
    pub(crate) further: Vec<(Service, KeyPath)>,
}

/// A key and the version it wrapped or unwrapped with, as the service told; the id where it is readable.
pub(crate) struct Seen {
    pub(crate) key: KeyPath,
    pub(crate) id: Option<KeyId>,
    pub(crate) version: KeyVersion,
}

/// What happened to one wrap in a rewrap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrapOutcome {
    /// Now under version `to`; `from` is the same if it was there already.
    Rewrapped {
        /// The version before.
        from: KeyVersion,
        /// The version now.
        to: KeyVersion,
    },
    /// Kept byte for byte: no service of its provider was given, or none of them knows its key.
    NotOurs,
}

impl Services {
    /// Makes a data key for a new envelope and wraps it under every service.
    pub(crate) async fn make(
        &self,
        kind: EnvelopeKind,
        key: &KeyPath,
        context: &EncryptionContext,
    ) -> Result<(Header, PayloadKey, Seen)> {
        let envelope_id = EnvelopeId::make_random()?;
        let binding = Binding { context: context.clone(), envelope_id: Some(envelope_id) };
        let request = GenerateDataKey { key: key.clone(), binding: binding.clone() };
        let DataKey { plaintext: data_key, wrapped } =
            self.first.kms.generate_data_key(request).await?;
        let version = wrapped.version;
        let first = Wrap::new(self.first.provider, wrapped.ciphertext)?;
        let seen = Seen { key: key.clone(), id: id_of(&first), version };
        let mut wraps = vec![first];
        for (service, key) in &self.further {
            let plaintext = data_key.with_bytes(|bytes| SecretBytes::copy_of(bytes));
            let request = Encrypt { key: key.clone(), plaintext, binding: binding.clone() };
            let wrapped = service.kms.encrypt(request).await?;
            wraps.push(Wrap::new(service.provider, wrapped.ciphertext)?);
        }
        let header = Header::new(kind, envelope_id, wraps)?;
        let payload_key = PayloadKey::released(&header, context, data_key);
        Ok((header, payload_key, seen))
    }

    /// Unwraps the data key by the first wrap and service that can.
    ///
    /// # Errors
    /// When none can: what tells most (see [`Failure`]).
    pub(crate) async fn unwrap(
        &self,
        header: &Header,
        context: &EncryptionContext,
    ) -> Result<(PayloadKey, Seen)> {
        let mut failure = Failure::default();
        for wrap in header.wraps() {
            for service in self.of(wrap.provider()) {
                let ciphertext = wrap.ciphertext().to_vec();
                let binding = binding(header, context);
                match service.kms.decrypt(Decrypt { ciphertext, binding }).await {
                    Ok(opened) => {
                        let data_key = data_key_of(opened.plaintext)?;
                        let (id, version) = (id_of(wrap), opened.version);
                        let seen = Seen { key: opened.key, id, version };
                        return Ok((PayloadKey::released(header, context, data_key), seen));
                    }
                    Err(error) => failure.add(error),
                }
            }
        }
        Err(failure.into_error(header))
    }

    /// Moves every wrap that a service here knows to its key's primary version.
    ///
    /// # Errors
    /// When a service fails in another way than by not knowing the wrap, or no wrap is known to any.
    pub(crate) async fn rewrap(
        &self,
        header: &Header,
        context: &EncryptionContext,
    ) -> Result<(Header, Vec<WrapOutcome>, Vec<Seen>)> {
        let mut failure = Failure::default();
        let (mut wraps, mut outcomes, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for wrap in header.wraps() {
            let mut moved = None;
            for service in self.of(wrap.provider()) {
                let ciphertext = wrap.ciphertext().to_vec();
                let binding = binding(header, context);
                match service.kms.rewrap(Rewrap { ciphertext, binding, campaign: None }).await {
                    Ok(reply) => {
                        moved = Some(reply);
                        break;
                    }
                    Err(error) if is_unknown(&error) => failure.add(error),
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(reply) = moved {
                wraps.push(Wrap::new(wrap.provider(), reply.ciphertext)?);
                outcomes.push(WrapOutcome::Rewrapped { from: reply.from, to: reply.to });
                seen.push(Seen { key: reply.key, id: id_of(wrap), version: reply.to });
            } else {
                wraps.push(wrap.clone());
                outcomes.push(WrapOutcome::NotOurs);
            }
        }
        if seen.is_empty() {
            return Err(failure.into_error(header));
        }
        Ok((header.with_wraps(wraps)?, outcomes, seen))
    }

    fn of(&self, provider: Provider) -> impl Iterator<Item = &Service> {
        let further = self.further.iter().map(|(service, _)| service);
        std::iter::once(&self.first).chain(further).filter(move |s| s.provider == provider)
    }
}

fn binding(header: &Header, context: &EncryptionContext) -> Binding {
    Binding { context: context.clone(), envelope_id: Some(header.envelope_id()) }
}

fn id_of(wrap: &Wrap) -> Option<KeyId> {
    wrap.key_version().map(|(id, _)| id)
}

/// A wrap that opens to something other than 32 bytes was not made by us.
fn data_key_of(plaintext: SecretBytes) -> Result<SecretKey> {
    plaintext.into_secret_key().map_err(|_| EnvelopeError::Rejected)
}

/// Whether a service says that it cannot know the wrap: another service of the same provider may.
fn is_unknown(error: &KmsError) -> bool {
    matches!(error, KmsError::Denied | KmsError::Rejected | KmsError::NotFound { .. })
}

/// The error that tells the caller most: one that may pass, before one about a key in a bad state or a bad
/// request, before one of a service that does not know the wrap; of equals the first.
#[derive(Debug, Default)]
struct Failure(Option<KmsError>);

impl Failure {
    fn add(&mut self, error: KmsError) {
        let rank = |error: &KmsError| match error {
            error if error.is_retryable() => 2,
            error if is_unknown(error) => 0,
            _ => 1,
        };
        if self.0.as_ref().is_none_or(|first| rank(&error) > rank(first)) {
            self.0 = Some(error);
        }
    }

    /// The error, or that there was nobody to ask.
    fn into_error(self, header: &Header) -> EnvelopeError {
        self.0.map_or_else(
            || {
                let names: Vec<_> =
                    header.wraps().iter().map(|wrap| wrap.provider().to_string()).collect();
                EnvelopeError::NoService { providers: names.join(", ") }
            },
            EnvelopeError::from,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_that_tells_most_wins() {
        let told = |errors: &[KmsError]| {
            let mut failure = Failure::default();
            errors.iter().cloned().for_each(|error| failure.add(error));
            failure.0.unwrap()
        };
        let (denied, unusable) = (KmsError::Denied, KmsError::key_unusable("disabled"));
        let away = KmsError::unavailable("away");
        assert_eq!(told(&[denied.clone(), unusable.clone()]), unusable);
        assert_eq!(told(&[unusable.clone(), away.clone(), denied.clone()]), away);
        assert_eq!(told(&[denied.clone(), KmsError::Rejected]), denied);
    }
}
