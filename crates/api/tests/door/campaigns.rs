//! Campaigns and usage, through the admin socket and no other.

use claviger_client::{Client, ClientConfig};
use claviger_kms::{
    Binding, CampaignMode, CampaignRegister as _, CreateKey, ErrorCode, GenerateDataKey,
    KeyManagementService as _, OpenCampaign,
};
use claviger_testkit::{Service, campaign_register_conformance};

use crate::support::{get, post, send};

const INVALID: &str = "invalid-request";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_over_the_wire_conforms() {
    let service = Service::start().await;
    let client = service.client();
    campaign_register_conformance::run(&client, &client, "campaigns").await;
    service.stop().await;
}

#[tokio::test]
async fn the_data_socket_has_neither_campaigns_nor_usage() {
    let service = Service::start().await;
    let data = service.data_socket();
    for target in ["/v1/campaigns", "/v1/usage/eu", "/v1/open-campaign", "/v1/report-campaign"] {
        send(&data, &get(target)).await.assert_problem(404, INVALID, "no such route");
        send(&data, &post(target, "{}")).await.assert_problem(404, INVALID, "no such route");
    }
    let without_admin = Client::new(ClientConfig::new(&data));
    let name = "one".parse().unwrap();
    let mode = CampaignMode::Rewrap;
    let request = OpenCampaign { key: "eu".parse().unwrap(), name, mode };
    let refused = without_admin.open_campaign(request).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unsupported);
    service.stop().await;
}

#[tokio::test]
async fn refuses_what_is_no_campaign_no_report_and_no_key() {
    let service = Service::start().await;
    let admin = service.admin_socket();
    let id = "6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60";
    let report = |rest: &str| format!(r#"{{"id":"{id}","expected_revision":1,{rest}}}"#);
    let source = |progress: &str| {
        report(&format!(r#""state":"open","sources":{{"s":{{"passes":1,{progress}}}}}"#))
    };
    let long = "x".repeat(1025);
    for (target, body, says) in [
        ("/v1/open-campaign", r#"{"key":"eu","name":"One","mode":"rewrap"}"#.to_owned(), "at name"),
        ("/v1/open-campaign", r#"{"key":"eu","name":"one","mode":"move"}"#.to_owned(), "at mode"),
        ("/v1/open-campaign", r#"{"key":"eu","name":"one"}"#.to_owned(), "missing field `mode`"),
        ("/v1/report-campaign", report(r#""state":"lost","sources":{}"#), "at state"),
        ("/v1/report-campaign", report(r#""state":"open""#), "missing field `sources`"),
        ("/v1/report-campaign", source(&format!(r#""cursor":"{long}""#)), "1024"),
        ("/v1/report-campaign", source(r#""cursor":"a\nb""#), "control"),
        ("/v1/report-campaign", source(r#""counts":{"scanned":-1}"#), "scanned"),
    ] {
        send(&admin, &post(target, &body)).await.assert_problem(400, INVALID, says);
    }
    for target in [
        "/v1/campaigns/6F2C0A1E-5D3B-4C8F-9A7E-1B2C3D4E5F60",
        "/v1/campaigns/one",
        "/v1/campaigns?key=EU",
        "/v1/campaigns?name=one",
        "/v1/usage/eu%2fpay",
        "/v1/usage/eu/../us",
    ] {
        send(&admin, &get(target)).await.assert_problem(400, INVALID, "");
    }
    let reply = send(&admin, &get(&format!("/v1/campaigns/{id}"))).await;
    reply.assert_problem(404, "not-found", id);
    send(&admin, &get("/v1/usage/eu")).await.assert_problem(404, "not-found", "eu");
    service.stop().await;
}

#[tokio::test]
async fn usage_over_the_wire_is_what_the_service_counted() {
    let service = Service::start().await;
    let client = service.client();
    let key: claviger_kms::KeyPath = "eu".parse().unwrap();
    client.create_key(CreateKey::at(key.clone())).await.unwrap();
    for _ in 0..3 {
        let request = GenerateDataKey { key: key.clone(), binding: Binding::default() };
        client.generate_data_key(request).await.unwrap();
    }
    let usage = client.key_usage(&key).await.unwrap();
    let callers = &usage.versions.first().unwrap().callers;
    let caller = callers.first().unwrap();
    assert_eq!(caller.principal, Some(Service::own_principal()));
    assert_eq!((callers.len(), caller.wraps.count), (1, 3));
    service.stop().await;
}
