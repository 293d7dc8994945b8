//! A file that is larger than what could be read in the time its re-wrap takes.

use std::fs::OpenOptions;

use claviger_tests::{
    Site, cost_of,
    measure::{Figure, Table, bytes, time},
};

use crate::{KEY, say};

/// Re-wraps a sealed file that was then made `length` bytes long with a hole, beside the same file without one.
pub(crate) fn measure(site: &Site, length: u64) -> String {
    say("a large file");
    let work = site.work();
    for name in ["small", "large"] {
        std::fs::write(work.join(name), [7; 1 << 16]).unwrap();
        let _ = site.run_claviger(&["seal", "--key", KEY, name]).succeeded();
    }
    let large = OpenOptions::new().write(true).open(work.join("large.claviger")).unwrap();
    large.set_len(length).unwrap();
    let mut figures = [Figure::default(), Figure::default()];
    for _ in 0..ROUNDS {
        let _ = site.run_claviger(&["key", "rotate", KEY]).succeeded();
        for (name, figure) in ["small.claviger", "large.claviger"].into_iter().zip(&mut figures) {
            figure.add(cost_of(site.claviger().args(["--quiet", "rewrap", name])).seconds);
        }
    }
    let mut table =
        Table::new(&["sealed file", "time of `claviger rewrap`", "time / the small one's"]);
    let [small, large] = &figures;
    let shown =
        [("64 KiB".to_owned(), small), (format!("{}, sparse", bytes(length as f64)), large)];
    for (size, figure) in shown {
        let seconds = figure.spread(|seconds| time(seconds * 1e9));
        table.row(vec![size, seconds, figure.over(small).ratio()]);
    }
    format!("{TITLE}\n{table}\n")
}

const ROUNDS: usize = 5;

const TITLE: &str = "\
### A large file

The whole program, from its start to its end, both slots of the header written and synced. The payload is not read.
";
