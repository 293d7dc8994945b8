//! AES-256-GCM by `aws-lc-rs`. The library frees its key schedule through its own wiping allocator.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{KEY, NONCE};
use crate::{Error, Result, TAG};

/// The cipher under one key; its round keys are on the heap and wiped when dropped.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    /// The cipher under this key.
    ///
    /// # Errors
    /// [`Error::CipherFailed`] when the library gives no context.
    pub(crate) fn new(key: &[u8; KEY]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::CipherFailed)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals `plain` into `sealed`, which is [`TAG`] bytes longer.
    ///
    /// # Errors
    /// [`Error::CipherFailed`] when the lengths do not fit or the library fails.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE], plain: &[u8], sealed: &mut [u8]) -> Result<()> {
        let (body, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(Error::CipherFailed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .seal_out_of_place_scatter(nonce, Aad::empty(), plain, body, &[], tag)
            .map_err(|_| Error::CipherFailed)
    }

    /// Opens `sealed` into `plain`, which is [`TAG`] bytes shorter.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the tag is not that of this key, nonce and ciphertext.
    pub(crate) fn open(&self, nonce: &[u8; NONCE], sealed: &[u8], plain: &mut [u8]) -> Result<()> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened =
            sealed.split_last_chunk::<TAG>().ok_or(Error::Rejected).and_then(|(body, tag)| {
                self.0
                    .open_separate_gather(nonce, Aad::empty(), body, tag, plain)
                    .map_err(|_| Error::Rejected)
            });
        // The library may leave what it has decrypted before it compares the tag.
        opened.inspect_err(|_| plain.fill(0))
    }
}
