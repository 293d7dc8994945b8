//! Whole records, as an application seals and opens them: a data key from the service, the data here.

use std::sync::Arc;

use claviger_envelope::Envelopes;
use claviger_kms::EncryptionContext;
use claviger_tests::measure::{Case, Pace, Table, bytes, number, rounds, time};

use crate::{
    place::{Place, Transport, key},
    say,
};

pub(crate) async fn measure(place: &Place, pace: Pace) -> String {
    say("records");
    let mut cases = Vec::new();
    for length in [32, 1 << 10, 1 << 16] {
        let envelopes = Arc::new(Envelopes::new(Arc::new(place.client(Transport::Socket))));
        let record: Arc<[u8]> = vec![7; length].into();
        let sealed: Arc<[u8]> = envelopes.seal(&key(), &context(), &record).await.unwrap().into();
        let size = bytes(f64::from(u32::try_from(length).unwrap()));
        let (sealing, opening) = (Arc::clone(&envelopes), envelopes);
        let pid = place.service.pid();
        cases.push(Case::new(&["seal", &size], 1, 1, pid, move |_| {
            let (envelopes, record) = (Arc::clone(&sealing), Arc::clone(&record));
            async move { drop(envelopes.seal(&key(), &context(), &record).await.unwrap()) }
        }));
        cases.push(Case::new(&["open", &size], 1, 1, pid, move |_| {
            let (envelopes, sealed) = (Arc::clone(&opening), Arc::clone(&sealed));
            async move { drop(envelopes.open(&context(), &sealed).await.unwrap()) }
        }));
    }
    rounds(&mut cases, pace).await;

    let mut table = Table::new(&[
        "operation",
        "size",
        "a second",
        "p50",
        "p99",
        "service's CPU",
        "client's CPU",
        "rate / 32 B",
    ]);
    for (at, case) in cases.iter().enumerate() {
        let mut cells = case.labels.clone();
        cells.push(case.rate.spread(number));
        cells.extend([500, 990].map(|share| case.latencies.text_within(share)));
        cells.extend([time(case.service_time.median()), time(case.client_time.median())]);
        cells.push(case.rate.over(&cases[at % 2].rate).ratio());
        table.row(cells);
    }
    format!("{TITLE}\n{table}\n")
}

fn context() -> EncryptionContext {
    EncryptionContext::from_pairs([("table", "users"), ("row", "17")]).unwrap()
}

const TITLE: &str = "\
### Records

`Envelopes::seal` and `open` with one connection over the Unix socket, a fresh data key for each record: what
a record costs is what its data key costs.
";
