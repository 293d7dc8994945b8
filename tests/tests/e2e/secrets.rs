//! No secret stands in anything the service leaves behind, at the most talkative level of its log.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_kms::{
    Binding, DataKey, Decrypted, Encrypt, Encrypted, KeyVersion, SecretBytes, SecretKey,
    WipedBuffer,
};
use claviger_tests::{Running, Secrets, Site, http};
use serde_json::{Value, json};

const KEY: &str = "us-east-1/payments";

/// What the service said to callers who were refused.
#[derive(Default)]
struct Said(String);

impl Said {
    fn refused(&mut self, reply: &http::Reply) {
        assert_ne!(reply.status, 200, "{reply:?}");
        self.0.push_str(&reply.head);
        self.0.push_str(&reply.body);
        self.0.push('\n');
    }
}

#[test]
fn pin_data_keys_and_values_are_in_no_log_record_error_or_store() {
    let site = Site::without_ceremony();
    site.change_config("level = \"info\"", "level = \"trace\"");
    let mut said = Said::default();
    for words in [&["root", "init"][..], &["root", "verify"], &["root", "report"], &["check"]] {
        let ran = site.clavigerd(words).succeeded();
        said.0.push_str(&ran.said);
        said.0.push_str(ran.text());
    }
    let service = site.start();
    let mut secrets = Secrets::new();
    let pin = fs::read_to_string(site.token().pin_file()).unwrap();
    secrets.add_text("the PIN", pin.trim());
    do_everything(&site, &service, &mut secrets, &mut said);
    let metrics = service.look("/metrics").body + &service.look("/v1/status").body;
    service.stop();

    let log = fs::read(site.log()).unwrap();
    assert_eq!(secrets.found_in(&log), [""; 0], "in the log");
    assert_eq!(secrets.found_in(said.0.as_bytes()), [""; 0], "in what was said");
    assert_eq!(secrets.found_in(metrics.as_bytes()), [""; 0], "in metrics or status");
    let kept = kept_files(site.folder());
    for (name, bytes) in &kept {
        assert_eq!(secrets.found_in(bytes), [""; 0], "in {name}");
    }

    // The search sees what is there: the same search finds each of these.
    let mut control = Secrets::new();
    control.add_text("a key's path", KEY);
    let of = |part: &str| {
        &kept.iter().find(|(name, _)| format!("{name}/").contains(part)).expect(part).1
    };
    for (place, bytes) in [("store", of("/keys.db/")), ("audit log", of("audit-0"))] {
        assert!(!control.found_in(bytes).is_empty(), "{place}");
    }
    let mut control = Secrets::new();
    control.add_text("a route", "/v1/batch/decrypt");
    assert!(!control.found_in(&log).is_empty());
    // Of what the service says at `info`, nothing would show that it says more here.
    let talkative = b"\"level\":\"DEBUG\"";
    assert!(log.windows(talkative.len()).any(|part| part == talkative), "the log says little");
    let planted = [log.as_slice(), STANDARD.encode(format!("x{pin}")).as_bytes()].concat();
    assert!(!secrets.found_in(&planted).is_empty());
}

