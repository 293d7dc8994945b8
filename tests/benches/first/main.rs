//! The first figures: the construction, files beside `age`, data keys, records, cold keys.
//!
//! `scripts/bench first` builds what this needs and runs it. Words: `--quick` for a short run that shows
//! that everything works, `--write` to put the figures into `docs/performance.md`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that fails has no result"
)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are what it prints")]

mod cold;
mod construction;
mod data_keys;
mod disk;
mod files;
mod place;
mod records;

use std::{env, fs, path::Path, time::Duration};

use claviger_tests::measure::{Pace, machine, replace_between};
use place::Place;

fn main() {
    let (mut pace, mut write) = (FULL, false);
    for word in env::args().skip(1) {
        match word.as_str() {
            "--quick" => pace = QUICK,
            "--write" => write = true,
            // Cargo's own.
            "--bench" => {}
            _ => panic!("unknown word {word:?}; see scripts/bench --help"),
        }
    }
    assert!(
        !(write && pace.rounds == QUICK.rounds),
        "figures of a quick run are not to be written"
    );

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let with_figures =
        |text: &str| replace_between(&fs::read_to_string(&page).unwrap(), "first", text).unwrap();
    // Before the minutes it takes.
    let _ = with_figures("");

    let place = Place::new();
    let mut text = format!("{}\n", machine(place.site.folder()));
    // Before anything that takes memory: the peak of a child is never less than its parent's at the start.
    text += &files::measure(&place, pace);
    text += &construction::measure(pace);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    text += &runtime.block_on(data_keys::measure(&place, pace));
    text += &runtime.block_on(records::measure(&place, pace));
    place.stop();
    text += &runtime.block_on(cold::measure(pace));

    println!("{text}");
    if write {
        fs::write(&page, with_figures(&text)).unwrap();
    }
}

/// Says what is going on, to whoever waits.
fn say(what: &str) {
    eprintln!("-- {what}");
}

const FULL: Pace = Pace { rounds: 5, time: Duration::from_secs(2), file: 1 << 30 };
const QUICK: Pace = Pace { rounds: 2, time: Duration::from_millis(150), file: 1 << 26 };
