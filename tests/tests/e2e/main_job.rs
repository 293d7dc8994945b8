//! Seal, rotate, restart, be killed: what was sealed once opens for ever.

use std::{fs, sync::Arc, thread, time::Duration};

use claviger_client::{Client, ClientConfig};
use claviger_envelope::Envelopes;
use claviger_kms::EncryptionContext;
use claviger_tests::{Running, Site, http};
use serde_json::{Value, json};

const REGION: &str = "us-east-1";
const KEY: &str = "us-east-1/payments";

/// A record by HTTP, a data key by HTTP, a file by the command line, a record by the library.
struct Sealed {
    value: String,
    data_key: (Vec<u8>, String),
    file: Vec<u8>,
    record: Vec<u8>,
}

impl Sealed {
    async fn make(site: &Site, service: &Running) -> Self {
        let file: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(site.work().join("report"), &file).unwrap();
        let words = ["seal", "--key", KEY, "--context", "file=report", "report"];
        let _ = site.run_claviger(&words).succeeded();
        let record = envelopes(site).seal(&KEY.parse().unwrap(), &context(), b"a record").await;
        Self {
            value: service.encrypt(KEY, "17", b"a value"),
            data_key: service.data_key(KEY, "18"),
            file,
            record: record.unwrap(),
        }
    }

    async fn assert_opens(&self, site: &Site, service: &Running) {
        assert_eq!(service.decrypt(&self.value, "17"), b"a value");
        assert_eq!(service.decrypt(&self.data_key.1, "18"), self.data_key.0);
        let words = ["open", "--context", "file=report", "report.claviger", "-O", "opened"];
        let _ = site.run_claviger(&words).succeeded();
        assert!(fs::read(site.work().join("opened")).unwrap() == self.file);
        fs::remove_file(site.work().join("opened")).unwrap();
        let opened = envelopes(site).open(&context(), &self.record).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "compares what was opened")]
        opened.with_bytes(|plain| assert_eq!(plain, b"a record"));
    }
}

fn envelopes(site: &Site) -> Envelopes {
    Envelopes::new(Arc::new(Client::new(ClientConfig::new(site.data_socket()))))
}

fn context() -> EncryptionContext {
    EncryptionContext::from_pairs([("table", "users")]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_opens_after_rotations_rewraps_and_restarts() {
    let site = Site::new();
    let service = site.start();
    service.create(&[REGION, KEY]);
    let sealed = Sealed::make(&site, &service).await;
    sealed.assert_opens(&site, &service).await;

    service.rotate(KEY);
    service.rotate(REGION);
    service.rotate(KEY);
    sealed.assert_opens(&site, &service).await;
    service.stop();
    let service = site.start();
    sealed.assert_opens(&site, &service).await;

    // The file moves in place, the value by HTTP; both open under the new version, and the old value too.
    let words = ["rewrap", "--context", "file=report", "report.claviger"];
    let _ = site.run_claviger(&words).succeeded();
    let body = json!({"ciphertext": sealed.value, "binding": {"context": {"row": "17"}}});
    let moved = service.use_key("/v1/rewrap", &body).json();
    assert_eq!((&moved["from"], &moved["to"]), (&json!(1), &json!(3)));
    assert_eq!(service.decrypt(moved["ciphertext"].as_str().unwrap(), "17"), b"a value");
    sealed.assert_opens(&site, &service).await;
    service.kill();
    let service = site.start();
    sealed.assert_opens(&site, &service).await;
    service.stop();
    let verified = site.clavigerd(&["root", "verify"]).succeeded();
    assert!(verified.text().contains("known answer"), "{}", verified.text());
}

/// Twenty times, at another moment each time.
#[test]
fn a_kill_amid_rotations_loses_nothing_and_leaves_one_primary() {
    let site = Site::new();
    let mut service = site.start();
    service.create(&[REGION, KEY]);
    let mut made: Vec<(Vec<u8>, String)> = Vec::new();
    for round in 0..20_u64 {
        let admin = site.admin_socket();
        let bursts: Vec<_> = [KEY, KEY, REGION]
            .map(|key| {
                let admin = admin.clone();
                thread::spawn(move || rotate_until_killed(&admin, key))
            })
            .into();
        for _ in 0..3 {
            made.push(service.data_key(KEY, "1"));
        }
        thread::sleep(Duration::from_millis(round * 7 % 61));
        service.kill();
        let acknowledged: Vec<u64> =
            bursts.into_iter().map(|burst| burst.join().unwrap()).collect();

        service = site.start();
        for (key, least) in [(KEY, acknowledged[0].max(acknowledged[1])), (REGION, acknowledged[2])]
        {
            let found = service.look(&format!("/v1/keys/{key}")).json();
            let primary = assert_one_primary(&found);
            assert!(primary >= least, "{key}: {least} was acknowledged, {primary} is there");
        }
        for (plain, ciphertext) in &made {
            assert_eq!(&service.decrypt(ciphertext, "1"), plain, "round {round}");
        }
    }
    let found = service.look(&format!("/v1/keys/{KEY}")).json();
    assert!(found["versions"].as_array().unwrap().len() > 20, "hardly anything was rotated");
    service.stop();
}

/// The highest version that was acknowledged as primary; 1 if none was.
fn rotate_until_killed(admin: &std::path::Path, key: &str) -> u64 {
    let mut highest = 1;
    loop {
        let reply = http::post(admin, "/v1/rotate", &json!({"key": key}));
        match reply.status {
            200 => highest = assert_one_primary(&reply.json()),
            0 => return highest,
            _ => assert_eq!(reply.status, 409, "{reply:?}"),
        }
    }
}

/// Its number.
fn assert_one_primary(key: &Value) -> u64 {
    let versions = key["versions"].as_array().unwrap();
    let primary: Vec<_> = versions.iter().filter(|version| version["state"] == "primary").collect();
    assert_eq!(primary.len(), 1, "{key}");
    assert_eq!(primary[0]["version"], key["primary"], "{key}");
    key["primary"].as_u64().unwrap()
}
