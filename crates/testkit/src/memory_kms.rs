//! A key service in this process: real cryptography, versions, states and rewrap, nothing stored.
//!
//! It speaks the ciphertext layout of a Claviger service and binds the same fields (format; the key's id,
//! path, version and purpose; envelope id; the caller's context), so whatever is tested against it meets
//! the same refusals. Invariant: every state change goes through the one transition table of
//! `claviger-kms`. Known limits: no token, no policy (so a missing key is `NotFound`, never `Denied`),
//! encryption keys in memory only; keys live as long as the value.

mod key;
mod wrapping;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use claviger_kms::{
    Capabilities, Ciphertext, CiphertextKind, CreateKey, CreateVersion, DataKey, Decrypt,
    Decrypted, Encrypt, Encrypted, GenerateDataKey, IdempotencyKey, KeyManagementService,
    KeyMetadata, KeyPage, KeyPath, KeyVersion, KmsError, ListKeys, MAX_BATCH, Protection, Purpose,
    Result, Rewrap, Rewrapped, SecretKey, VersionRequest, VersionState, VersionUse,
};

use key::Key;

/// The key service in memory.
#[derive(Debug)]
pub struct MemoryKms {
    keys: Mutex<Keys>,
    reachable: AtomicBool,
}

impl MemoryKms {
    /// A service without keys.
    #[must_use]
    pub fn new() -> Self {
        Self { keys: Mutex::default(), reachable: AtomicBool::new(true) }
    }

    /// A service with these keys and all that must stand above them.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] when a text is not a key path.
    pub fn with_keys(paths: &[&str]) -> Result<Self> {
        let service = Self::new();
        for path in paths {
            let path: KeyPath = path.parse()?;
            let above = std::iter::successors(path.parent(), KeyPath::parent);
            let mut line: Vec<_> = std::iter::once(path.clone()).chain(above).collect();
            line.reverse();
            let mut keys = service.keys()?;
            for key in line {
                if !keys.by_path.contains_key(&key) {
                    keys.create(CreateKey::at(key))?;
                }
            }
        }
        Ok(service)
    }

    /// Takes the service out of reach, or back: meanwhile every use answers [`KmsError::Unavailable`].
    pub fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::SeqCst);
    }

    /// Stops a version in an emergency; if it was the primary, a new one is made and promoted.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`].
    pub fn quarantine(&self, key: &KeyPath, version: KeyVersion) -> Result<KeyMetadata> {
        self.stop(key, version)?;
        let mut keys = self.keys()?;
        let key = keys.key_mut(key)?;
        if key.metadata().primary.is_none() {
            key.rotate()?;
        }
        Ok(key.metadata().clone())
    }

    /// The first half of it: a key whose primary version is stopped has none until it is rotated.
    ///
    /// # Errors
    /// As [`quarantine`](Self::quarantine).
    pub fn stop(&self, key: &KeyPath, version: KeyVersion) -> Result<()> {
        self.keys()?.key_mut(key)?.change_state(version, VersionState::Quarantined)
    }

    fn keys(&self) -> Result<MutexGuard<'_, Keys>> {
        if !self.reachable.load(Ordering::SeqCst) {
            return Err(KmsError::unavailable("the key service is out of reach"));
        }
        Ok(self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryKms {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl KeyManagementService for MemoryKms {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            service: "memory".to_owned(),
            purposes: vec![Purpose::Encryption],
            manages_keys: true,
            rewraps: true,
            version_readable: true,
            max_value: Ciphertext::MAX_VALUE,
            max_batch: MAX_BATCH,
        }
    }

    async fn create_key(&self, request: CreateKey) -> Result<KeyMetadata> {
        let mut keys = self.keys()?;
        let path = request.key.clone();
        let name = request.idempotency_key.clone();
        keys.once(name, Creates::Key, &path, |keys| keys.create(request))
    }

    async fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata> {
        Ok(self.keys()?.key_mut(key)?.metadata().clone())
    }

    async fn list_keys(&self, request: ListKeys) -> Result<KeyPage> {
        let limit = request.limit.unwrap_or(100);
        if !(1..=1000).contains(&limit) {
            return Err(KmsError::invalid("a page has 1 to 1000 keys"));
        }
        let keys = self.keys()?;
        let mut found: Vec<KeyMetadata> = keys
            .by_path
            .iter()
            .filter(|(path, _)| request.under.as_ref().is_none_or(|top| path.is_at_or_under(top)))
            .filter(|(path, _)| request.after.as_ref().is_none_or(|after| *path > after))
            .map(|(_, key)| key.metadata().clone())
            .take(limit as usize + 1)
            .collect();
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.key.clone());
        Ok(KeyPage { keys: found, next })
    }

    async fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata> {
        let mut keys = self.keys()?;
        keys.once(request.idempotency_key, Creates::Version, &request.key, |keys| {
            keys.key_mut(&request.key)?.add_version().map(drop)
        })
    }

    async fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata> {
        let mut keys = self.keys()?;
        let key = keys.key_mut(&request.key)?;
        key.promote(request.version)?;
        Ok(key.metadata().clone())
    }

    async fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata> {
        let mut keys = self.keys()?;
        keys.once(request.idempotency_key, Creates::Primary, &request.key, |keys| {
            keys.key_mut(&request.key)?.rotate()
        })
    }

    async fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        let mut keys = self.keys()?;
        let key = keys.key_mut(&request.key)?;
        key.change_state(request.version, VersionState::Enabled)?;
        Ok(key.metadata().clone())
    }

    async fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        let mut keys = self.keys()?;
        let key = keys.key_mut(&request.key)?;
        key.change_state(request.version, VersionState::Disabled)?;
        Ok(key.metadata().clone())
    }

    async fn encrypt(&self, request: Encrypt) -> Result<Encrypted> {
        let mut keys = self.keys()?;
        let key = keys.key_mut(&request.key)?;
        let (version, kek) = key.primary()?;
        let data_key = SecretKey::make_random()?;
        let wrapped = wrapping::wrap(key.metadata(), version, kek, &request.binding, &data_key)?;
        let sealed = wrapping::seal_value(&data_key, &request.binding, &request.plaintext)?;
        let ciphertext = Ciphertext::of_value(key.metadata().id, version, wrapped, sealed);
        Ok(Encrypted { ciphertext: ciphertext.to_bytes(), key: request.key, version })
    }

    async fn decrypt(&self, request: Decrypt) -> Result<Decrypted> {
        let ciphertext = Ciphertext::parse(&request.ciphertext)?;
        let keys = self.keys()?;
        let key = keys.key_of(&ciphertext)?;
        let data_key = key.unwrap(&ciphertext, &request.binding, VersionUse::UnwrapForCaller)?;
        let plaintext = match ciphertext.kind() {
            CiphertextKind::DataKey => data_key.into_secret_bytes(),
            _ => wrapping::open_value(&data_key, &request.binding, ciphertext.sealed_value())?,
        };
        Ok(Decrypted { plaintext, key: key.metadata().key.clone(), version: ciphertext.version() })
    }

    async fn generate_data_key(&self, request: GenerateDataKey) -> Result<DataKey> {
        let mut keys = self.keys()?;
        let key = keys.key_mut(&request.key)?;
        let (version, kek) = key.primary()?;
        let plaintext = SecretKey::make_random()?;
        let wrapped = wrapping::wrap(key.metadata(), version, kek, &request.binding, &plaintext)?;
        let ciphertext = Ciphertext::of_data_key(key.metadata().id, version, wrapped).to_bytes();
        Ok(DataKey { plaintext, wrapped: Encrypted { ciphertext, key: request.key, version } })
    }

    async fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted> {
        Ok(self.generate_data_key(request).await?.wrapped)
    }

    async fn rewrap(&self, request: Rewrap) -> Result<Rewrapped> {
        let ciphertext = Ciphertext::parse(&request.ciphertext)?;
        let keys = self.keys()?;
        let key = keys.key_of(&ciphertext)?;
        let from = ciphertext.version();
        let (to, kek) = key.primary()?;
        let data_key = key.unwrap(&ciphertext, &request.binding, VersionUse::UnwrapInternally)?;
        let bytes = if from == to {
            request.ciphertext
        } else {
            let wrapped = wrapping::wrap(key.metadata(), to, kek, &request.binding, &data_key)?;
            ciphertext.rewrapped(to, wrapped).to_bytes()
        };
        Ok(Rewrapped { ciphertext: bytes, key: key.metadata().key.clone(), from, to })
    }
}

