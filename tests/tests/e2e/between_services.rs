//! A campaign that moves envelopes from one key service to another, each a process with a token of its own.

use std::fs;

use claviger_tests::{Running, Site};

const KEY: &str = "eu/pay";
const THERE: &str = "us/new";

/// Two services, a folder of sealed files under the first, and a campaign to the second.
fn sites() -> (Site, Running, Site, Running) {
    let (from, to) = (Site::new(), Site::new());
    let (here, there) = (from.start(), to.start());
    here.create(&["eu", KEY]);
    there.create(&["us", THERE]);
    fs::create_dir(from.work().join("tree")).unwrap();
    for index in 0..12 {
        fs::write(from.work().join(format!("tree/{index}")), format!("content {index}")).unwrap();
    }
    drop(from.run_claviger(&["seal", "-r", "--key", KEY, "tree", "-O", "sealed"]).succeeded());
    let target = format!("[target]\nkey = \"{THERE}\"\nsocket = {:?}\n", to.data_socket());
    fs::write(from.work().join("move.toml"), campaign(&target)).unwrap();
    (from, here, to, there)
}

fn campaign(target: &str) -> String {
    format!(
        "name = \"move\"\nkey = \"{KEY}\"\nmode = \"rewrap\"\nbatch = 4\ngive-up-seconds = 1\n{target}\
         [[source]]\nname = \"files\"\nkind = \"files\"\nroot = \"sealed\"\n\
         context = {{ path = \"{{path}}\" }}\n"
    )
}

fn payloads(site: &Site) -> Vec<Vec<u8>> {
    let file = |index| site.work().join(format!("sealed/{index}.claviger"));
    (0..12).map(|index| fs::read(file(index)).unwrap()[8192..].to_vec()).collect()
}

#[test]
fn envelopes_move_from_one_service_to_another_that_then_opens_them_alone() {
    let (from, here, to, _there) = sites();
    let before = payloads(&from);
    let plan = from.run_claviger(&["campaign", "plan", "move.toml", "-o", "json"]).succeeded();
    let plan: serde_json::Value = serde_json::from_str(plan.text()).unwrap();
    assert_eq!((&plan["to_move"], &plan["moved_to"]), (&12.into(), &THERE.into()), "{plan}");
    let run = from.run_claviger(&["campaign", "run", "move.toml", "-o", "json"]).succeeded();
    let report: serde_json::Value = serde_json::from_str(run.text()).unwrap();
    assert_eq!((&report["outcome"], &report["total"]["moved"]), (&"complete".into(), &12.into()));
    assert_eq!(report["moved_to"], THERE, "{report}");
    assert_eq!(payloads(&from), before);
    assert_ne!(from.run_claviger(&["open", "-r", "sealed", "-O", "refused"]).code, Some(0));
    // The first service is not needed any more.
    here.stop();
    let sealed = from.work().join("sealed");
    drop(to.run_claviger(&["open", "-r", sealed.to_str().unwrap(), "-O", "opened"]).succeeded());
    for index in 0..12 {
        let opened = fs::read_to_string(to.work().join(format!("opened/{index}"))).unwrap();
        assert_eq!(opened, format!("content {index}"));
    }
}

#[test]
fn a_target_that_is_away_or_refuses_moves_nothing_and_the_next_run_moves_all() {
    let (from, _here, to, there) = sites();
    let before = payloads(&from);
    there.kill();
    let ran = from.run_claviger(&["campaign", "run", "move.toml"]);
    assert_ne!(ran.code, Some(0), "{}", ran.said);
    drop(from.run_claviger(&["open", "-r", "sealed", "-O", "still"]).succeeded());
    to.write_policy(&format!(
        "[[rule]]\nname = \"look\"\nprincipals = [\"{}\"]\nactions = [\"read-metadata\"]\nkeys = [\"**\"]\n",
        Site::own_principal()
    ));
    let there = to.start();
    from.run_claviger(&["campaign", "run", "move.toml"]).assert_refused(3, &[]);
    there.stop();
    to.write_policy(&format!(
        "[[rule]]\nname = \"all\"\nprincipals = [\"{}\"]\nactions = [\"*\"]\nkeys = [\"**\"]\n",
        Site::own_principal()
    ));
    let _there = to.start();
    drop(from.run_claviger(&["campaign", "run", "move.toml"]).succeeded());
    assert_eq!(payloads(&from), before);
    let sealed = from.work().join("sealed");
    drop(to.run_claviger(&["open", "-r", sealed.to_str().unwrap(), "-O", "opened"]).succeeded());
}

#[test]
fn a_move_to_the_key_itself_in_another_mode_or_by_a_watcher_is_refused() {
    let (from, here, _to, _there) = sites();
    let itself = format!("[target]\nkey = \"{KEY}\"\nsocket = {:?}\n", from.data_socket());
    fs::write(from.work().join("itself.toml"), campaign(&itself)).unwrap();
    let refused = from.run_claviger(&["campaign", "run", "itself.toml"]);
    refused.assert_refused(4, &["the very key"]);
    let text = fs::read_to_string(from.work().join("move.toml")).unwrap();
    fs::write(from.work().join("other.toml"), text.replace("\"rewrap\"", "\"reencrypt\"")).unwrap();
    let refused = from.run_claviger(&["campaign", "run", "other.toml"]);
    refused.assert_refused(4, &["other.toml:6:", "reencrypt"]);
    // Watched, it would otherwise be rewrapped here instead of moved there.
    here.rotate(KEY);
    let before: Vec<_> = fs::read(from.work().join("sealed/0.claviger")).unwrap();
    let mut watching = from.claviger();
    watching.args(["campaign", "watch", "--every", "1", "move.toml"]);
    let mut watching = watching.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    watching.kill().unwrap();
    let said = String::from_utf8(watching.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("it is run, not watched"), "{said}");
    assert_eq!(fs::read(from.work().join("sealed/0.claviger")).unwrap(), before);
}
