use claviger_api::Limits;
use claviger_kms::{CreateKey, ErrorCode, KeyManagementService as _};
use claviger_testkit::Service;

use crate::support::{audit_log, get, post, post_with, send};

/// Lets this user make and see keys in `eu`, and nothing else; another user may do everything.
fn narrow_policy() -> String {
    let own = Service::own_principal();
    format!(
        "[[rule]]\nname = \"own\"\nprincipals = [\"{own}\"]\nactions = [\"create\"]\nkeys = [\"eu\"]\n\
         [[rule]]\nname = \"other\"\nprincipals = [\"uds:uid=4000000000\", \"local:root\"]\n\
         actions = [\"*\"]\nkeys = [\"**\"]\n"
    )
}

#[tokio::test]
async fn a_missing_key_and_a_forbidden_one_are_the_same_bytes() {
    let service = Service::start_with(&narrow_policy(), Limits::default()).await;
    service.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let data = service.data_socket();
    let answers = async |key: &str| {
        let encrypt = format!(r#"{{"key":"{key}","plaintext":""}}"#);
        let data_key = format!(r#"{{"key":"{key}"}}"#);
        [
            send(&data, &get(&format!("/v1/keys/{key}"))).await,
            send(&data, &post("/v1/encrypt", &encrypt)).await,
            send(&data, &post("/v1/data-key", &data_key)).await,
            send(&data, &post("/v1/data-key-wrapped", &data_key)).await,
            send(&service.admin_socket(), &post("/v1/rotate", &data_key)).await,
        ]
    };
    for (there, missing) in answers("eu").await.iter().zip(answers("us").await) {
        there.assert_problem(403, "denied", "");
        assert_eq!(there.body, missing.body);
        assert_eq!(there.header("content-length"), missing.header("content-length"));
    }
    service.stop().await;
}

#[tokio::test]
async fn no_header_and_no_field_changes_who_asks() {
    let service = Service::start_with(&narrow_policy(), Limits::default()).await;
    service.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let data = service.data_socket();
    for header in [
        "x-forwarded-user: uds:uid=4000000000",
        "x-remote-user: 4000000000",
        "authorization: Bearer uds:uid=4000000000",
        "forwarded: for=uds:uid=4000000000",
        "claviger-principal: local:root",
        "x-request-id: uds:uid=4000000000",
    ] {
        let headers = format!("content-type: application/json\r\n{header}\r\n");
        let reply = send(&data, &post_with("/v1/data-key", &headers, r#"{"key":"eu"}"#)).await;
        reply.assert_problem(403, "denied", "");
    }
    let field = r#"{"key":"eu","principal":"uds:uid=4000000000"}"#;
    let reply = send(&data, &post("/v1/data-key", field)).await;
    reply.assert_problem(400, "invalid-request", "unknown field");
    service.stop().await;
}

#[tokio::test]
async fn a_principal_without_a_rule_is_denied_everything_and_shown_nothing() {
    let nobody = "[[rule]]\nname = \"other\"\nprincipals = [\"uds:uid=4000000000\"]\n\
                  actions = [\"*\"]\nkeys = [\"**\"]\n";
    let service = Service::start_with(nobody, Limits::default()).await;
    let client = service.client();
    let created = client.create_key(CreateKey::at("eu".parse().unwrap())).await;
    assert_eq!(created.unwrap_err().code(), ErrorCode::Denied);
    let listed = client.list_keys(claviger_kms::ListKeys::default()).await;
    assert!(listed.is_ok_and(|page| page.keys.is_empty() && page.next.is_none()));
    service.stop().await;
}

/// Only a process that may change its user can show this; others say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_at_the_socket_is_another_principal() {
    use std::{
        io::{Read as _, Write as _},
        os::unix::fs::PermissionsExt as _,
    };
    let service = Service::start().await;
    service.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let data = service.data_socket();
    std::fs::set_permissions(service.folder(), std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o666)).unwrap();
    // The kernel keeps a user for each thread; this one ends as the other user.
    let as_other = std::thread::spawn(move || {
        let other = rustix::thread::Uid::from_raw(4_000_000_000);
        rustix::thread::set_thread_res_uid(other, other, other).ok()?;
        let mut stream = std::os::unix::net::UnixStream::connect(data).unwrap();
        stream.write_all(&post("/v1/data-key", r#"{"key":"eu"}"#)).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        Some(reply)
    });
    match tokio::task::spawn_blocking(|| as_other.join()).await.unwrap().unwrap() {
        None => eprintln!("SKIP: this user cannot become another one"),
        Some(reply) => {
            assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
            assert!(audit_log(&service).contains("uds:uid=4000000000"));
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn the_audit_record_names_the_kernel_s_peer_and_both_request_ids() {
    let service = Service::start().await;
    let headers = "content-type: application/json\r\nx-request-id: order-17\r\n";
    let body = r#"{"key":"eu","plaintext":"aHVudGVyMg=="}"#;
    let reply = send(&service.data_socket(), &post_with("/v1/encrypt", headers, body)).await;
    let id = reply.header("claviger-request-id").unwrap().to_owned();
    let log = audit_log(&service);
    let record = log.lines().find(|line| line.contains(&id)).unwrap();
    assert!(record.contains("order-17"), "{record}");
    assert!(record.contains(&format!("\"pid\":{}", std::process::id())), "{record}");
    assert!(record.contains(Service::own_principal().as_str()), "{record}");
    assert!(!log.contains("hunter2") && !log.contains("aHVudGVyMg"));
    service.stop().await;
}
