use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    support::{get, post, read},
    tls_support::{config_of, connect, connect_good, good, send, start},
};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_handshake_that_comes_drop_by_drop_ends_at_its_timeout() {
    let (service, doors) = start(|limits| limits.handshake_timeout = SHORT).await;
    let mut stream = TcpStream::connect(doors.data).await.unwrap();
    let begun = Instant::now();
    // The head of a record of 512 bytes, then a byte now and then: each one in time, the whole not.
    let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    let (mut reader, mut writer) = stream.into_split();
    let drops = async {
        while writer.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut some = [0; 16];
    tokio::select! {
        length = reader.read(&mut some) => assert_eq!(length.unwrap_or(0), 0),
        () = drops => {}
    }
    assert!((SHORT..Duration::from_secs(3)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(send(&doors, &get("/livez")).await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn headers_that_come_drop_by_drop_end_at_their_timeout() {
    let (service, doors) = start(|limits| limits.header_timeout = SHORT).await;
    let (mut reader, mut writer) = tokio::io::split(connect_good(&doors).await);
    let begun = Instant::now();
    writer.write_all(b"GET /livez HTTP/1.1\r\nhost: ").await.unwrap();
    let drops = async {
        while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut reply = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut reply) => {}
        () = drops => {}
    }
    assert!(!reply.starts_with(b"HTTP/1.1 200"));
    assert!((SHORT..Duration::from_secs(3)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    service.stop().await;
}

#[tokio::test]
async fn headers_without_end_are_refused_at_the_size_of_the_buffer() {
    let (service, doors) = start(|_| {}).await;
    let (mut reader, mut writer) = tokio::io::split(connect_good(&doors).await);
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(b"GET /livez HTTP/1.1\r\n").await;
        let line = format!("x-more: {}\r\n", "a".repeat(1000));
        for _ in 0..20_000 {
            if writer.write_all(line.as_bytes()).await.is_err() {
                return true;
            }
        }
        false
    });
    let mut reply = Vec::new();
    let _ = reader.read_to_end(&mut reply).await;
    assert!(writing.await.unwrap(), "20 MB of headers were read");
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 431"), "{reply:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused_by_its_size_or_its_time() {
    let (service, doors) = start(|limits| limits.body_timeout = SHORT * 5).await;
    let head = "POST /v1/encrypt HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    // Slowly.
    let begun = Instant::now();
    let mut stream = connect_good(&doors).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"1\r\n{\r\n").await.unwrap();
    read(&mut stream).await.assert_problem(408, "invalid-request", "in time");
    assert!(begun.elapsed() < Duration::from_secs(4));

    // As fast as it is taken.
    let (mut reader, mut writer) = tokio::io::split(connect_good(&doors).await);
    let writing = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
        for _ in 0..4096 {
            if writer.write_all(chunk.as_bytes()).await.is_err() {
                return true;
            }
        }
        false
    });
    let mut reply = Vec::new();
    let _ = reader.read_to_end(&mut reply).await;
    assert!(writing.await.unwrap(), "256 MiB of a body were read");
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.is_empty() || reply.contains("262144 bytes"), "{reply}");
    assert_eq!(send(&doors, &get("/livez")).await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn json_ten_thousand_deep_is_refused_by_name() {
    let (service, doors) = start(|_| {}).await;
    let arrays = format!(r#"{{"key":"eu","plaintext":{}"#, "[".repeat(10_000));
    let maps = format!(r#"{{"key":"eu","binding":{}"#, r#"{"context":"#.repeat(10_000));
    for body in [&arrays, &maps, &"[".repeat(10_000)] {
        let reply = send(&doors, &post("/v1/encrypt", body)).await;
        reply.assert_problem(400, "invalid-request", "the body is wrong");
        assert!(reply.body.len() < 2048);
    }
    service.stop().await;
}

#[tokio::test]
async fn paths_that_climb_or_hold_a_nul_reach_no_key() {
    let (service, doors) = start(|_| {}).await;
    for path in ["%2e%2e", "eu/%2e%2e/eu", "..", "eu/../us", "eu%00", "%00", "eu%2f..%2fus"] {
        let reply = send(&doors, &get(&format!("/v1/keys/{path}"))).await;
        reply.assert_problem(400, "invalid-request", "key path");
    }
    let nul = b"GET /v1/keys/e\0u HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(send(&doors, nul).await.status, 400);
    service.stop().await;
}

/// HTTP/2 is not offered, so there is nothing to flood.
#[tokio::test]
async fn http_2_is_not_spoken_whether_asked_for_or_just_begun() {
    let (service, doors) = start(|_| {}).await;
    let mut config = config_of(&doors, Some(&good(&doors)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let refused = connect(&doors, config).await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");

    // The preface, an empty SETTINGS frame, and a flood of PING frames.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for _ in 0..10_000 {
        bytes.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\0pingping");
    }
    let mut stream = connect_good(&doors).await;
    let _ = stream.write_all(&bytes).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 4"), "{reply:?}");
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_tls_1_3_gets_no_byte_of_http() {
    let (service, doors) = start(|_| {}).await;
    let answer = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(doors.data).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        reply
    };
    let plain = answer(&get("/livez")).await;
    assert!(plain.is_empty() || plain.starts_with(&[0x15]), "{plain:?}");
    // The greeting of a client that knows TLS 1.2 only: one cipher, its curve and signature.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 23, 0, 0];
    let mut hello = vec![3, 3];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 20]);
    hello.extend_from_slice(&extensions);
    let mut record = vec![0x16, 3, 1, 0, 67, 1, 0, 0, 63];
    record.extend_from_slice(&hello);
    assert_eq!((hello.len(), record.len()), (63, 5 + 67));
    let alert = answer(&record).await;
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
    assert_eq!(alert.get(6), Some(&70), "not the alert protocol_version: {alert:?}");
    service.stop().await;
}
