//! A key that is at hand beside one that has to be unwrapped first.
//!
//! A cache of two keys makes any key cold that is used in turns with enough others: two service keys of
//! one region leave the region's in it, service keys of two regions leave nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use claviger_client::{Client, ClientConfig};
use claviger_kms::{Binding, Decrypt, GenerateDataKey, KeyManagementService as _};
use claviger_tests::measure::{Case, Pace, Table, number, rounds, time};

use crate::{place::site, say};

pub(crate) async fn measure(pace: Pace) -> String {
    say("cold keys");
    let site = site();
    site.change_config("[cache]\n", "[cache]\ncapacity = 2\n");
    let service = site.start();
    service.create(&["eu", "eu/a", "eu/b", "us", "us/c"]);
    let client = Client::new(ClientConfig::new(site.data_socket()));
    let mut data_keys = Vec::new();
    for key in ["eu/a", "eu/b", "us/c"] {
        let request = GenerateDataKey { key: key.parse().unwrap(), binding: Binding::default() };
        data_keys.push(client.generate_data_key(request).await.unwrap().wrapped.ciphertext);
    }
    let [a, b, c] = data_keys.try_into().unwrap();
    let pid = service.pid();
    let mut cases = [
        in_turns("at hand", &client, pid, &[&a]),
        in_turns("cold, its region's key at hand", &client, pid, &[&a, &b]),
        in_turns("cold, and its region's key too: one call of the token", &client, pid, &[&a, &c]),
    ];
    rounds(&mut cases, pace).await;
    service.stop();

    let mut table =
        Table::new(&["key", "a second", "p50", "p99", "service's CPU", "time / at hand"]);
    for case in &cases {
        let mut cells = case.labels.clone();
        cells.push(case.rate.spread(number));
        cells.extend([500, 990].map(|share| case.latencies.text_within(share)));
        cells.push(time(case.service_time.median()));
        // The time is the rate's inverse: there is one connection.
        cells.push(cases[0].rate.over(&case.rate).ratio());
        table.row(cells);
    }
    format!("{TITLE}\n{table}\n")
}

/// Decrypts these data keys one after the other.
fn in_turns(name: &str, client: &Client, service: u32, data_keys: &[&Vec<u8>]) -> Case {
    let client = client.clone();
    let data_keys: Vec<Vec<u8>> = data_keys.iter().map(|key| (*key).clone()).collect();
    let (data_keys, next) = (Arc::new(data_keys), Arc::new(AtomicUsize::new(0)));
    Case::new(&[name], 1, 1, service, move |_| {
        let (client, data_keys) = (client.clone(), Arc::clone(&data_keys));
        let at = next.fetch_add(1, Relaxed) % data_keys.len();
        async move {
            let ciphertext = data_keys[at].clone();
            drop(
                client.decrypt(Decrypt { ciphertext, binding: Binding::default() }).await.unwrap(),
            );
        }
    })
}

const TITLE: &str = "\
### Cold and warm keys

Data keys unwrapped over the Unix socket, one at a time. A software token answers in microseconds; with a
module on the network, add the time of one of its calls to the last line. A key stays at hand for
`cache.seconds`, and callers who wait for the same cold key share one call.
";
