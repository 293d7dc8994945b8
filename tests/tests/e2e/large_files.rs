//! A gibibyte through the command line in little memory, and a payload opened by another implementation
//! after `FORMAT.md` alone.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_tests::{Site, cost_of, run};
use serde_json::json;

const GIBIBYTE: u64 = 1 << 30;
const MEMORY: u64 = 64 << 20;

#[test]
fn a_gibibyte_is_sealed_and_opened_in_less_than_64_mib_of_memory() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    // Holes: the length counts, the content is the other tests' concern.
    let plain = site.work().join("large");
    File::create(&plain).unwrap().set_len(GIBIBYTE).unwrap();
    let peak = cost_of(site.claviger().args(["seal", "--key", "eu", "large"])).peak_bytes;
    assert!(peak < MEMORY, "sealing took {peak} bytes");
    assert!(peak > 1 << 20, "{peak} bytes are no program's: correct this test");
    let sealed = site.work().join("large.claviger");
    assert!(fs::metadata(&sealed).unwrap().len() > GIBIBYTE);
    fs::remove_file(&plain).unwrap();
    let peak = cost_of(site.claviger().args(["open", "large.claviger"])).peak_bytes;
    assert!(peak < MEMORY, "opening took {peak} bytes");
    fs::remove_file(sealed).unwrap();
    assert_holds_zeros(&plain);
    service.stop();
}

#[test]
fn another_implementation_opens_a_payload_after_the_format_document() {
    let site = Site::new();
    let service = site.start();
    service.create(&["eu"]);
    let plain = site.work().join("plain");
    let mut file = File::create(&plain).unwrap();
    for block in 0..40_u32 {
        let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251 + block) as u8).collect();
        file.write_all(&bytes).unwrap();
    }
    file.write_all(b"the end").unwrap();
    let words = ["seal", "--key", "eu", "--context", "table=users", "--context", "row=17", "plain"];
    let _ = site.run_claviger(&words).succeeded();

    // The one wrap of the first slot, where the document says it stands; the service opens it.
    let mut slot = [0; 4096];
    File::open(site.work().join("plain.claviger")).unwrap().read_exact(&mut slot).unwrap();
    let (id, wrap) = (&slot[15 + 6..15 + 22], &slot[15 + 26..15 + 26 + 126]);
    let id = hex::encode(id);
    let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let binding = json!({"context": {"table": "users", "row": "17"}, "envelope_id": uuid});
    let body = json!({"ciphertext": STANDARD.encode(wrap), "binding": binding});
    let data_key = service.use_key("/v1/decrypt", &body).json()["plaintext"].clone();
    service.stop();

    let script = format!("{}\n{OPEN_FILE}", python_of_the_format());
    let mut python = Command::new(python());
    python.arg("-c").arg(&script).current_dir(site.work());
    let _ = run(&mut python, data_key.as_str().unwrap().as_bytes()).succeeded();
    let wrong = script.replace("\"17\"", "\"18\"");
    let mut python = Command::new(self::python());
    python.arg("-c").arg(&wrong).current_dir(site.work());
    assert_eq!(run(&mut python, data_key.as_str().unwrap().as_bytes()).code, Some(1));
}

const OPEN_FILE: &str = r#"
import base64, sys
data_key = base64.b64decode(sys.stdin.read())
sealed = open("plain.claviger", "rb").read()
context = payload_context(sealed[15 + 6:15 + 22], {"table": "users", "row": "17"})
decryptor = Cobblestone256Decryptor(data_key, context)
opened = decryptor.update(sealed[8192:]) + decryptor.finalize()
sys.exit(0 if opened == open("plain", "rb").read() else 3)
"#;

/// The one block of Python in the document, as it stands there.
fn python_of_the_format() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("crates/envelope/FORMAT.md")).unwrap();
    let blocks: Vec<_> = document.split("```python\n").skip(1).collect();
    assert_eq!(blocks.len(), 1, "correct this test");
    blocks[0].split_once("```").unwrap().0.to_owned()
}

/// The interpreter with the packages of `scripts/requirements.txt`.
fn python() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let ran = run(&mut Command::new(root.join("scripts/python-env")), b"").succeeded();
    ran.text().trim().to_owned()
}

fn assert_holds_zeros(path: &Path) {
    let mut file = File::open(path).unwrap();
    let (mut buffer, mut length) = (vec![1; 1 << 20], 0);
    loop {
        let read = file.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        length += read as u64;
        assert!(buffer[..read].iter().all(|byte| *byte == 0));
    }
    assert_eq!(length, GIBIBYTE);
}
