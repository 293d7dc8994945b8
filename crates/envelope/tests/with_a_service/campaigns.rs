use claviger_envelope::{Header, Provider};
use claviger_kms::KeyManagementService;

use super::*;

async fn sealed(envelopes: &Envelopes, rows: &[&str]) -> Vec<Vec<u8>> {
    let mut sealed = Vec::new();
    for name in rows {
        sealed.push(envelopes.seal(&key(), &row(name), name.as_bytes()).await.unwrap());
    }
    sealed
}

#[tokio::test]
async fn of_many_headers_each_has_its_own_answer() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let names: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let rows: Vec<&str> = names.iter().map(String::as_str).collect();
    let records = sealed(&envelopes, &rows).await;
    rotate(&service).await;
    let headers: Vec<_> = records.iter().map(|record| Header::parse(record).unwrap().0).collect();
    let mut contexts: Vec<_> = rows.iter().map(|name| row(name)).collect();
    contexts[7] = row("another");
    let items: Vec<_> = contexts.iter().zip(&headers).collect();
    let answers = envelopes.rewrap_headers(&items).await;
    assert_eq!(answers.len(), 300);
    for (place, answer) in answers.iter().enumerate() {
        if place == 7 {
            assert!(is_rejected(answer));
            continue;
        }
        let moved = &answer.as_ref().unwrap().header;
        assert_eq!(moved.envelope_id(), headers[place].envelope_id(), "in order");
        assert_eq!(moved.key_version().unwrap().1.number(), 2);
        let payload = &records[place][headers[place].encoded_length()..];
        let record = [&moved.to_bytes(), payload].concat();
        assert_eq!(plain(envelopes.open(&contexts[place], &record).await), names[place].as_bytes());
    }
}

#[tokio::test]
async fn a_service_out_of_reach_is_each_headers_error() {
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    let records = sealed(&envelopes, &["1", "2"]).await;
    let headers: Vec<_> = records.iter().map(|record| Header::parse(record).unwrap().0).collect();
    service.set_reachable(false);
    let (one, two) = (row("1"), row("2"));
    let answers = envelopes.rewrap_headers(&[(&one, &headers[0]), (&two, &headers[1])]).await;
    assert_eq!(answers.len(), 2);
    assert!(answers.into_iter().all(|answer| kms_error(answer).is_retryable()));
}

#[tokio::test]
async fn a_data_key_moves_to_another_service_and_no_further_wrap_is_lost() {
    let (here, there, third) = (service(), service(), service());
    let both = Envelopes::new(here.clone())
        .also_under(Provider::CLAVIGER, third.clone(), path("eu/mail"))
        .unwrap();
    let record = both.seal(&key(), &row("1"), b"record").await.unwrap();
    let (header, payload) = Header::parse(&record).unwrap();
    let target: Arc<dyn KeyManagementService> = there.clone();
    let mover = Envelopes::new(here.clone());
    let moved = mover
        .transfer_header(&row("1"), &header, Provider::CLAVIGER, &target, &path("eu/mail"))
        .await
        .unwrap();
    assert_eq!(moved.wraps()[1], header.wraps()[1]);
    let record = [&moved.to_bytes(), payload].concat();
    for able in [there, third] {
        assert_eq!(plain(Envelopes::new(able).open(&row("1"), &record).await), b"record");
    }
    assert!(Envelopes::new(here).open(&row("1"), &record).await.is_err());
    let other = mover
        .transfer_header(&row("2"), &header, Provider::CLAVIGER, &target, &path("eu/mail"))
        .await;
    assert!(is_rejected(&other), "with another context nothing moves");
}

#[tokio::test]
async fn the_same_content_gets_another_data_key_and_id() {
    let envelopes = envelopes();
    let record = envelopes.seal(&key(), &row("1"), b"record").await.unwrap();
    let new = envelopes.reencrypt(&key(), &row("1"), &record).await.unwrap();
    assert_ne!(record[6..22], new[6..22]);
    assert_eq!(plain(envelopes.open(&row("1"), &new).await), b"record");
    assert!(is_rejected(&envelopes.reencrypt(&key(), &row("2"), &record).await));
    let mut altered = record.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(is_rejected(&envelopes.reencrypt(&key(), &row("1"), &altered).await));
}
