//! A rotation and the campaign after it, with kills in both, until every row is where it should be.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use crate::{
    check::Found,
    process::{Ended, Process},
    stage::{Campaign, KEY, Rotation, Stage, Strike},
    tally::{Tally, When},
};

/// How long each takes when nobody disturbs it.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    rotations: BTreeMap<Rotation, Duration>,
    campaigns: BTreeMap<Campaign, Duration>,
}

impl Durations {
    /// Does each of them, rotations several times: they are short, and the longest counts.
    pub(crate) fn measure(stage: &mut Stage) -> Self {
        let mut durations = Self::default();
        for (rotation, campaign) in Rotation::ASKED.into_iter().zip(Campaign::ALL) {
            let longest = (0..3).map(|number| {
                let name = format!("measured-{rotation:?}-{number}");
                let ended = stage.begin_rotation(rotation, &name).end();
                assert!(ended.status.success(), "{ended:?}");
                ended.took
            });
            durations.rotations.extend(longest.max().map(|longest| (rotation, longest)));
            durations.campaigns.insert(campaign, settle(stage, campaign));
        }
        let longest = (0..3).map(|_| rotate_by_schedule(stage)).max();
        durations.rotations.extend(longest.map(|longest| (Rotation::Scheduled, longest)));
        durations
    }
}

/// One rotation, at most `points` kills; how many there were is in the tally.
pub(crate) fn run(stage: &mut Stage, durations: &Durations, points: u64, tally: &mut Tally) {
    let rotation = stage.chance.pick(ROTATIONS);
    let campaign = stage.chance.pick(CAMPAIGNS);
    let last = tally.points() + points;
    // It may meet the rotation in the midst of its work, or be there before it.
    let mut runner = stage.chance.one_in(2).then(|| stage.begin_campaign(campaign));
    let whole = durations.rotations[&rotation];
    if rotation == Rotation::Scheduled {
        strike_schedule(stage, whole, last, tally);
    } else {
        rotate(stage, whole, rotation, &mut runner, last, tally);
    }
    let whole = durations.campaigns[&campaign];
    for _ in 0..2 + stage.chance.below(4) {
        if tally.points() >= last {
            break;
        }
        let process = runner.take().unwrap_or_else(|| stage.begin_campaign(campaign));
        let (survivor, ended) = strike_campaign(stage, process, whole, tally);
        runner = survivor;
        if ended {
            break;
        }
    }
    if let Some(runner) = runner {
        assert_passable(&runner.end());
    }
    settle(stage, campaign);
    tally.settled(rotation, campaign);
}

/// Rotates, with up to two kills of the service on the way. A request that was cut is repeated by its name.
fn rotate(
    stage: &mut Stage,
    whole: Duration,
    rotation: Rotation,
    runner: &mut Option<Process>,
    last: u64,
    tally: &mut Tally,
) {
    let before = (stage.known.primary, stage.known.number());
    let name = format!("rotation-{}", before.0);
    let mut kills = stage.chance.below(3);
    loop {
        let mut request = stage.begin_rotation(rotation, &name);
        if kills == 0 || tally.points() >= last {
            let answer = request.end().answer();
            if rotation == Rotation::Planned {
                assert_eq!(answer["primary"].as_u64(), Some(before.0 + 1), "{answer}");
            }
            break;
        }
        kills -= 1;
        let strike = stage.chance.pick(&[(3, Strike::Service), (1, Strike::ServiceAndCampaign)]);
        thread::sleep(stage.chance.moment_within(whole));
        let amid = request.is_running();
        stage.kill_service();
        if strike.hits_campaign()
            && let Some(runner) = runner.take()
        {
            let _ = runner.kill();
        }
        let ended = request.end();
        assert!(matches!(ended.status.code(), Some(0 | UNAVAILABLE)), "{ended:?}");
        stage.restore_service();
        let found = stage.check();
        if amid {
            let when = match (ended.status.success(), stage.known.primary > before.0) {
                (true, true) => When::Answered,
                (false, true) => When::InForceUnanswered,
                (false, false) => When::NotInForce,
                (true, false) => panic!("{ended:?}, and it is not in force"),
            };
            tally.point(strike, when, found);
        }
        if ended.status.success() {
            break;
        }
    }
    stage.check();
    let made = stage.known.number() - before.1;
    // After a quarantine the service may have made one by itself before the request was repeated.
    let most = if rotation == Rotation::Planned { 1 } else { 2 };
    assert!((1..=most).contains(&made), "{rotation:?} made {made} versions");
}

