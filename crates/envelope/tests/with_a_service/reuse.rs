use claviger_envelope::DataKeyReuse;

use super::*;

fn reusing(service: &Arc<MemoryKms>, bounds: DataKeyReuse) -> Envelopes {
    Envelopes::new(service.clone()).reusing_data_keys(bounds).unwrap()
}

/// The header of a record with one Claviger wrap: equal headers are under one data key.
async fn header(envelopes: &Envelopes, context: &EncryptionContext) -> Vec<u8> {
    envelopes.seal(&key(), context, b"record").await.unwrap()[..152].to_vec()
}

#[tokio::test]
async fn shares_a_data_key_within_the_count_and_seals_each_record_with_its_own_salt() {
    let service = service();
    let envelopes = reusing(&service, DataKeyReuse { max_records: 2, ..DataKeyReuse::default() });
    let mut sealed = Vec::new();
    for _ in 0..3 {
        sealed.push(envelopes.seal(&key(), &row("1"), b"record").await.unwrap());
    }
    assert_eq!(sealed[0][..152], sealed[1][..152]);
    assert_ne!(sealed[1][6..22], sealed[2][6..22]);
    assert_ne!(sealed[0][152..176], sealed[1][152..176]);
    for envelope in sealed {
        assert_eq!(plain(envelopes.open(&row("1"), &envelope).await), b"record");
    }
}

#[tokio::test]
async fn never_shares_between_contexts_or_keys() {
    let envelopes = reusing(&service(), DataKeyReuse::default());
    let one = header(&envelopes, &row("1")).await;
    assert_eq!(header(&envelopes, &row("1")).await, one);
    assert_ne!(header(&envelopes, &row("2")).await[6..22], one[6..22]);
    let other_key = envelopes.seal(&path("eu/mail"), &row("1"), b"record").await.unwrap();
    assert_ne!(other_key[6..22], one[6..22]);
}

#[tokio::test]
async fn a_rotation_seen_in_any_reply_ends_it() {
    let service = service();
    let envelopes = reusing(&service, DataKeyReuse::default());
    let old = header(&envelopes, &row("1")).await;
    rotate(&service).await;
    // Not seen yet.
    assert_eq!(header(&envelopes, &row("1")).await, old);
    // Another context's data key comes under version 2.
    assert_eq!(header(&envelopes, &row("2")).await[47], 2);
    assert_eq!(header(&envelopes, &row("1")).await[47], 2);

    rotate(&service).await;
    // An envelope sealed elsewhere under version 3 is opened.
    let elsewhere = Envelopes::new(service).seal(&key(), &row("9"), b"x").await.unwrap();
    envelopes.open(&row("9"), &elsewhere).await.unwrap();
    assert_eq!(header(&envelopes, &row("1")).await[47], 3);
}

#[tokio::test]
async fn a_rewrap_ends_it_too_and_so_does_a_flush() {
    let service = service();
    let envelopes = reusing(&service, DataKeyReuse::default());
    let record = envelopes.seal(&key(), &row("1"), b"record").await.unwrap();
    rotate(&service).await;
    envelopes.rewrap(&row("1"), &record).await.unwrap();
    let second = header(&envelopes, &row("1")).await;
    assert_eq!(second[47], 2);
    envelopes.flush();
    assert_ne!(header(&envelopes, &row("1")).await[6..22], second[6..22]);
}

#[tokio::test]
async fn files_never_share() {
    let envelopes = reusing(&service(), DataKeyReuse::default());
    let one = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    let two = envelopes.begin_file(&key(), &row("1")).await.unwrap();
    assert_ne!(one.header().envelope_id(), two.header().envelope_id());
}

/// What reuse gives up, as `FORMAT.md` says: shown, so that the sentence stays true.
#[tokio::test]
async fn records_that_share_a_data_key_can_be_exchanged() {
    let envelopes = reusing(&service(), DataKeyReuse::default());
    let one = envelopes.seal(&key(), &row("1"), b"one").await.unwrap();
    let two = envelopes.seal(&key(), &row("1"), b"two").await.unwrap();
    let mixed = [&one[..152], &two[152..]].concat();
    assert_eq!(plain(envelopes.open(&row("1"), &mixed).await), b"two");
}
