//! The construction beside the bare cipher it is made of, with both libraries in turns.

use std::{collections::BTreeMap, env, process::Command};

use claviger_tests::{
    measure::{Figure, Pace, Table, bytes, number, time},
    run,
};

use crate::say;

/// By operation and length.
type Times = BTreeMap<(String, u64), Figure>;

pub(crate) fn measure(pace: Pace) -> String {
    say("the construction");
    let programs = [("aws-lc-rs", "BENCH_AWS_LC"), ("aes-gcm", "BENCH_PURE_RUST")].map(
        |(library, variable)| {
            let program = env::var_os(variable)
                .unwrap_or_else(|| panic!("{variable} is not set; run scripts/bench first"));
            (library, program)
        },
    );
    let mut times = [Times::new(), Times::new()];
    for _ in 0..pace.rounds {
        for ((_, program), times) in programs.iter().zip(&mut times) {
            // There are thirteen lines or so; the time of one is a part of a case's.
            let milliseconds = (pace.time.as_millis() / 10).to_string();
            let ran = run(Command::new(program).arg(milliseconds), b"").succeeded();
            for line in ran.text().lines() {
                let [operation, length, nanoseconds] =
                    line.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let key = (operation.to_owned(), length.parse().unwrap());
                times.entry(key).or_default().add(nanoseconds.parse().unwrap());
            }
        }
    }

    let mut table =
        Table::new(&["operation", "size", "library", "time", "GB/s", "time / bare cipher"]);
    for length in [32, 1 << 10, 1 << 16, 1 << 30] {
        for operation in ["seal", "open"] {
            for ((library, _), times) in programs.iter().zip(&times) {
                let of = |operation: &str| &times[&(operation.to_owned(), length)];
                let taken = of(operation);
                let size = length as f64;
                table.row(vec![
                    operation.to_owned(),
                    bytes(size),
                    (*library).to_owned(),
                    taken.spread(time),
                    number(taken.map(|nanoseconds| size / nanoseconds).median()),
                    taken.over(of(&format!("bare-{operation}"))).ratio(),
                ]);
            }
        }
    }
    format!("{TITLE}\n{table}\n")
}

const TITLE: &str = "\
### The construction

One core, in memory, under a given key: what `claviger-cobblestone` adds to the bare cipher of the same library
for salt, key derivation, commitment, chunks and wiping. Up to 64 KiB at once, a gibibyte as a stream in pieces of
64 KiB. The bare cipher has its key set up before and allocates nothing. The shipped programs use aws-lc-rs.
";
