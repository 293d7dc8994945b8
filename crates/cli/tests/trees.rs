//! Directories, over a whole service: sealed, restarted, rewrapped, opened; what must be refused is.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use claviger_kms::{CreateKey, CreateVersion, KeyManagementService as _};
use claviger_testkit::Service;
use serde_json::{Value, json};

struct Bench {
    service: Service,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let service = Service::start().await;
        for key in ["eu", "eu/pay"] {
            service.client().create_key(CreateKey::at(key.parse().unwrap())).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::create_dir_all(plain.join("sub/deep")).unwrap();
        fs::write(plain.join("a"), "one").unwrap();
        fs::write(plain.join("sub/b"), vec![7; 100_000]).unwrap();
        fs::write(plain.join("sub/deep/c"), "").unwrap();
        symlink("/etc/passwd", plain.join("link")).unwrap();
        symlink("/etc", plain.join("sub/link")).unwrap();
        Self { service, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program; exit code, the JSON it printed, what it said.
    async fn run(&self, words: &[&str]) -> (i32, Value, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command
            .args(words)
            .args(["-o", "json"])
            .env("CLAVIGER_SOCKET", self.service.data_socket())
            .env("CLAVIGER_ADMIN_SOCKET", self.service.admin_socket())
            .current_dir(self.folder.path());
        let Output { status, stdout, stderr } =
            tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let facts = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
        (status.code().unwrap(), facts, String::from_utf8(stderr).unwrap())
    }

    async fn seal(&self) -> (i32, Value, String) {
        self.run(&["seal", "-r", "plain", "--key", "eu/pay", "-O", "sealed"]).await
    }
}

fn same(left: &Path, right: &Path) {
    for file in ["a", "sub/b", "sub/deep/c"] {
        assert!(
            fs::read(left.join(file)).unwrap() == fs::read(right.join(file)).unwrap(),
            "{file}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_sealed_restarted_rewrapped_and_opened() {
    let bench = Bench::new().await;
    let (code, facts, said) = bench.seal().await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(facts["counts"], json!({"sealed_now": 3, "links_not_followed": 2}));
    let (code, facts, _) = bench.seal().await;
    assert_eq!((code, &facts["counts"]["sealed_before"]), (0, &json!(3)));

    let key = "eu/pay".parse().unwrap();
    let rotate = CreateVersion { key, idempotency_key: None };
    bench.service.client().rotate(rotate).await.unwrap();
    let (code, facts, said) = bench.run(&["rewrap", "-r", "sealed"]).await;
    assert_eq!((code, &facts["counts"]), (0, &json!({"version_1_to_2": 3})), "{said}");
    let (code, facts, _) = bench.run(&["rewrap", "-r", "sealed", "--jobs", "4"]).await;
    assert_eq!((code, &facts["counts"]), (0, &json!({"newest_already": 3})));

    let (code, facts, said) = bench.run(&["open", "-r", "sealed", "-O", "again"]).await;
    assert_eq!((code, &facts["counts"]), (0, &json!({"opened_now": 3})), "{said}");
    same(&bench.path("plain"), &bench.path("again"));
    let (code, facts, _) = bench.run(&["open", "-r", "sealed", "-O", "again"]).await;
    assert_eq!((code, &facts["counts"]), (0, &json!({"opened_before": 3})));
    let alone = ["open", "sealed/sub/b.claviger", "--context", "path=sub/b", "-O", "b"];
    assert_eq!(bench.run(&alone).await.0, 0);
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_and_cut_files_and_links_in_the_output_are_refused_and_the_rest_is_done() {
    let bench = Bench::new().await;
    assert_eq!(bench.seal().await.0, 0);
    let sealed = bench.path("sealed");
    fs::copy(sealed.join("a.claviger"), sealed.join("other.claviger")).unwrap();
    fs::write(sealed.join("cut.claviger"), "CLVF").unwrap();
    fs::create_dir_all(bench.path("out")).unwrap();
    fs::create_dir_all(bench.path("elsewhere")).unwrap();
    symlink(bench.path("elsewhere"), bench.path("out/sub")).unwrap();
    let (code, facts, said) = bench.run(&["open", "-r", "sealed", "-O", "out"]).await;
    assert_eq!(code, 12, "{said}");
    assert_eq!((&facts["counts"], &facts["failed"]), (&json!({"opened_now": 1}), &json!(4)));
    assert!(said.contains(r#""code":"partial""#), "{said}");
    assert_eq!(fs::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
    let code_of = |file: &str| {
        let failures = facts["failures"].as_array().unwrap();
        failures.iter().find(|failure| failure["file"] == file).unwrap()["code"].clone()
    };
    assert_eq!(code_of("other.claviger"), "ciphertext-rejected");
    assert_eq!(code_of("cut.claviger"), "not-an-envelope");
    assert_eq!(code_of("sub/b.claviger"), "file-error");
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_input_a_foreign_output_and_a_path_of_ones_own_are_refused() {
    let bench = Bench::new().await;
    assert_eq!(bench.seal().await.0, 0);
    fs::write(bench.path("plain/a"), "longer than before").unwrap();
    fs::write(bench.path("sealed/sub/b.claviger"), "precious").unwrap();
    let (code, facts, said) = bench.seal().await;
    assert_eq!((code, &facts["failed"]), (7, &json!(2)), "{said}");
    assert_eq!(fs::read(bench.path("sealed/sub/b.claviger")).unwrap(), b"precious");
    let force = ["seal", "-r", "plain", "--key", "eu/pay", "-O", "sealed", "--force"];
    assert_eq!(bench.run(&force).await.0, 0);
    let own = ["seal", "-r", "plain", "--key", "eu/pay", "--context", "path=x"];
    assert_eq!(bench.run(&own).await.0, 2);
    let none = ["seal", "-r", "plain", "--key", "eu/pay", "--jobs", "0"];
    assert_eq!(bench.run(&none).await.0, 2);
    let denied = ["seal", "-r", "plain", "--key", "eu/none", "-O", "new"];
    assert_ne!(bench.run(&denied).await.0, 12);
    bench.service.begin_shutdown();
}

/// A killed run's temporary file goes with the next run; one whose maker lives stays.
#[tokio::test(flavor = "multi_thread")]
async fn abandoned_temporary_files_go_and_those_of_the_living_stay() {
    let bench = Bench::new().await;
    let name = |digit: &str| format!("plain/sub/.claviger-{}.partial", digit.repeat(32));
    let (dead, alive, foreign) = (
        bench.path(&name("0")),
        bench.path(&name("1")),
        bench.path("plain/sub/.claviger-x.partial"),
    );
    for path in [&dead, &alive, &foreign] {
        fs::write(path, "half").unwrap();
    }
    let living = fs::File::open(&alive).unwrap();
    living.lock().unwrap();
    let (code, facts, said) = bench.run(&["seal", "-r", "plain", "--key", "eu/pay"]).await;
    assert_eq!((code, &facts["counts"]["sealed_now"]), (0, &json!(4)), "{said}");
    assert!(!dead.exists() && alive.exists() && foreign.exists());

    drop(living);
    let one = ["seal", "plain/sub/b", "--key", "eu/pay", "-O", "plain/sub/b2"];
    assert_eq!(bench.run(&one).await.0, 0);
    assert!(!alive.exists());
    bench.service.stop().await;
}
