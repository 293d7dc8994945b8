//! Sealing and opening records, and the keys of files, through key services.
//!
//! Invariants: every envelope gets a fresh data key unless reuse was asked for; nothing is returned before it
//! is whole (sealed) or verified (opened); a rewrap never touches, reads or needs the payload.

use std::{fmt, fs::File, sync::Arc};

use claviger_kms::{
    CampaignId, EncryptionContext, KeyManagementService, KeyPath, KmsError, SecretBytes,
};

use crate::{
    DataKeyReuse, EnvelopeError, EnvelopeKind, Header, Provider, Result,
    data_key::{Service, Services},
    file::{FileHeader, FileOpener, FileSealer, RewrappedFile, rewrap_file_header},
    record,
    reuse::{ReuseCache, Sealing},
    rewrap::RewrappedHeader,
};

/// Seals and opens envelopes with the data keys of one or several key services.
///
/// Cheap to share behind an `Arc`. One value speaks for one principal, the one its services speak for: a
/// program that acts for several makes one value for each.
pub struct Envelopes {
    services: Services,
    reuse: Option<ReuseCache>,
}

impl Envelopes {
    /// Envelopes under a Claviger service.
    #[must_use]
    pub fn new(service: Arc<dyn KeyManagementService>) -> Self {
        Self::with_provider(Provider::CLAVIGER, service)
    }

    /// Envelopes under a service of this provider.
    #[must_use]
    pub fn with_provider(provider: Provider, service: Arc<dyn KeyManagementService>) -> Self {
        let first = Service { provider, kms: service };
        Self { services: Services { first, further: Vec::new(), campaign: None }, reuse: None }
    }

    /// Wraps every new data key under `key` of this further service too, and opens with it as well. Sealing
    /// needs all services, opening any one.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Invalid` for a fifth service.
    pub fn also_under(
        mut self,
        provider: Provider,
        service: Arc<dyn KeyManagementService>,
        key: KeyPath,
    ) -> Result<Self> {
        if self.services.further.len() + 1 >= Header::MAX_WRAPS {
            return Err(EnvelopeError::from(KmsError::invalid(format!(
                "an envelope is wrapped by at most {} key services",
                Header::MAX_WRAPS
            ))));
        }
        self.services.further.push((Service { provider, kms: service }, key));
        Ok(self)
    }

    /// Lets records share a data key within these bounds. Off unless asked for: see [`DataKeyReuse`] for
    /// what it gives up. Files always get a key of their own.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`] with `KmsError::Invalid` when a bound is past its limit.
    pub fn reusing_data_keys(mut self, bounds: DataKeyReuse) -> Result<Self> {
        self.reuse = Some(ReuseCache::new(bounds)?);
        Ok(self)
    }

    /// Names this campaign in every rewrap: only so does a service move what is under a quarantined version.
    #[must_use]
    pub fn for_campaign(mut self, campaign: CampaignId) -> Self {
        self.services.campaign = Some(campaign);
        self
    }

    /// Forgets every data key held for reuse, at once.
    pub fn flush(&self) {
        if let Some(reuse) = &self.reuse {
            reuse.flush();
        }
    }

