//! An application over mutual TLS: the example `postgres_users` as a process, `clavigerd` as a process, and a
//! PostgreSQL server.

#![expect(clippy::disallowed_methods, reason = "compares what was opened with what was sealed")]

use std::{process::Command, sync::Arc};

use claviger_audit::{AuditDecision, AuditResult, Peer, Proof};
use claviger_client::{Client, ClientConfig};
use claviger_envelope::{ColumnContext, Envelopes, SealedColumn};
use claviger_testkit::{
    Postgres,
    certificates::{Authority, Issued, Wanted},
};
use claviger_tests::{Ran, Running, Site, TlsAddresses, audit_trail, postgres_users, run};
use tokio_postgres::NoTls;

const APPLICATION: &str = "spiffe://claviger.test/users-service";

/// A running service with TLS that lets the application, and nobody else over TLS, use the key `eu/users`.
struct Bench {
    database: Postgres,
    site: Site,
    tls: TlsAddresses,
    service: Running,
}

impl Bench {
    /// `None` where there is no PostgreSQL and none is required.
    fn new() -> Option<Self> {
        let database = Postgres::start()?;
        let site = Site::new();
        let tls = site.add_tls();
        site.write_policy(&format!(
            "[[rule]]\nname = \"operator\"\nprincipals = [\"{}\"]\nactions = [\"*\"]\n\
             keys = [\"**\"]\n\
             [[rule]]\nname = \"application\"\nprincipals = [\"{APPLICATION}\"]\n\
             actions = [\"data-key\", \"decrypt\", \"rewrap\", \"rotate\"]\nkeys = [\"eu/users\"]\n",
            Site::own_principal()
        ));
        let service = site.start();
        service.create(&["eu", "eu/users"]);
        Some(Self { database, site, tls, service })
    }

    /// The example, as whoever holds this certificate.
    fn run_example(&self, caller: &Issued) -> Ran {
        let mut example = Command::new(postgres_users());
        example.arg("--database").arg(self.database.connection_string());
        example.args(["--key", "eu/users"]);
        example.arg("--address").arg(format!("https://{}", self.tls.data));
        example.arg("--admin-address").arg(format!("https://{}", self.tls.admin));
        example.arg("--tls-cert").arg(&caller.certificate).arg("--tls-key").arg(&caller.key);
        example.arg("--tls-ca").arg(&self.tls.ca);
        run(&mut example, b"")
    }

    async fn database(&self) -> tokio_postgres::Client {
        let text = self.database.connection_string();
        let (client, connection) = tokio_postgres::connect(text, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

#[tokio::test]
async fn the_postgresql_example_works_over_mutual_tls_and_the_audit_log_names_it() {
    let Some(bench) = Bench::new() else { return };
    let ran = bench.run_example(&bench.tls.issue("application", APPLICATION)).succeeded();
    assert_eq!(ran.text(), RUN, "{}", ran.said);

    // What it left in the database is sealed, and opens for somebody else whom the policy lets.
    let site = &bench.site;
    let envelopes = Envelopes::new(Arc::new(Client::new(ClientConfig::new(site.data_socket()))));
    let rows = "SELECT id, ssn FROM users ORDER BY id";
    let rows = bench.database().await.query(rows, &[]).await.unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let (id, sealed): (i64, SealedColumn) = (row.get(0), row.get(1));
        let number = format!("000-00-{id:04}");
        let clear = sealed.as_bytes().windows(number.len()).any(|part| part == number.as_bytes());
        assert!(!clear, "row {id} is not sealed");
        let place = ColumnContext::new("users", "ssn", id).unwrap();
        let opened = envelopes.open_column(&place, &sealed).await.unwrap();
        let opened = opened.with_bytes(|bytes| bytes.to_vec());
        assert_eq!(opened, number.as_bytes(), "row {id}");
    }

    bench.service.stop();
    let trail = audit_trail(&bench.site.audit());
    let of_application: Vec<_> = trail
        .iter()
        .map(|record| &record.entry)
        .filter(|entry| entry.proof == Proof::ClientCertificate)
        .collect();
    for entry in &of_application {
        assert_eq!(entry.principal.as_ref().unwrap().as_str(), APPLICATION, "{entry:?}");
        assert!(matches!(entry.peer, Some(Peer::Network { .. })), "{entry:?}");
        assert_eq!(entry.decision, AuditDecision::Allowed, "{entry:?}");
        assert_eq!(entry.rule.as_ref().unwrap().as_str(), "application", "{entry:?}");
    }
    let done = |event: &str| {
        let of_event = of_application.iter().filter(|entry| entry.event.as_str() == event);
        of_event
            .filter(|entry| matches!(entry.result, AuditResult::Done | AuditResult::Failed(_)))
            .count()
    };
    // One data key for each of three rows, one for the index.
    assert_eq!((done("data-key"), done("rotate"), done("rewrap")), (4, 1, 1));
    assert!(done("decrypt") > 3);
}

#[tokio::test]
async fn the_postgresql_example_is_refused_with_a_certificate_that_is_not_its_own() {
    let Some(bench) = Bench::new() else { return };
    let foreign_authority = Authority::new("the authority");
    let folder = bench.site.work();
    for (caller, says) in [
        // A foreign trust domain, and the own one vouched for by somebody else.
        (
            bench.tls.issue("foreign", "spiffe://elsewhere.test/users-service"),
            "refused this client's certificate",
        ),
        (
            foreign_authority.issue(&folder, "forged", &Wanted::caller(APPLICATION)),
            "refused this client's certificate",
        ),
        // A neighbour of the same trust domain: let in, and allowed nothing.
        (
            bench.tls.issue("neighbour", "spiffe://claviger.test/other-service"),
            "not allowed, or there is no such key",
        ),
    ] {
        bench.run_example(&caller).assert_refused(1, &["postgres_users: ", says]);
    }
    let log = std::fs::read_to_string(bench.site.log()).unwrap();
    assert!(log.contains("elsewhere.test is not one of trust-domains"), "{log}");
    let rows = "SELECT count(*) FROM users";
    let rows: i64 = bench.database().await.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);

    bench.service.stop();
    for record in audit_trail(&bench.site.audit()) {
        let entry = record.entry;
        if entry.proof == Proof::ClientCertificate {
            assert_eq!(entry.principal.unwrap().as_str(), "spiffe://claviger.test/other-service");
            assert_eq!(entry.decision, AuditDecision::Denied);
        }
    }
}

const RUN: &str = "\
row 1 added, and opens: true
row 2 added, and opens: true
row 3 added, and opens: true
the number of row 1 is found in rows [1]
rotated eu/users to version 2
row 1 still opens and is found: true
rows under older versions: 3
row 1 moved: true
rows under older versions: 2
row 1 still opens and is found: true
row 1's value put into row 2: refused
";
