//! Where `memfd_secret` is in force, neither a KEK nor the PIN stands in the memory that root can read of
//! the running service.
//!
//! The test computes the KEKs as whoever holds token, PIN and store can: by the derivation and the
//! contexts that are documented, which it so tests too. It proves that they are the right ones by opening
//! a data key with them, then looks for them in `/proc/PID/mem`.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_cobblestone as cobblestone;
use claviger_keystore::{KeyRecord, Material};
use claviger_kms::{
    Binding, Canonical, Ciphertext, Derivation, EncryptionContext, KeyVersion, Role, SecretKey,
};
use claviger_root_key::{ObjectId, Pkcs11Token, Token};
use claviger_tests::{Running, Secrets, Site, http};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

const REGION: &str = "us-east-1";
const KEY: &str = "us-east-1/payments";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_kek_nor_pin_is_in_the_readable_memory_of_the_service() {
    let site = Site::new();
    let service = site.start();
    service.create(&[REGION, KEY]);
    service.rotate(KEY);
    for _ in 0..50 {
        let (_, ciphertext) = service.data_key(KEY, "1");
        let _ = service.decrypt(&ciphertext, "1");
    }
    let (plain, ciphertext) = service.data_key(KEY, "1");

    let store = Store::read(&site);
    let token = Pkcs11Token::open(&site.token().token_config()).unwrap();
    let region = store.record(REGION);
    let key = store.record(KEY);
    let region_kek = store.region_kek(&token, &region).await;
    let kek = kek_below(&region, &region_kek, &key);
    assert_opens(&kek, &key, &ciphertext, &plain);

    let status = service.look("/v1/status").json();
    let memory = status["hierarchy"]["memory"].as_str().unwrap().to_owned();
    if memory != "secret-memory" {
        println!("SKIP memfd_secret is not in force here: {memory}");
        return;
    }
    // Control: the same search sees the value of a request that is under way.
    let value = STANDARD.encode([plain.as_slice(), plain.as_slice()].concat());
    let mut control = Secrets::new();
    control.add_raw("a value under way", value.as_bytes(), 12);
    let body = json!({"key": KEY, "plaintext": value});
    let under_way = http::begin_post(&site.data_socket(), "/v1/encrypt", &body);
    thread::sleep(Duration::from_millis(200));
    let Some(seen) = found_in_memory(&service, &control) else {
        println!("SKIP this user cannot read the service's memory, which is the point of it");
        return;
    };
    assert!(!seen.is_empty(), "the search does not see the service's memory");
    let _ = under_way.reply().json();

    let mut secrets = Secrets::new();
    let pin = fs::read_to_string(site.token().pin_file()).unwrap();
    secrets.add_raw("the PIN", pin.trim().as_bytes(), 12);
    #[expect(clippy::disallowed_methods, reason = "what is looked for")]
    for (name, kek) in [("the region's KEK", &region_kek), ("the service's KEK", &kek)] {
        kek.with_bytes(|bytes| secrets.add_raw(name, bytes, 8));
    }
    assert_eq!(found_in_memory(&service, &secrets).unwrap(), [""; 0]);
    service.stop();
}

/// What whoever can read the file sees.
struct Store {
    records: Vec<KeyRecord>,
    facts: Value,
}

impl Store {
    fn read(site: &Site) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let store = Connection::open_with_flags(site.store(), flags).unwrap();
        let mut query = store.prepare("SELECT body FROM record").unwrap();
        let bodies = query.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let records = bodies.map(|body| KeyRecord::from_bytes(&body.unwrap()).unwrap()).collect();
        let sql = "SELECT bytes FROM document WHERE name = 'root'";
        let document: Vec<u8> = store.query_row(sql, [], |row| row.get(0)).unwrap();
        let sealed: Value = serde_json::from_slice(&document).unwrap();
        let facts = serde_json::from_str(sealed["facts"].as_str().unwrap()).unwrap();
        Self { records, facts }
    }

    fn record(&self, path: &str) -> KeyRecord {
        self.records.iter().find(|record| record.path.as_str() == path).unwrap().clone()
    }

    async fn region_kek(&self, token: &dyn Token, region: &KeyRecord) -> SecretKey {
        let root_id: claviger_kms::KeyId = self.facts["root_id"].as_str().unwrap().parse().unwrap();
        let root: ObjectId = self.facts["roots"][0]["object"].as_str().unwrap().parse().unwrap();
        let wrapping = node(kek_context(), root_id.as_bytes(), "", 1);
        let context = node_of(wrapping, region, primary(region)).finish();
        let wrapped = wrapped(region);
        let salt = cobblestone::salt_of(&wrapped).unwrap();
        let derivation = Derivation::new(Role::KekWrap, salt, &context);
        let input = token.derive(root, &derivation).await.unwrap();
        cobblestone::unwrap_key(input, &context, &wrapped).unwrap()
    }
}