/// Up to two kills of a service that has just started and finds the key due, and then one that nobody kills.
fn strike_schedule(stage: &mut Stage, whole: Duration, last: u64, tally: &mut Tally) {
    for _ in 0..stage.chance.below(3) {
        if tally.points() >= last {
            break;
        }
        let before = stage.known.primary;
        stage.start_hasty_service();
        thread::sleep(stage.chance.moment_within(whole));
        stage.kill_service();
        stage.restore_service();
        let found = stage.check();
        let when = match stage.known.primary - before {
            0 => When::ScheduleNotInForce,
            1 => When::ScheduleInForce,
            made => panic!("the schedule made {made} versions in one round"),
        };
        tally.point(Strike::Service, when, found);
    }
    let _ = rotate_by_schedule(stage);
}

/// A service starts, rotates what is due, and gives way to one for which a day is a day; how long after its start the
/// rotation was in force.
fn rotate_by_schedule(stage: &mut Stage) -> Duration {
    let before = stage.known.primary;
    stage.start_hasty_service();
    let begun = Instant::now();
    while stage.look(&format!("/v1/keys/{KEY}"))["primary"].as_u64() <= Some(before) {
        assert!(begun.elapsed() < PATIENCE, "the schedule did not rotate");
        thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    stage.kill_service();
    stage.restore_service();
    stage.check();
    assert_eq!(stage.known.primary, before + 1, "versions of one round");
    took
}

/// Kills in the midst of a campaign; the campaign if it lives on, and whether it had ended before.
fn strike_campaign(
    stage: &mut Stage,
    mut runner: Process,
    whole: Duration,
    tally: &mut Tally,
) -> (Option<Process>, bool) {
    let strike = stage.chance.pick(STRIKES);
    thread::sleep(stage.chance.moment_within(whole));
    if !runner.is_running() {
        assert_passable(&runner.end());
        return (None, true);
    }
    if strike.hits_service() {
        stage.kill_service();
    }
    match strike {
        Strike::Connections => stage.cut_connections(),
        Strike::Database => stage.database.crash_and_restart(),
        _ => {}
    }
    let survivor = if strike.hits_campaign() {
        let _ = runner.kill();
        None
    } else {
        Some(runner)
    };
    stage.restore_service();
    let found = stage.check();
    tally.point(strike, When::Campaign, found);
    (survivor, false)
}

/// Runs the campaign to its good end, undisturbed; how long that took.
fn settle(stage: &mut Stage, campaign: Campaign) -> Duration {
    stage.let_the_writer_finish();
    let mut ended = stage.begin_campaign(campaign).end();
    if ended.status.code() == Some(CONFLICT) {
        // The last report of one that was killed came after it had begun.
        ended = stage.begin_campaign(campaign).end();
    }
    assert_eq!(ended.answer()["outcome"], "complete", "{ended:?}");
    stage.check_settled();
    ended.took
}

/// A campaign that was disturbed may give up, or give way to the report of one that was killed. That it leaves
/// something, or says anything else, is a defect.
fn assert_passable(ended: &Ended) {
    let passable = [Some(0), Some(CONFLICT), Some(UNAVAILABLE)];
    assert!(passable.contains(&ended.status.code()), "{ended:?}");
}

const ROTATIONS: &[(u64, Rotation)] = &[
    (2, Rotation::Planned),
    (2, Rotation::Scheduled),
    (1, Rotation::Emergency),
    (1, Rotation::EmergencyDrained),
];

const CAMPAIGNS: &[(u64, Campaign)] =
    &[(4, Campaign::Rewrap), (3, Campaign::Reencrypt), (1, Campaign::SlowRewrap)];

const STRIKES: &[(u64, Strike)] = &[
    (9, Strike::Campaign),
    (5, Strike::Service),
    (2, Strike::ServiceAndCampaign),
    (2, Strike::Connections),
    (1, Strike::Database),
];

/// How long a service may take to rotate what is due.
const PATIENCE: Duration = Duration::from_secs(30);

/// Exit codes of `claviger`.
const CONFLICT: i32 = 7;
const UNAVAILABLE: i32 = 9;

impl Found {
    /// Whether the campaign had moved nothing, some or all.
    pub(crate) fn progress(&self) -> &'static str {
        match self.behind {
            0 => "no row behind",
            behind if behind == self.rows => "all rows behind",
            _ => "some rows behind",
        }
    }
}
