//! Kills at any moment: service, campaign and database die in the midst of rotations and campaigns, while an
//! application writes.
//!
//! `CLAVIGER_CRASH_POINTS` is the number of kills, 200 if it is not set; `CLAVIGER_CRASH_SEED` repeats the choices
//! of an earlier run (moments are drawn as parts of measured times, so they are not the same to the microsecond).
//! A kill that finds nobody at work does not count.

#[cfg(test)]
mod chance;
#[cfg(test)]
mod check;
#[cfg(test)]
mod cycle;
#[cfg(test)]
mod process;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tally;
#[cfg(test)]
mod writer;

#[cfg(test)]
mod tests {
    use std::{env, time::SystemTime};

    use claviger_tests::assert_unbroken;

    use crate::{
        cycle::{self, Durations},
        stage::Stage,
        tally::Tally,
    };

    /// After each kill, with everything started again: at most one primary version, and one as soon as the service
    /// has looked after itself; no version gone or set back; every row there with what the application wrote
    /// last, and open to it unless a quarantine forbids that. After the campaign: every row under the primary version.
    #[test]
    fn kills_amid_rotations_and_campaigns_lose_nothing() {
        let points = number("CLAVIGER_CRASH_POINTS").unwrap_or(200);
        let seed = number("CLAVIGER_CRASH_SEED").unwrap_or_else(any_number);
        tell(&format!("CLAVIGER_CRASH_SEED={seed} CLAVIGER_CRASH_POINTS={points}"));
        let mut tally = Tally::new();
        // A key has at most 1,000 versions, so a site of its own for each so many.
        for (site, until) in (0..).zip((1..=points.div_ceil(PER_SITE)).map(|n| n * PER_SITE)) {
            let Some(mut stage) = Stage::new(seed.wrapping_add(site)) else { return };
            stage.wait_for_writes(100);
            let durations = Durations::measure(&mut stage);
            tell(&format!("undisturbed: {durations:?}"));
            let until = until.min(points);
            while tally.points() < until {
                let before = tally.points();
                cycle::run(&mut stage, &durations, until - before, &mut tally);
                if before / 100 < tally.points() / 100 {
                    tell(&format!("{} of {points}", tally.points()));
                }
            }
            end(stage, &mut tally);
        }
        tell(&tally.to_string());
        tally.assert_amid();
    }

    /// Stops the service as an operator does; its own records are whole.
    fn end(mut stage: Stage, tally: &mut Tally) {
        tally.written(stage.runtime.block_on(stage.ledger.lock()).written);
        stage.service.take().unwrap().stop();
        assert_unbroken(&stage.site.audit());
        stage.site.assert_log(&[]);
        let _ = stage.site.clavigerd(&["root", "verify"]).succeeded();
    }

    fn number(variable: &str) -> Option<u64> {
        let text = env::var(variable).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
    }

    fn any_number() -> u64 {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::from(now.subsec_nanos()) + now.as_secs()
    }

    fn tell(text: &str) {
        eprintln!("{text}");
    }

    const PER_SITE: u64 = 400;
}