fn kek_below(parent: &KeyRecord, parent_kek: &SecretKey, child: &KeyRecord) -> SecretKey {
    let version = child.version(primary(child)).unwrap().parent_version;
    let context = node_of(node_of(kek_context(), parent, version), child, primary(child)).finish();
    let wrapped = wrapped(child);
    let salt = cobblestone::salt_of(&wrapped).unwrap();
    let input = Derivation::new(Role::KekWrap, salt, &context).derive_from(parent_kek).unwrap();
    cobblestone::unwrap_key(input, &context, &wrapped).unwrap()
}

/// The KEK is the right one: it opens what the service wrapped.
fn assert_opens(kek: &SecretKey, record: &KeyRecord, ciphertext: &str, plain: &[u8]) {
    let ciphertext = Ciphertext::parse(&STANDARD.decode(ciphertext).unwrap()).unwrap();
    let row = EncryptionContext::from_pairs([("row", "1")]).unwrap();
    let binding = Binding { context: row, envelope_id: None };
    let context =
        node_of(Canonical::new("claviger/1/dek-wrap").u32(1), record, ciphertext.version())
            .text("data-key")
            .bytes(&[])
            .bytes(&binding.context.canonical_bytes())
            .finish();
    let message = ciphertext.wrapped_key();
    let salt = cobblestone::salt_of(message).unwrap();
    let input = Derivation::new(Role::DekWrap, salt, &context).derive_from(kek).unwrap();
    let key = cobblestone::unwrap_key(input, &context, message).unwrap();
    #[expect(clippy::disallowed_methods, reason = "compares what was opened")]
    key.with_bytes(|bytes| assert_eq!(bytes.as_slice(), plain));
}

fn kek_context() -> Canonical {
    Canonical::new("claviger/1/kek-wrap").u32(1)
}

fn node_of(into: Canonical, record: &KeyRecord, version: KeyVersion) -> Canonical {
    node(into, record.id.as_bytes(), record.path.as_str(), version.number())
}

fn node(into: Canonical, id: &[u8], path: &str, version: u32) -> Canonical {
    into.bytes(id).text(path).u32(version).text("encryption")
}

fn primary(record: &KeyRecord) -> KeyVersion {
    record.primary.unwrap()
}

fn wrapped(record: &KeyRecord) -> [u8; Ciphertext::WRAPPED_KEY] {
    match &record.version(primary(record)).unwrap().material {
        Material::Wrapped(bytes) => bytes.as_slice().try_into().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What stands in any mapping that can be read; `None` when none can.
fn found_in_memory(service: &Running, secrets: &Secrets) -> Option<Vec<String>> {
    let pid = service.pid();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let (mut found, mut seen) = (Vec::new(), 0);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with('r')) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (number(start), number(end));
        // Page by page runs together, so that one that cannot be read hides no other.
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        let mut run = 0;
        for page in (0..bytes.len()).step_by(4096) {
            if memory.read_exact_at(&mut bytes[page..page + 4096], start + page as u64).is_err() {
                found.extend(places(secrets, &bytes[run..page], line));
                run = page + 4096;
            }
        }
        seen += bytes.len() - run.min(bytes.len());
        found.extend(places(secrets, &bytes[run.min(bytes.len())..], line));
    }
    (seen > 0).then_some(found)
}

fn places(secrets: &Secrets, bytes: &[u8], line: &str) -> Vec<String> {
    let mapping = |found: String| format!("{found} of {line}");
    secrets.found_in(bytes).into_iter().map(mapping).collect()
}
