//! A token that is not the one, or not as it was: the service says which, exits, and nothing is lost.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use claviger_root_key::ObjectId;
use claviger_testkit::SoftHsm;
use claviger_tests::{Ran, Site};

/// A site with something sealed, which must open again when the trouble is over.
struct Bench {
    site: Site,
    sealed: String,
}

impl Bench {
    fn new() -> Self {
        let site = Site::new();
        let service = site.start();
        service.create(&["eu", "eu/pay"]);
        let sealed = service.encrypt("eu/pay", "1", b"precious");
        service.stop();
        Self { site, sealed }
    }

    /// Starts the service, which must refuse with one line that has all of this, and touch no key.
    fn assert_refused(&self, says: &[&str]) -> Ran {
        self.assert_refused_with(1, says)
    }

    fn assert_refused_with(&self, code: i32, says: &[&str]) -> Ran {
        let before = fs::read(self.site.store()).unwrap();
        let objects = self.objects();
        let ran = self.site.refused_start();
        ran.assert_refused(code, &["clavigerd: "]);
        ran.assert_refused(code, says);
        assert!(!self.site.data_socket().exists(), "it listened");
        assert!(fs::read(self.site.store()).unwrap() == before, "the store was changed");
        assert!(self.objects() == objects, "the token's objects were changed");
        ran
    }

    /// The token's key objects, with their bytes; a login is noted in `token.object`.
    fn objects(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = contents(&self.site.token().directory().join("tokens"));
        found.retain(|(path, _)| {
            let name = path.file_name().unwrap();
            name != "token.object" && path.extension().is_some_and(|suffix| suffix == "object")
        });
        assert!(!found.is_empty(), "the token has no objects");
        found
    }

    fn assert_nothing_was_lost(&self) {
        let service = self.site.start();
        assert_eq!(service.decrypt(&self.sealed, "1"), b"precious");
        service.stop();
    }
}

/// Tokens lock after three to ten wrong PINs: so one start is one attempt, whatever the number of sessions.
#[test]
fn a_wrong_pin_is_tried_once_and_the_service_exits() {
    let bench = Bench::new();
    let counter = bench.site.count_logins();
    let right = fs::read(bench.site.token().pin_file()).unwrap();
    fs::write(bench.site.token().pin_file(), "1234567\n").unwrap();
    // A code of its own: a supervisor that starts it again would lock the token.
    let ran =
        bench.assert_refused_with(77, &["PIN", "CKR_PIN_INCORRECT", "not tried again", "correct"]);
    assert!(!ran.said.contains("1234567"), "{}", ran.said);
    assert_eq!(counter.logins(), 1);
    let _ = bench.site.clavigerd(&["check"]).succeeded();
    assert_eq!(counter.logins(), 1, "`check` logged in");
    bench.site.clavigerd(&["root", "verify"]).assert_refused(77, &["not tried again"]);
    assert_eq!(counter.logins(), 2);

    fs::write(bench.site.token().pin_file(), right).unwrap();
    bench.assert_nothing_was_lost();
    assert_eq!(counter.logins(), 3, "the counter counts");
}

#[test]
fn a_pin_file_that_is_missing_or_open_to_others_is_named_with_the_remedy() {
    let bench = Bench::new();
    let pin = bench.site.token().pin_file();
    let shown = pin.display().to_string();
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&pin, fs::Permissions::from_mode(mode)).unwrap();
        bench.assert_refused(&[&shown, &format!("{mode:04o}"), "chmod 600"]);
        bench.site.clavigerd(&["check"]).assert_refused(1, &[&shown, "chmod 600"]);
    }
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    let aside = pin.with_extension("aside");
    fs::rename(&pin, &aside).unwrap();
    bench.assert_refused(&[&shown, "cannot be read"]);
    bench.site.clavigerd(&["check"]).assert_refused(1, &[&shown]);
    fs::rename(&aside, &pin).unwrap();
    bench.assert_nothing_was_lost();
}

