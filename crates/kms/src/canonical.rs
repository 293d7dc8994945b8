//! The one canonical encoding of what is bound into a ciphertext, a MAC or a hash.
//!
//! Invariant: two different sequences of fields never give the same bytes. Every field, the purpose
//! label first of all, is written as its length (`u32`, big-endian) followed by its bytes; nothing
//! is joined without a length and there is no JSON.

/// Writes labelled, length-prefixed fields.
#[derive(Debug, Clone)]
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Starts with the purpose label, e.g. `claviger/1/dek-wrap`.
    #[must_use]
    pub fn new(label: &str) -> Self {
        Self { bytes: Vec::with_capacity(256) }.text(label)
    }

    /// Adds a field of bytes. A field is shorter than 4 GiB: every caller's limit is far below.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(field);
        self
    }

    /// Adds a field of UTF-8 text.
    #[must_use]
    pub fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a 32-bit number, big-endian.
    #[must_use]
    pub fn u32(self, field: u32) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// Adds a 64-bit number, big-endian.
    #[must_use]
    pub fn u64(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// The encoding.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_fields_changes_the_encoding() {
        let a = Canonical::new("l").text("ab").text("c").finish();
        let b = Canonical::new("l").text("a").text("bc").finish();
        assert_ne!(a, b);
        assert_eq!(a, [0, 0, 0, 1, b'l', 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 1, b'c']);
    }

    #[test]
    fn an_empty_field_is_not_nothing() {
        assert_ne!(Canonical::new("l").text("").finish(), Canonical::new("l").finish());
    }
}
