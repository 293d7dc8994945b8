//! From one key service to another, and the watcher.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use claviger_envelope::{Envelopes, Header, Provider};
use claviger_rewrap::{Destination, Event, Outcome, Runner, Watched, watch};
use claviger_testkit::MemoryKms;

use crate::{
    bench::{Bench, context},
    postgres::Table,
};

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_move_to_another_service_and_their_payload_stays() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..25).await;
    let other = Arc::new(MemoryKms::with_keys(&["us/new"]).expect("keys"));
    let runner = Runner::new(bench.service.clone(), bench.register.clone()).to(Destination {
        provider: Provider::CLAVIGER,
        service: other.clone(),
        key: "us/new".parse().expect("a path"),
    });
    let before = table.all().await;
    let (file, source) = (table.campaign("batch = 10"), [table.source().await]);
    let report = runner.run(&file, &source, &bench.stop, &|_| {}).await.expect("runs");
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 25), "{report}");
    let there = Envelopes::new(other);
    for ((id, old), (_, new)) in before.iter().zip(table.all().await) {
        let (old_header, payload) = Header::parse(old).expect("an envelope");
        let (new_header, same) = Header::parse(&new).expect("an envelope");
        assert_eq!((old_header.envelope_id(), payload), (new_header.envelope_id(), same));
        assert!(there.open(&context(id), &new).await.is_ok(), "row {id}");
        assert!(bench.envelopes.open(&context(id), &new).await.is_err(), "row {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_runs_at_its_start_and_after_each_rotation() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..10).await;
    bench.rotate().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("campaign.toml");
    let secret = folder.path().join("database");
    std::fs::write(&secret, table.server.connection_string()).expect("written");
    std::fs::write(
        &path,
        "name = \"cards\"\nkey = \"eu/pay\"\nmode = \"rewrap\"\n[[source]]\nname = \"cards\"\n\
         kind = \"postgres\"\nconnection-file = \"database\"\ntable = \"Cards\"\n\
         key-columns = [\"id\"]\nenvelope-column = \"Number\"\n\
         context = { table = \"cards\", row = \"{id}\" }\n",
    )
    .expect("written");
    let moved = Mutex::new(Vec::new());
    let tell = |event: Event<'_>| {
        if let Event::Ended { report, .. } = event {
            moved.lock().expect("not poisoned").push(report.total.moved);
        }
    };
    let mut files = [Watched::new(path)];
    let service: Arc<dyn claviger_kms::KeyManagementService> = bench.service.clone();
    let every = Duration::from_millis(100);
    let watching = watch(&service, &bench.runner, &mut files, every, &bench.stop, &tell);
    let rotating = async {
        let ended = |count| {
            let moved = &moved;
            async move {
                for _ in 0..200 {
                    if moved.lock().expect("not poisoned").len() >= count {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        ended(1).await;
        bench.rotate().await;
        ended(2).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        bench.stop.cancel();
    };
    tokio::join!(watching, rotating);
    assert_eq!(*moved.lock().expect("not poisoned"), [10, 10]);
}
