use std::sync::Arc;

use claviger_client::{Client, ClientConfig};
use claviger_kms::{CreateKey, ErrorCode, KeyManagementService as _, MAX_BATCH};
use claviger_testkit::{Service, kms_conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_does_what_every_key_service_must_do() {
    let service = Service::start().await;
    kms_conformance::run(Arc::new(service.client()), "conformance").await;
    service.stop().await;
}

#[tokio::test]
async fn the_data_socket_makes_no_keys() {
    let service = Service::start().await;
    let data = service.data_socket();
    let client = Client::new(ClientConfig::new(&data).with_admin_socket(&data));
    let refused = client.create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidRequest);
    assert!(service.client().describe_key(&"eu".parse().unwrap()).await.is_err());
    service.stop().await;
}

/// The reply reaches a client that is still writing its body.
#[tokio::test]
async fn a_value_far_too_long_is_invalid_not_a_broken_connection() {
    let service = Service::start().await;
    let client = service.client();
    client.create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    for length in [200_000, 1 << 20, 5 << 20] {
        let plaintext = claviger_kms::SecretBytes::from_vec(vec![0; length]);
        let binding = claviger_kms::Binding::default();
        let request = claviger_kms::Encrypt { key: "eu".parse().unwrap(), plaintext, binding };
        let refused = client.encrypt(request).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidRequest, "{length} bytes: {refused}");
    }
    service.stop().await;
}

#[tokio::test]
async fn says_what_it_can_do_and_how_it_is() {
    let service = Service::start().await;
    let client = service.client();
    let told = client.ask_capabilities().await.unwrap();
    assert_eq!((told.max_batch, told.manages_keys), (MAX_BATCH, false));
    assert_eq!(told.purposes, client.capabilities().purposes);
    let status = client.status().await.unwrap();
    assert_eq!(status["hierarchy"]["keys"], 0, "{status}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_two_hundred_requests_at_once() {
    let service = Service::start().await;
    let client = service.client();
    let eu = "eu".parse().unwrap();
    client.create_key(CreateKey::at(eu)).await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|_| service.client())
        .map(|client| {
            tokio::spawn(async move {
                let request = claviger_kms::GenerateDataKey {
                    key: "eu".parse().unwrap(),
                    binding: claviger_kms::Binding::default(),
                };
                client.generate_data_key(request).await
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    service.stop().await;
}
