//! AES-256-GCM by `aes-gcm`, which compares the tag before it decrypts.

use aes_gcm::{Aes256Gcm, Key, KeyInit as _, aead::AeadInOut as _, aead::inout::InOutBuf};

use super::{KEY, NONCE};
use crate::{Error, Result, TAG};

/// The cipher under one key; its round keys are on the heap and wiped when dropped.
pub(crate) struct Cipher(Box<Aes256Gcm>);

impl Cipher {
    /// The cipher under this key.
    ///
    /// # Errors
    /// None with this library.
    pub(crate) fn new(key: &[u8; KEY]) -> Result<Self> {
        Ok(Self(Box::new(Aes256Gcm::new(<&Key<Aes256Gcm>>::from(key)))))
    }

    /// Seals `plain` into `sealed`, which is [`TAG`] bytes longer.
    ///
    /// # Errors
    /// [`Error::CipherFailed`] when the lengths do not fit.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE], plain: &[u8], sealed: &mut [u8]) -> Result<()> {
        let (body, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(Error::CipherFailed)?;
        let buffers = InOutBuf::new(plain, body).map_err(|_| Error::CipherFailed)?;
        let made = self.0.encrypt_inout_detached(nonce.into(), &[], buffers);
        *tag = made.map_err(|_| Error::CipherFailed)?.into();
        Ok(())
    }

    /// Opens `sealed` into `plain`, which is [`TAG`] bytes shorter.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the tag is not that of this key, nonce and ciphertext.
    pub(crate) fn open(&self, nonce: &[u8; NONCE], sealed: &[u8], plain: &mut [u8]) -> Result<()> {
        let opened =
            sealed.split_last_chunk::<TAG>().ok_or(Error::Rejected).and_then(|(body, tag)| {
                let buffers = InOutBuf::new(body, &mut *plain).map_err(|_| Error::Rejected)?;
                self.0
                    .decrypt_inout_detached(nonce.into(), &[], buffers, tag.into())
                    .map_err(|_| Error::Rejected)
            });
        opened.inspect_err(|_| plain.fill(0))
    }
}
