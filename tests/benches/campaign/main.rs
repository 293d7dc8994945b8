//! A campaign over rows of PostgreSQL beside the bare updates of the same rows, and the re-wrap of a large file.
//!
//! `scripts/bench campaign` builds what this needs and runs it. Words: `--quick` for a short run that shows
//! that everything works, `--write` to put the figures into `docs/performance.md`.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are what it prints")]

mod rows;
mod sparse;

use std::{env, fs, path::Path};

use claviger_tests::{
    Site,
    measure::{machine, replace_between},
};

fn main() {
    let (mut quick, mut write) = (false, false);
    for word in env::args().skip(1) {
        match word.as_str() {
            "--quick" => quick = true,
            "--write" => write = true,
            // Cargo's own.
            "--bench" => {}
            _ => panic!("unknown word {word:?}; see scripts/bench --help"),
        }
    }
    assert!(!(write && quick), "figures of a quick run are not to be written");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let with_figures = |text: &str| {
        replace_between(&fs::read_to_string(&page).unwrap(), "campaign", text).unwrap()
    };
    // Before the minutes it takes.
    let _ = with_figures("");

    let site = Site::new();
    // The audit log of a test is small.
    site.change_config("segment-bytes = 4194304\nreserve-bytes = 1048576\n", "");
    let service = site.start();
    service.create(&["us-east-1", KEY]);
    let mut text = format!("{}\n", machine(site.folder()));
    text += &sparse::measure(&site, if quick { 1 << 26 } else { 10 << 30 });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sizes = if quick { [1_000, 2_000, 4_000] } else { [10_000, 100_000, 1_000_000] };
    text += &runtime.block_on(rows::measure(&site, service.pid(), sizes));
    service.stop();

    println!("{text}");
    if write {
        fs::write(&page, with_figures(&text)).unwrap();
    }
}

/// Says what is going on, to whoever waits.
fn say(what: &str) {
    eprintln!("-- {what}");
}

/// The key whose envelopes move.
const KEY: &str = "us-east-1/payments";
