//! New data key, new ciphertext, same content: for key material that leaked, where a rewrap would not help.
//!
//! Invariant: what is given out has been opened again, through the key service, and compared with the old
//! content; the old envelope is not touched.

#![expect(clippy::disallowed_methods, reason = "seals what was opened")]

use claviger_kms::{EncryptionContext, KeyPath};

use crate::{EnvelopeError, Envelopes, Header, Result, file::FileResealer, record};

impl Envelopes {
    /// Seals the content of a record under a fresh data key of `key`, with the same context and a new envelope
    /// id.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`EnvelopeError::Rejected`] too when the new envelope gives other content.
    pub async fn reencrypt(
        &self,
        key: &KeyPath,
        context: &EncryptionContext,
        envelope: &[u8],
    ) -> Result<Vec<u8>> {
        let plaintext = self.open(context, envelope).await?;
        let sealing = self.sealing_for(key, context, plaintext.len() as u64).await?;
        let payload = plaintext.with_bytes(|bytes| sealing.payload_key.seal(bytes))?;
        let new = record::join(&sealing.header, &payload);
        if !self.open(context, &new).await?.is_same_as(&plaintext) {
            return Err(EnvelopeError::Rejected);
        }
        Ok(new)
    }

    /// Makes ready to do the same with a sealed file that has this header.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub async fn begin_reseal(
        &self,
        key: &KeyPath,
        context: &EncryptionContext,
        header: &Header,
    ) -> Result<FileResealer> {
        let opener = self.opener_of(context, header).await?;
        let sealer = self.begin_file(key, context).await?;
        let check = self.opener_of(context, sealer.header()).await?;
        Ok(FileResealer::new(opener, sealer, check))
    }
}
