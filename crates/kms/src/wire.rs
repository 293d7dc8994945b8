//! How bytes and secrets travel in JSON: standard base64 with padding (RFC 4648, section 4).
//!
//! Secrets have no `Serialize`; a field that must travel names [`secret_bytes`] or [`secret_key`] in its
//! `#[serde(with = …)]`, and those fields, in `data_messages.rs`, are all there are.

/// `Vec<u8>` as base64.
pub mod bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes base64.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64.
    ///
    /// # Errors
    /// When the text is not standard base64 with padding.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(|_| D::Error::custom(super::NOT_BASE64))
    }
}

/// [`SecretBytes`](crate::SecretBytes) as base64, through wiped buffers of ours. A JSON reader's own are
/// not: text with escapes in it (as `\/`) is put together in one that it does not wipe.
pub mod secret_bytes {
    #![expect(clippy::disallowed_methods, reason = "encodes a secret that the caller asked for")]

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use zeroize::Zeroizing;

    use crate::SecretBytes;

    /// Writes base64.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(
        secret: &SecretBytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(secret.with_bytes(|bytes| STANDARD.encode(bytes)));
        serializer.serialize_str(&text)
    }

    /// Reads base64.
    ///
    /// # Errors
    /// When the text is not standard base64 with padding.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SecretBytes, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // Decoded into a buffer that is wiped whatever comes: also the part before what is not base64.
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        match STANDARD.decode_vec(text.as_bytes(), &mut bytes) {
            Ok(()) => Ok(SecretBytes::copy_of(&bytes)),
            Err(_) => Err(D::Error::custom(super::NOT_BASE64)),
        }
    }
}

/// [`SecretKey`](crate::SecretKey) as base64, through wiped buffers.
pub mod secret_key {
    #![expect(clippy::disallowed_methods, reason = "encodes a data key that the caller asked for")]

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserializer, Serializer, de::Error as _};
    use zeroize::Zeroizing;

    use crate::SecretKey;

    /// Writes base64.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(key: &SecretKey, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(key.with_bytes(|bytes| STANDARD.encode(bytes)));
        serializer.serialize_str(&text)
    }

    /// Reads base64.
    ///
    /// # Errors
    /// When the text is not base64 of 32 bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretKey, D::Error> {
        super::secret_bytes::deserialize(deserializer)?.into_secret_key().map_err(D::Error::custom)
    }
}

const NOT_BASE64: &str = "bytes are written as standard base64 with padding (RFC 4648, section 4)";
