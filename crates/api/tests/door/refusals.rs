use claviger_api::Limits;
use claviger_kms::{CreateKey, KeyManagementService as _};
use claviger_testkit::Service;

use crate::support::{get, post, post_with, send};

const INVALID: &str = "invalid-request";

#[tokio::test]
async fn refuses_bodies_that_are_not_what_the_route_takes() {
    let service = Service::start().await;
    let data = service.data_socket();
    let deep = format!(r#"{{"items":{}"#, "[".repeat(100_000));
    let binding = format!(r#"{{"key":"eu","binding":{}"#, r#"{"context":"#.repeat(10_000));
    for (target, body, says) in [
        ("/v1/encrypt", "", "EOF"),
        ("/v1/encrypt", "hello", "line 1, column 1"),
        ("/v1/encrypt", "{\"key\":\"eu\",\n\"plaintext\":\"\",\"colour\":1}", "line 2"),
        ("/v1/encrypt", r#"{"key":"eu","plaintext":"","colour":1}"#, "unknown field `colour`"),
        ("/v1/encrypt", r#"{"key":"eu","plaintext":"","key":"us"}"#, "duplicate field `key`"),
        ("/v1/encrypt", r#"{"key":"eu"}"#, "missing field `plaintext`"),
        ("/v1/encrypt", r#"{"key":"EU","plaintext":""}"#, "begins with 'E'"),
        ("/v1/encrypt", r#"{"key":"eu/../us","plaintext":""}"#, "begins with '.'"),
        ("/v1/encrypt", r#"{"key":"eu","plaintext":"%%%"}"#, "base64"),
        ("/v1/encrypt", r#"{"key":"eu","plaintext":7}"#, "at plaintext"),
        ("/v1/encrypt", r#"{"key":"eu","plaintext":""} trailing"#, "trailing"),
        ("/v1/data-key", &deep, "unknown field"),
        ("/v1/data-key", &binding, "at binding.context"),
        ("/v1/batch/decrypt", &deep, "items[0]"),
        ("/v1/batch/encrypt", "[]", "expected"),
        ("/v1/batch/encrypt", r#"{"items":[{"key":"eu"}]}"#, "items[0]"),
        (
            "/v1/data-key",
            r#"{"key":"eu","binding":{"context":{"a":"1","a":"2"}}}"#,
            "names \"a\" twice",
        ),
    ] {
        let reply = send(&data, &post(target, body)).await;
        reply.assert_problem(400, INVALID, says);
        assert!(reply.body.len() < 2048, "{} bytes", reply.body.len());
    }
    service.stop().await;
}

#[tokio::test]
async fn refuses_other_content_types_routes_and_methods() {
    let service = Service::start().await;
    let (data, admin) = (service.data_socket(), service.admin_socket());
    let body = r#"{"key":"eu","plaintext":""}"#;
    for headers in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
    ] {
        let reply = send(&data, &post_with("/v1/encrypt", headers, body)).await;
        reply.assert_problem(415, INVALID, "content-type: application/json");
    }
    for target in
        ["/", "/v1", "/v1/encrypt/", "/v1/Encrypt", "/v2/encrypt", "/v1/rotate", "/v1/keys/"]
    {
        send(&data, &post(target, body)).await.assert_problem(404, INVALID, "no such route");
    }
    for target in ["/v1/encrypt", "/v1/batch/encrypt", "/v1/decrypt"] {
        send(&admin, &post(target, body)).await.assert_problem(404, INVALID, "no such route");
    }
    let reply = send(&data, &get("/v1/encrypt")).await;
    reply.assert_problem(405, INVALID, "method");
    assert_eq!(reply.header("allow"), Some("POST"));
    send(&data, &post("/v1/keys", body)).await.assert_problem(405, INVALID, "method");
    let delete = b"DELETE /v1/keys/eu HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    send(&admin, delete).await.assert_problem(405, INVALID, "method");
    service.stop().await;
}

#[tokio::test]
async fn refuses_key_paths_without_decoding_them() {
    let service = Service::start().await;
    service.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let data = service.data_socket();
    let many = ["a"; 300].join("/");
    for path in [
        "%65u",
        "%2e%2e",
        "eu/%2e%2e/eu",
        "eu/../eu",
        "..",
        "EU",
        "eu%00",
        "eu%2f",
        "eu//pay",
        "/eu",
        "eu/",
        &many,
        &"a".repeat(64),
    ] {
        let reply = send(&data, &get(&format!("/v1/keys/{path}"))).await;
        reply.assert_problem(400, INVALID, "key path");
    }
    for query in [
        "under=%2e%2e",
        "under=EU",
        "after=eu%00",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "colour=1",
        "limit=1&limit=2",
    ] {
        let reply = send(&data, &get(&format!("/v1/keys?{query}"))).await;
        reply.assert_problem(400, INVALID, "");
    }
    assert_eq!(send(&data, &get("/v1/keys/eu")).await.status, 200);
    // What is no HTTP at all is the HTTP library's to refuse, before there is a request.
    assert_eq!(send(&data, b"GET /v1/keys/e\0u HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 400);
    service.stop().await;
}

#[tokio::test]
async fn refuses_bodies_too_large_and_names_the_limit() {
    let service = Service::start().await;
    let data = service.data_socket();
    let body = |length: usize| format!(r#"{{"key":"eu","plaintext":"{}"}}"#, "A".repeat(length));
    let most = Limits::default().max_body;
    let reply = send(&data, &post("/v1/encrypt", &body(most))).await;
    reply.assert_problem(413, INVALID, "262144 bytes");
    let reply = send(&data, &post("/v1/encrypt", &body(most - 64))).await;
    assert_ne!(reply.status, 413, "{reply:?}");
    let reply = send(&data, &post("/v1/batch/encrypt", &body(5 * 1024 * 1024))).await;
    reply.assert_problem(413, INVALID, "4194304 bytes");

    // Without a length, chunk by chunk.
    let chunk = format!("10000\r\n{}\r\n", "A".repeat(0x1_0000)).repeat(5);
    let head = "POST /v1/encrypt HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let reply = send(&data, format!("{head}{chunk}0\r\n\r\n").as_bytes()).await;
    reply.assert_problem(413, INVALID, "262144 bytes");
    service.stop().await;
}

#[tokio::test]
async fn refuses_a_batch_of_257_as_a_whole() {
    let service = Service::start().await;
    service.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let items = vec![r#"{"key":"eu","plaintext":""}"#; 257].join(",");
    let body = format!(r#"{{"items":[{items}]}}"#);
    let reply = send(&service.data_socket(), &post("/v1/batch/encrypt", &body)).await;
    reply.assert_problem(400, INVALID, "at most 256");
    service.stop().await;
}

#[tokio::test]
async fn a_rejected_ciphertext_says_no_more_than_that() {
    let service = Service::start().await;
    let client = service.client();
    client.create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let request = r#"{"key":"eu","binding":{"context":{"row":"1"}}}"#;
    let made = send(&service.data_socket(), &post("/v1/data-key", request)).await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let ciphertext = made["ciphertext"].as_str().unwrap();
    let mut flipped = ciphertext.to_owned();
    flipped.replace_range(100..101, if flipped[100..].starts_with('A') { "B" } else { "A" });
    let mut bodies = Vec::new();
    for (text, row) in [(ciphertext, "2"), (&flipped, "1"), (&flipped, "2")] {
        let body =
            format!(r#"{{"ciphertext":"{text}","binding":{{"context":{{"row":"{row}"}}}}}}"#);
        let reply = send(&service.data_socket(), &post("/v1/decrypt", &body)).await;
        reply.assert_problem(422, "ciphertext-rejected", "the ciphertext was rejected");
        bodies.push(reply.body);
    }
    assert!(bodies.windows(2).all(|pair| pair.first() == pair.last()), "{bodies:?}");
    service.stop().await;
}