    /// Seals a record: [`open`](Self::open) gives it back to whoever may use `key` and gives the same
    /// `context`. Adds 224 bytes for one Claviger wrap and 16 more for each 16 KiB. The record is held in
    /// memory; for anything large there is [`begin_file`](Self::begin_file).
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`].
    pub async fn seal(
        &self,
        key: &KeyPath,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>> {
        let sealing = self.sealing_for(key, context, plaintext.len() as u64).await?;
        let payload = sealing.payload_key.seal(plaintext)?;
        Ok(record::join(&sealing.header, &payload))
    }

    /// Opens what [`seal`](Self::seal) made with this `context`.
    ///
    /// # Errors
    /// [`EnvelopeError::Rejected`] when anything was altered or the context is another;
    /// [`EnvelopeError::NotAnEnvelope`], [`EnvelopeError::UnknownFormat`], [`EnvelopeError::NoService`],
    /// [`EnvelopeError::Kms`].
    pub async fn open(&self, context: &EncryptionContext, envelope: &[u8]) -> Result<SecretBytes> {
        let (header, payload) = record::split(envelope)?;
        let (payload_key, seen) = self.services.unwrap(&header, context).await?;
        self.note(std::slice::from_ref(&seen));
        payload_key.open(payload)
    }

    /// The same envelope with its data key under the primary version of its key. Only the header changes:
    /// the payload's bytes are the same, and are not verified.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn rewrap(&self, context: &EncryptionContext, envelope: &[u8]) -> Result<Vec<u8>> {
        let (header, payload) = record::split(envelope)?;
        let moved = self.rewrap_header(context, &header).await?;
        Ok(record::join(&moved.header, payload))
    }

    /// Moves the wraps of a header, a record's or a file's, and says what happened to each.
    ///
    /// # Errors
    /// When a service fails in another way than by not knowing a wrap; when no wrap is known to any service.
    pub async fn rewrap_header(
        &self,
        context: &EncryptionContext,
        header: &Header,
    ) -> Result<RewrappedHeader> {
        let mut answers = self.rewrap_headers(&[(context, header)]).await;
        answers.pop().unwrap_or_else(|| Err(KmsError::unavailable("no answer").into()))
    }

    /// The same for many headers, with one request for as many as the service takes (Claviger's: 256); one
    /// answer for each, in order.
    pub async fn rewrap_headers(
        &self,
        items: &[(&EncryptionContext, &Header)],
    ) -> Vec<Result<RewrappedHeader>> {
        let answers = self.services.rewrap(items).await.into_iter();
        let noted = answers.map(|answer| {
            let (moved, seen) = answer?;
            self.note(&seen);
            Ok(moved)
        });
        noted.collect()
    }

    /// Moves the data key of a header to `key` of another service: the wrap that opens here is replaced, the
    /// payload stays as it is. The new wrap has been opened again by its service.
    ///
    /// # Errors
    /// As [`open`](Self::open), of either service.
    pub async fn transfer_header(
        &self,
        context: &EncryptionContext,
        header: &Header,
        provider: Provider,
        service: &Arc<dyn KeyManagementService>,
        key: &KeyPath,
    ) -> Result<Header> {
        let to = Service { provider, kms: service.clone() };
        self.services.transfer(header, context, &to, key).await
    }

    /// Makes the data key of a new file. What follows is blocking: in an asynchronous program it belongs
    /// in `spawn_blocking`.
    ///
    /// # Errors
    /// [`EnvelopeError::Kms`].
    pub async fn begin_file(
        &self,
        key: &KeyPath,
        context: &EncryptionContext,
    ) -> Result<FileSealer> {
        let (header, payload_key, seen) =
            self.services.make(EnvelopeKind::File, key, context).await?;
        self.note(std::slice::from_ref(&seen));
        Ok(FileSealer::new(header, payload_key))
    }

    /// Unwraps the data key of a file whose header was read before ([`FileHeader::read_from`]).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_file(
        &self,
        context: &EncryptionContext,
        header: &FileHeader,
    ) -> Result<FileOpener> {
        self.opener_of(context, header.header()).await
    }

    pub(crate) async fn opener_of(
        &self,
        context: &EncryptionContext,
        header: &Header,
    ) -> Result<FileOpener> {
        let (payload_key, seen) = self.services.unwrap(header, context).await?;
        self.note(std::slice::from_ref(&seen));
        Ok(FileOpener::new(payload_key))
    }

    /// Moves the data key of the sealed file `file` to its key's primary version, in place: whatever the
    /// file's length, 8 KiB are read, and 8 KiB are written and synced, if anything is to be done. Safe against
    /// others who do the same, in any process: a header that changed between reading and the lock is read and
    /// moved again. A file torn by a crash, or with one slot still old, is mended.
    ///
    /// Between the calls of the key service this blocks for two small synced writes, and for up to 10 seconds
    /// on the lock.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`EnvelopeError::Kms`] with `KmsError::Conflict` when the file changes all the
    /// time; [`EnvelopeError::Io`], after which it still opens.
    pub async fn rewrap_file(
        &self,
        context: &EncryptionContext,
        file: &mut File,
    ) -> Result<RewrappedFile> {
        let mut attempt = 1;
        loop {
            let read = FileHeader::read_at_start(file)?;
            let RewrappedHeader { header, outcomes } =
                self.rewrap_header(context, read.header()).await?;
            if read.slots().iter().all(|slot| slot.is_some_and(|slot| *slot.header() == header)) {
                return Ok(RewrappedFile { header: read, outcomes, written: false });
            }
            match rewrap_file_header(file, &read, &header) {
                Err(EnvelopeError::Kms { source: KmsError::Conflict { .. } })
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                written => {
                    return Ok(RewrappedFile { header: written?, outcomes, written: true });
                }
            }
        }
    }

    /// The data key for a record of this length: one that may be reused, or a fresh one.
    pub(crate) async fn sealing_for(
        &self,
        key: &KeyPath,
        context: &EncryptionContext,
        length: u64,
    ) -> Result<Arc<Sealing>> {
        let round = match &self.reuse {
            None => None,
            Some(cache) => match cache.take(key, context, length) {
                Ok(sealing) => return Ok(sealing),
                Err(round) => Some((cache, round)),
            },
        };
        let (header, payload_key, seen) =
            self.services.make(EnvelopeKind::Record, key, context).await?;
        self.note(std::slice::from_ref(&seen));
        let sealing = Arc::new(Sealing { header, payload_key });
        if let Some((cache, round)) = round {
            cache.put(round, context, &seen, length, &sealing);
        }
        Ok(sealing)
    }

    fn note(&self, seen: &[crate::data_key::Seen]) {
        if let Some(reuse) = &self.reuse {
            seen.iter().for_each(|seen| reuse.note(seen));
        }
    }
}

/// How often a header that others change too is read anew before giving up.
const ATTEMPTS: u32 = 5;

impl fmt::Debug for Envelopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelopes")
            .field("provider", &self.services.first.provider)
            .field("further_services", &self.services.further.len())
            .field("reuse", &self.reuse)
            .finish()
    }
}
