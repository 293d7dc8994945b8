//! AES-256-GCM under one key, from one buffer to another, with empty additional data.
//!
//! The only place where an AEAD library is named. `aes-gcm` is the default; feature `aws-lc` takes
//! `aws-lc-rs` instead, for the library and its tests, and both pass the same vectors.
//! Invariant of both: a chunk that is refused leaves only zeros in the buffer it was to be opened into.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(not(feature = "aws-lc"))]
mod rust_crypto;

#[cfg(feature = "aws-lc")]
pub(crate) use aws_lc::Cipher;
#[cfg(not(feature = "aws-lc"))]
pub(crate) use rust_crypto::Cipher;

/// Bytes of a nonce.
pub(crate) const NONCE: usize = 12;

/// Bytes of a key.
pub(crate) const KEY: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, TAG};

    /// Test case 15 of the GCM specification (McGrew and Viega, appendix B).
    #[test]
    fn gives_the_published_ciphertext() {
        let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                     1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
        let sealed = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                      8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad\
                      b094dac5d93471bdec1a502270e3cc6c";
        let bytes = |text: &str| hex::decode(text).unwrap();
        let nonce = bytes("cafebabefacedbaddecaf888").try_into().unwrap();
        let cipher = Cipher::new(bytes(key).as_slice().try_into().unwrap()).unwrap();
        let mut output = vec![0; 80];
        cipher.seal(&nonce, &bytes(plain), &mut output).unwrap();
        assert_eq!(output, bytes(sealed));
        let mut opened = vec![0; 64];
        cipher.open(&nonce, &output, &mut opened).unwrap();
        assert_eq!(opened, bytes(plain));
    }

    #[test]
    fn a_refused_chunk_leaves_only_zeros() {
        let (cipher, nonce) = (Cipher::new(&[1; KEY]).unwrap(), [2; NONCE]);
        let mut sealed = vec![0; 1000 + TAG];
        cipher.seal(&nonce, &[3; 1000], &mut sealed).unwrap();
        for at in [0, 500, 999, 1000, 1015] {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            let mut opened = vec![9; 1000];
            assert!(matches!(cipher.open(&nonce, &altered, &mut opened), Err(Error::Rejected)));
            assert_eq!(opened, [0; 1000]);
        }
    }

    #[test]
    fn refuses_buffers_of_the_wrong_length() {
        let (cipher, nonce) = (Cipher::new(&[1; KEY]).unwrap(), [2; NONCE]);
        for length in [0, 15, 25, 27] {
            assert!(cipher.seal(&nonce, &[0; 10], &mut vec![0; length]).is_err());
        }
        let mut sealed = [0; 26];
        cipher.seal(&nonce, &[0; 10], &mut sealed).unwrap();
        for length in [0, 9, 11, 26] {
            assert!(cipher.open(&nonce, &sealed, &mut vec![0; length]).is_err());
        }
        assert!(cipher.open(&nonce, &sealed[..15], &mut []).is_err());
    }
}
