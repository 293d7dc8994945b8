//! Data keys over the Unix socket and over TLS, beside what the disk takes.

use std::sync::Arc;

use claviger_client::Client;
use claviger_kms::{Binding, EncryptionContext, GenerateDataKey, KeyManagementService as _};
use claviger_tests::measure::{Case, Figure, Pace, Table, number, time};

use crate::{
    disk,
    place::{Place, Transport, key},
    say,
};

/// A case and how many records one synchronisation of the audit log covered in it.
struct Measured {
    case: Case,
    grouped: Figure,
}

pub(crate) async fn measure(place: &Place, pace: Pace) -> String {
    say("data keys");
    let mut all: Vec<Measured> = cases(place)
        .into_iter()
        .map(|case| Measured { case, grouped: Figure::default() })
        .collect();
    for _ in 0..pace.rounds {
        let once = Pace { rounds: 1, ..pace };
        for Measured { case, grouped } in &mut all {
            let counters =
                || (place.counter("claviger_audit_records"), place.counter("claviger_audit_syncs"));
            let (records, syncs) = counters();
            claviger_tests::measure::rounds(std::slice::from_mut(case), once).await;
            let (records, syncs) = (counters().0 - records, counters().1 - syncs);
            grouped.add(records / syncs);
        }
    }
    format!("{TITLE}\n{}\n{}\n", figures(&all), ratios(&all))
}

fn cases(place: &Place) -> Vec<Case> {
    let mut cases = vec![disk::append(place.site.folder()), disk::overwrite(place.site.folder())];
    for items in [1, BATCH] {
        for connections in CONNECTIONS {
            for (name, transport) in TRANSPORTS {
                cases.push(kept_open(place, name, transport, connections, items));
            }
        }
    }
    for (name, transport) in TRANSPORTS {
        let reach = place.reach(transport);
        let labels = [&format!("{name}, new connection each"), "8", "1"];
        cases.push(Case::new(&labels, 8, 1, place.service.pid(), move |_| {
            let client = reach.client();
            async move { make(&client, 1).await }
        }));
    }
    cases
}

fn kept_open(
    place: &Place,
    name: &str,
    transport: Transport,
    connections: usize,
    items: u32,
) -> Case {
    let clients: Arc<Vec<Client>> =
        Arc::new((0..connections).map(|_| place.client(transport)).collect());
    let labels = [name, &connections.to_string(), &items.to_string()];
    Case::new(&labels, connections, items, place.service.pid(), move |connection| {
        let client = clients[connection].clone();
        async move { make(&client, items).await }
    })
}

/// Asks for so many data keys in one request.
async fn make(client: &Client, items: u32) {
    let context = EncryptionContext::from_pairs([("table", "users"), ("row", "17")]).unwrap();
    let request = GenerateDataKey { key: key(), binding: Binding { context, envelope_id: None } };
    if items == 1 {
        drop(client.generate_data_key(request).await.unwrap());
        return;
    }
    let requests = (0..items).map(|_| request.clone()).collect();
    for answer in client.generate_data_key_batch(requests).await.unwrap() {
        drop(answer.unwrap());
    }
}

fn figures(all: &[Measured]) -> Table {
    let mut table = Table::new(&[
        "over",
        "connections",
        "keys a request",
        "keys a second",
        "p50",
        "p99",
        "p99.9",
        "service's CPU a key",
        "client's CPU a key",
        "records a sync",
    ]);
    for Measured { case, grouped } in all {
        let of_the_service = case.service != std::process::id();
        let or_none = |text: String| if of_the_service { text } else { "–".to_owned() };
        let mut cells = case.labels.clone();
        cells.push(case.rate.spread(number));
        cells.extend([500, 990, 999].map(|share| case.latencies.text_within(share)));
        cells.push(or_none(time(case.service_time.median())));
        cells.push(or_none(time(case.client_time.median())));
        cells.push(if of_the_service { number(grouped.median()) } else { "–".to_owned() });
        table.row(cells);
    }
    table
}

fn ratios(all: &[Measured]) -> Table {
    let rate = |over: &str, connections: usize, items: u32| {
        let labels = [over.to_owned(), connections.to_string(), items.to_string()];
        &all.iter().find(|measured| measured.case.labels == labels).unwrap().case.rate
    };
    let mut table = Table::new(&["ratio of rates", "is"]);
    let mut row = |what: String, figure: Figure| table.row(vec![what, figure.ratio()]);
    let disk = &all[0].case.rate;
    let (socket, tls) = (TRANSPORTS[0].0, TRANSPORTS[1].0);
    row(
        "Unix socket, 1 connection / syncs of the disk alone".to_owned(),
        rate(socket, 1, 1).over(disk),
    );
    row("Unix socket, 64 connections / 1".to_owned(), rate(socket, 64, 1).over(rate(socket, 1, 1)));
    for items in [1, BATCH] {
        for connections in CONNECTIONS {
            let what = format!("TLS / Unix socket, {connections} at once, {items} a request");
            row(what, rate(tls, connections, items).over(rate(socket, connections, items)));
        }
    }
    for connections in CONNECTIONS {
        let what = format!("{BATCH} a request / 1, Unix socket, {connections} at once");
        row(what, rate(socket, connections, BATCH).over(rate(socket, connections, 1)));
    }
    let new = |over: &str| rate(&format!("{over}, new connection each"), 8, 1);
    row(
        "new connection each / kept open, 8 at once, Unix socket".to_owned(),
        new(socket).over(rate(socket, 8, 1)),
    );
    row(
        "new connection each / kept open, 8 at once, TLS".to_owned(),
        new(tls).over(rate(tls, 8, 1)),
    );
    table
}

const CONNECTIONS: [usize; 3] = [1, 8, 64];
const BATCH: u32 = 100;
const TRANSPORTS: [(&str, Transport); 2] =
    [("Unix socket", Transport::Socket), ("TLS", Transport::Tls)];

const TITLE: &str = "\
### Data keys

Each connection sends its next request when the last was answered. Over TLS the connections are open before;
\"new connection each\" has the handshake in every request, with X25519MLKEM768 and both certificates. The
first two lines are the disk alone, by one thread: a record of 700 bytes as the audit log writes it, and one written
over bytes that stand there. Latencies are of a request, of all rounds together.
";
