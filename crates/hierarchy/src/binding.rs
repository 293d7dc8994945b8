//! What is bound into each wrapped key: one struct, one canonical encoding for each.
//!
//! Invariant: the encoding names the wrapping key (id, path, version, purpose) and what is wrapped (for a
//! KEK its id, path, version and purpose; for a data key the envelope id and the caller's encryption
//! context), so that a wrapped key opens in its own place only.

use claviger_keystore::KeyRecord;
use claviger_kms::{
    Binding, Canonical, CiphertextKind, KeyId, KeyPath, KeyVersion, Purpose, StoreId,
};

/// Format of the encodings below.
const FORMAT: u32 = 1;

/// One version of a key, or of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    pub(crate) id: KeyId,
    /// `None` for the root.
    pub(crate) path: Option<&'a KeyPath>,
    pub(crate) version: KeyVersion,
    pub(crate) purpose: Purpose,
}

impl<'a> Node<'a> {
    pub(crate) fn root(id: KeyId, version: KeyVersion) -> Self {
        Self { id, path: None, version, purpose: Purpose::Encryption }
    }

    pub(crate) fn of(record: &'a KeyRecord, version: KeyVersion) -> Self {
        Self { id: record.id, path: Some(&record.path), version, purpose: record.purpose }
    }

    fn encode(&self, into: Canonical) -> Canonical {
        into.bytes(self.id.as_bytes())
            .text(self.path.map_or("", KeyPath::as_str))
            .u32(self.version.number())
            .text(self.purpose.as_str())
    }
}

/// A KEK version wrapped by its parent's version.
pub(crate) fn of_kek(parent: Node<'_>, child: Node<'_>) -> Vec<u8> {
    child.encode(parent.encode(Canonical::new("claviger/1/kek-wrap").u32(FORMAT))).finish()
}

/// A data key wrapped by a KEK version.
pub(crate) fn of_data_key(wrapping: Node<'_>, kind: CiphertextKind, binding: &Binding) -> Vec<u8> {
    let kind = match kind {
        CiphertextKind::DataKey => "data-key",
        _ => "value",
    };
    wrapping
        .encode(Canonical::new("claviger/1/dek-wrap").u32(FORMAT))
        .text(kind)
        .bytes(binding.envelope_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()))
        .bytes(&binding.context.canonical_bytes())
        .finish()
}

/// A value sealed by the service under the data key beside it.
pub(crate) fn of_value(binding: &Binding) -> Vec<u8> {
    Canonical::new("claviger/1/value")
        .u32(FORMAT)
        .bytes(binding.envelope_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()))
        .bytes(&binding.context.canonical_bytes())
        .finish()
}

/// The record-MAC key wrapped by the root.
pub(crate) fn of_record_mac(store: StoreId, root: Node<'_>, number: u32) -> Vec<u8> {
    root.encode(Canonical::new("claviger/1/record-mac").u32(FORMAT).bytes(store.as_bytes()))
        .u32(number)
        .finish()
}

/// The known answer of a root version.
pub(crate) fn of_known_answer(store: StoreId, root: Node<'_>) -> Vec<u8> {
    root.encode(Canonical::new("claviger/1/known-answer").u32(FORMAT).bytes(store.as_bytes()))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_kms::{EncryptionContext, EnvelopeId};

    fn node(path: &KeyPath, id: u8, version: u32) -> Node<'_> {
        Node {
            id: KeyId::from_bytes([id; 16]),
            path: Some(path),
            version: KeyVersion::new(version).unwrap(),
            purpose: Purpose::Encryption,
        }
    }

    #[test]
    fn every_field_of_a_data_key_is_bound() {
        let (a, b): (KeyPath, KeyPath) = ("a".parse().unwrap(), "b".parse().unwrap());
        let context = |v: &str| EncryptionContext::from_pairs([("k", v)]).unwrap();
        let bind = |v: &str, envelope: Option<u8>| Binding {
            context: context(v),
            envelope_id: envelope.map(|n| EnvelopeId::from_bytes([n; 16])),
        };
        let signing = Node { purpose: Purpose::Signing, ..node(&a, 1, 1) };
        let kind = CiphertextKind::DataKey;
        let all = [
            of_data_key(node(&a, 1, 1), kind, &bind("x", Some(1))),
            of_data_key(node(&b, 1, 1), kind, &bind("x", Some(1))),
            of_data_key(node(&a, 2, 1), kind, &bind("x", Some(1))),
            of_data_key(node(&a, 1, 2), kind, &bind("x", Some(1))),
            of_data_key(signing, kind, &bind("x", Some(1))),
            of_data_key(node(&a, 1, 1), CiphertextKind::Value, &bind("x", Some(1))),
            of_data_key(node(&a, 1, 1), kind, &bind("y", Some(1))),
            of_data_key(node(&a, 1, 1), kind, &bind("x", Some(2))),
            of_data_key(node(&a, 1, 1), kind, &bind("x", None)),
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn parent_and_child_of_a_kek_cannot_change_places() {
        let (a, b): (KeyPath, KeyPath) = ("a".parse().unwrap(), "a/b".parse().unwrap());
        let one = of_kek(node(&a, 1, 1), node(&b, 2, 1));
        assert_ne!(one, of_kek(node(&b, 2, 1), node(&a, 1, 1)));
        let root = Node::root(KeyId::from_bytes([1; 16]), KeyVersion::FIRST);
        assert_ne!(one, of_kek(root, node(&b, 2, 1)));
    }
}