#[derive(Debug, Default)]
struct Keys {
    by_path: BTreeMap<KeyPath, Key>,
    answered: HashMap<IdempotencyKey, (Creates, KeyPath)>,
}

/// What a request with an idempotency key creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creates {
    Key,
    Version,
    Primary,
}

impl Keys {
    /// Creates, unless the request of this name did already; then says how the key stands.
    fn once(
        &mut self,
        name: Option<IdempotencyKey>,
        creates: Creates,
        path: &KeyPath,
        create: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<KeyMetadata> {
        let wanted = (creates, path.clone());
        match name.as_ref().and_then(|name| self.answered.get(name)) {
            Some(first) if *first == wanted => {}
            Some(_) => {
                return Err(KmsError::conflict(
                    "the idempotency key was used for another request; take a new one",
                ));
            }
            None => {
                create(self)?;
                self.answered.extend(name.map(|name| (name, wanted)));
            }
        }
        Ok(self.key_mut(path)?.metadata().clone())
    }

    fn create(&mut self, request: CreateKey) -> Result<()> {
        if request.purpose != Purpose::Encryption || request.protection != Protection::Memory {
            return Err(KmsError::unsupported(
                "this service makes encryption keys held in memory and no others",
            ));
        }
        request.details.check()?;
        if self.by_path.contains_key(&request.key) {
            return Err(KmsError::conflict(format!("{} exists already", request.key)));
        }
        let parent_version = match request.key.parent() {
            None => KeyVersion::FIRST,
            Some(parent) => self.key_mut(&parent)?.primary()?.0,
        };
        let key = Key::make(request.key.clone(), request.details, parent_version)?;
        self.by_path.insert(request.key, key);
        Ok(())
    }

    fn key_mut(&mut self, path: &KeyPath) -> Result<&mut Key> {
        self.by_path.get_mut(path).ok_or_else(|| KmsError::not_found(format!("the key {path}")))
    }

    fn key_of(&self, ciphertext: &Ciphertext) -> Result<&Key> {
        let id = ciphertext.key_id();
        let found = self.by_path.values().find(|key| key.metadata().id == id);
        found.ok_or_else(|| KmsError::not_found(format!("the key {id}")))
    }
}

#[cfg(test)]
mod tests;