#[test]
fn a_missing_module_and_a_label_that_no_token_has_are_named() {
    let bench = Bench::new();
    let module = bench.site.token().module().display().to_string();
    bench.site.change_config(&module, "/usr/lib/none.so");
    bench.assert_refused(&["/usr/lib/none.so"]);
    bench.site.clavigerd(&["check"]).assert_refused(1, &["/usr/lib/none.so", "install"]);
    bench.site.change_config("/usr/lib/none.so", &module);

    let label = format!("label = \"{}\"", SoftHsm::LABEL);
    bench.site.change_config(&label, "label = \"elsewhere\"");
    bench.assert_refused(&["elsewhere", SoftHsm::LABEL]);
    bench.site.change_config("label = \"elsewhere\"", &label);
    bench.assert_nothing_was_lost();
}

#[test]
fn two_tokens_of_one_label_are_ambiguous_and_the_remedy_is_the_serial() {
    let bench = Bench::new();
    bench.site.token().add_token(SoftHsm::LABEL);
    let ran = bench.assert_refused(&[SoftHsm::LABEL, "serial"]);
    // The message lists what can be chosen; the right one of the two is the one that has the root.
    let serials: Vec<&str> =
        ran.said.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 16).collect();
    assert_eq!(serials.len(), 2, "{}", ran.said);
    let mut selected = format!("label = \"{}\"", SoftHsm::LABEL);
    let mut opened = 0;
    for serial in serials {
        let next = format!("serial = \"{serial}\"");
        bench.site.change_config(&selected, &next);
        selected = next;
        match bench.site.clavigerd(&["root", "verify"]).code {
            Some(0) => {
                bench.assert_nothing_was_lost();
                opened += 1;
            }
            _ => drop(bench.assert_refused(&["the token has no"])),
        }
    }
    assert_eq!(opened, 1);
}

/// Whoever has the PIN can make a second object under the root's id and label.
#[test]
fn a_planted_second_root_stops_the_service_with_the_reason() {
    let bench = Bench::new();
    let verified = bench.site.clavigerd(&["root", "verify", "--json"]).succeeded();
    let summary: serde_json::Value = serde_json::from_str(verified.text()).unwrap();
    let root: ObjectId = summary["root_object"].as_str().unwrap().parse().unwrap();
    bench.site.token().plant_duplicate(root);
    bench.assert_refused(&[&root.to_string(), "2"]);
    bench.site.clavigerd(&["root", "verify"]).assert_refused(1, &[&root.to_string()]);
}

/// A token of the right label and PIN that is not the one of the ceremony.
#[test]
fn another_token_with_the_same_label_is_no_root() {
    let bench = Bench::new();
    let other = Site::new();
    let tokens = |site: &Site| site.token().directory().join("tokens");
    let aside = bench.site.folder().join("aside");
    fs::rename(tokens(&bench.site), &aside).unwrap();
    copy_folder(&tokens(&other), &tokens(&bench.site));
    let pin = fs::read(bench.site.token().pin_file()).unwrap();
    fs::copy(other.token().pin_file(), bench.site.token().pin_file()).unwrap();
    bench.assert_refused(&["the token has no"]);
    bench.site.clavigerd(&["root", "init"]).assert_refused(1, &["has a root already"]);

    fs::remove_dir_all(tokens(&bench.site)).unwrap();
    fs::rename(&aside, tokens(&bench.site)).unwrap();
    fs::write(bench.site.token().pin_file(), pin).unwrap();
    bench.assert_nothing_was_lost();
}

#[test]
fn a_service_without_a_ceremony_says_which_command_holds_it() {
    let site = Site::without_ceremony();
    site.refused_start().assert_refused(1, &["no root yet", "clavigerd root init"]);
    let _ = site.clavigerd(&["root", "init"]).succeeded();
    site.clavigerd(&["root", "init"]).assert_refused(1, &["has a root already", "root verify"]);
    site.change_config(
        "[audit]",
        "[root]\nfingerprint = \"00000000000000000000000000000000\"\n[audit]",
    );
    site.refused_start().assert_refused(1, &["fingerprint", "the configuration demands 0000"]);
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn copy_folder(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}