/// Every operation, done and refused, with secrets in every place a caller can put one.
fn do_everything(site: &Site, service: &Running, secrets: &mut Secrets, said: &mut Said) {
    service.create(&["us-east-1", KEY]);
    let mut ciphertexts = Vec::new();
    for round in 0..4 {
        let (plain, ciphertext) = service.data_key(KEY, "1");
        secrets.add(&format!("data key {round}"), &plain);
        assert_eq!(service.decrypt(&ciphertext, "1"), plain);
        ciphertexts.push(ciphertext);
        service.rotate(if round % 2 == 0 { KEY } else { "us-east-1" });
    }
    let value = random(48);
    secrets.add("the value", &value);
    let encrypted = service.encrypt(KEY, "1", &value);
    assert_eq!(service.decrypt(&encrypted, "1"), value);

    let item = json!({"key": KEY, "binding": {"context": {"row": "1"}}});
    let made = service.use_key("/v1/batch/data-key", &json!({"items": [item, item]})).json();
    for result in made["results"].as_array().unwrap() {
        let plain = result["ok"]["plaintext"].as_str().unwrap();
        secrets.add("a data key of a batch", &STANDARD.decode(plain).unwrap());
    }
    let decrypts: Vec<Value> = ciphertexts
        .iter()
        .map(|ciphertext| json!({"ciphertext": ciphertext, "binding": {"context": {"row": "1"}}}))
        .collect();
    let _ = service.use_key("/v1/batch/decrypt", &json!({"items": decrypts})).json();
    let _ = service.use_key("/v1/rewrap", &decrypts[0]).json();
    let _ = service.use_key("/v1/data-key-wrapped", &json!({"key": KEY})).json();
    let file = random(20_000);
    secrets.add("the file", &file[..4096]);
    fs::write(site.work().join("file"), &file).unwrap();
    let ran = site.run_claviger(&["seal", "--key", KEY, "file"]).succeeded();
    said.0.push_str(&ran.said);
    fs::remove_file(site.work().join("file")).unwrap();

    // The same value where it is refused: unknown keys, wrong types, names of fields, paths, queries.
    let text = STANDARD.encode(&value);
    let data = site.data_socket();
    for body in [
        json!({"key": "none", "plaintext": text}),
        json!({"key": KEY, "plaintext": text, "colour": text}),
        json!({"key": KEY, "plaintext": {"value": text}}),
        json!({"key": KEY, "plaintext": text, "binding": text}),
        json!({"key": KEY, "plaintext": format!("{text}%")}),
        json!(text),
        json!([text]),
    ] {
        said.refused(&http::post(&data, "/v1/encrypt", &body));
        said.refused(&http::post(&data, "/v1/batch/encrypt", &json!({"items": body})));
        said.refused(&http::post(&data, "/v1/decrypt", &body));
    }
    let cut = format!(r#"{{"key":"{KEY}","plaintext":"{text}""#);
    said.refused(&http::post_text(&data, "/v1/encrypt", &cut));
    said.refused(&service.try_decrypt(&encrypted, "2"));
    said.refused(&service.try_decrypt(&text, "1"));
    // Cut off inside a body, which the log tells at `debug`.
    drop(http::begin_post(&data, "/v1/encrypt", &json!({"key": KEY, "plaintext": text})));
    let disable = json!({"key": KEY, "version": 1});
    let _ = service.manage("/v1/disable-version", &disable).json();
    said.refused(&service.try_decrypt(&ciphertexts[0], "1"));
    let _ = service.manage("/v1/enable-version", &disable).json();
}

#[test]
fn debug_shows_no_secret() {
    let bytes = random(32);
    let mut secrets = Secrets::new();
    secrets.add("the secret", &bytes);
    let key = || SecretBytes::copy_of(&bytes).into_secret_key().unwrap();
    let value = || SecretBytes::copy_of(&bytes);
    let path: claviger_kms::KeyPath = KEY.parse().unwrap();
    let wrapped =
        || Encrypted { ciphertext: vec![0; 126], key: path.clone(), version: KeyVersion::FIRST };
    let mut buffer = WipedBuffer::with_capacity(64);
    buffer.extend(&bytes);
    let shown = [
        debug(&key()),
        debug(&value()),
        debug(&DataKey { plaintext: key(), wrapped: wrapped() }),
        debug(&Encrypt { key: path.clone(), plaintext: value(), binding: Binding::default() }),
        debug(&Decrypted { plaintext: value(), key: path.clone(), version: KeyVersion::FIRST }),
        debug(&buffer),
        debug(&Some(Box::new(Ok::<_, SecretKey>(value())))),
    ];
    for text in &shown {
        assert_eq!(secrets.found_in(text.as_bytes()), [""; 0], "{text}");
    }
    assert!(!secrets.found_in(debug(&bytes).as_bytes()).is_empty(), "the search finds nothing");
}

fn debug(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    claviger_kms::fill_random(&mut bytes).unwrap();
    bytes
}

/// Every file of the site that can be read, with its bytes: store, audit log, envelopes, configuration.
fn kept_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(kept_files(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}
