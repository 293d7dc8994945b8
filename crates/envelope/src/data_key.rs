//! Data keys and the key services: made for a new envelope, unwrapped for an old one, moved to another service.
//!
//! Invariants: every wrap is bound to the caller's context and the envelope id; a plain data key stands only
//! in secret types and leaves here only as a [`PayloadKey`]. Services are asked in the header's order of
//! wraps, then in the order they were given.

#![expect(clippy::disallowed_methods, reason = "hands the data key to each further key service")]

use std::sync::Arc;

use claviger_kms::{
    Binding, CampaignId, DataKey, Decrypt, Encrypt, EncryptionContext, EnvelopeId, GenerateDataKey,
    KeyId, KeyManagementService, KeyPath, KeyVersion, KmsError, SecretBytes, SecretKey,
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
    /// What each rewrap names.
    pub(crate) campaign: Option<CampaignId>,
}

/// A key and the version it wrapped or unwrapped with, as the service told; the id where it is readable.
pub(crate) struct Seen {
    pub(crate) key: KeyPath,
    pub(crate) id: Option<KeyId>,
    pub(crate) version: KeyVersion,
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
            wraps.push(wrap_under(service, key, &data_key, binding.clone()).await?);
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
        let Unwrapped { data_key, seen, .. } = self.unwrap_data_key(header, context).await?;
        Ok((PayloadKey::released(header, context, data_key), seen))
    }

    /// Moves the data key of an envelope to another service: the wrap that opens here gives its place to one
    /// of `to`, which has opened it again and given the same data key. The payload stays as it is.
    ///
    /// # Errors
    /// As [`unwrap`](Self::unwrap); when `to` fails, or gives another key back.
    pub(crate) async fn transfer(
        &self,
        header: &Header,
        context: &EncryptionContext,
        to: &Service,
        key: &KeyPath,
    ) -> Result<Header> {
        let Unwrapped { data_key, place, .. } = self.unwrap_data_key(header, context).await?;
        let wrap = wrap_under(to, key, &data_key, binding(header, context)).await?;
        let ciphertext = wrap.ciphertext().to_vec();
        let opened =
            to.kms.decrypt(Decrypt { ciphertext, binding: binding(header, context) }).await?;
        if !data_key_of(opened.plaintext)?.is_same_as(&data_key) {
            return Err(EnvelopeError::Rejected);
        }
        let mut wraps = header.wraps().to_vec();
        if let Some(replaced) = wraps.get_mut(place) {
            *replaced = wrap;
        }
        header.with_wraps(wraps)
    }

    async fn unwrap_data_key(
        &self,
        header: &Header,
        context: &EncryptionContext,
    ) -> Result<Unwrapped> {
        let mut failure = Failure::default();
        for (place, wrap) in header.wraps().iter().enumerate() {
            for service in self.of(wrap.provider()) {
                let ciphertext = wrap.ciphertext().to_vec();
                let binding = binding(header, context);
                match service.kms.decrypt(Decrypt { ciphertext, binding }).await {
                    Ok(opened) => {
                        let data_key = data_key_of(opened.plaintext)?;
                        let (id, version) = (id_of(wrap), opened.version);
                        let seen = Seen { key: opened.key, id, version };
                        return Ok(Unwrapped { data_key, place, seen });
                    }
                    Err(error) => failure.add(error),
                }
            }
        }
        Err(failure.into_error(header))
    }

    /// Every service, in the order they are asked.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Service> {
        std::iter::once(&self.first).chain(self.further.iter().map(|(service, _)| service))
    }

    fn of(&self, provider: Provider) -> impl Iterator<Item = &Service> {
        self.all().filter(move |service| service.provider == provider)
    }
}

/// A data key, the place of the wrap that gave it, and what the service told of it.
struct Unwrapped {
    data_key: SecretKey,
    place: usize,
    seen: Seen,
}

/// A wrap of a data key that another service had made.
async fn wrap_under(
    service: &Service,
    key: &KeyPath,
    data_key: &SecretKey,
    binding: Binding,
) -> Result<Wrap> {
    let plaintext = data_key.with_bytes(|bytes| SecretBytes::copy_of(bytes));
    let request = Encrypt { key: key.clone(), plaintext, binding };
    let wrapped = service.kms.encrypt(request).await?;
    Wrap::new(service.provider, wrapped.ciphertext)
}

pub(crate) fn binding(header: &Header, context: &EncryptionContext) -> Binding {
    Binding { context: context.clone(), envelope_id: Some(header.envelope_id()) }
}

pub(crate) fn id_of(wrap: &Wrap) -> Option<KeyId> {
    wrap.key_version().map(|(id, _)| id)
}

/// A wrap that opens to something other than 32 bytes was not made by us.
fn data_key_of(plaintext: SecretBytes) -> Result<SecretKey> {
    plaintext.into_secret_key().map_err(|_| EnvelopeError::Rejected)
}

/// Whether a service says that it cannot know the wrap: another service of the same provider may.
pub(crate) fn is_unknown(error: &KmsError) -> bool {
    matches!(error, KmsError::Denied | KmsError::Rejected | KmsError::NotFound { .. })
}

/// The error that tells the caller most: one that may pass, before one about a key in a bad state or a bad
/// request, before one of a service that does not know the wrap; of equals the first.
#[derive(Debug, Default)]
pub(crate) struct Failure(Option<KmsError>);

impl Failure {
    pub(crate) fn add(&mut self, error: KmsError) {
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
    pub(crate) fn into_error(self, header: &Header) -> EnvelopeError {
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
