//! A server of PostgreSQL that is reached with TLS only.

use claviger_rewrap::{CampaignFile, Outcome, sources};
use claviger_testkit::certificates::{Authority, Wanted};

use crate::{
    bench::{Bench, campaign, version_of},
    postgres::{Table, connect},
};

/// A table whose server has this certificate, and how to reach it beside host and TLS.
struct Server {
    table: Table,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    async fn new(wanted: &Wanted) -> Option<Self> {
        let mut table = Table::new().await?;
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        ours.write(&folder.path().join("ca.pem"));
        other.write(&folder.path().join("wrong.pem"));
        let issued = ours.issue(folder.path(), "database", wanted);
        let port = table.server.listen_tls(&issued.certificate, &issued.key);
        table.client = connect(table.server.connection_string()).await;
        Some(Self { table, folder, port })
    }

    /// A campaign with these words in the connection string and these lines in the source.
    fn file(&self, connection: &str, lines: &str) -> CampaignFile {
        let secret = self.folder.path().join("connection");
        let text = format!("port={} user=claviger dbname=postgres {connection}", self.port);
        std::fs::write(&secret, text).expect("written");
        let lines = lines.replace("CA", self.folder.path().to_str().expect("a path"));
        campaign(
            "",
            &format!(
                "kind = \"postgres\"\nconnection-file = {secret:?}\ntable = \"Cards\"\n\
                 key-columns = [\"id\"]\nenvelope-column = \"Number\"\n\
                 context = {{ table = \"cards\", row = \"{{id}}\" }}\n{lines}"
            ),
        )
    }

    async fn refused(&self, connection: &str, lines: &str) -> String {
        match sources::open(&self.file(connection, lines)).await {
            Ok(_) => panic!("{connection} {lines}: it was reached"),
            Err(error) => error.to_string(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_move_over_tls_to_a_server_of_the_named_ca() {
    let Some(server) = Server::new(&Wanted::server()).await else { return };
    let bench = Bench::new();
    server.table.insert(&bench, 0..50).await;
    bench.rotate().await;
    let required = "tls = \"required\"\nca-file = \"CA/ca.pem\"";
    let report = bench.run(&server.file("host=localhost", required)).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 50), "{report}");
    assert!(server.table.all().await.iter().all(|(_, envelope)| version_of(envelope) == 2));
    // So does the connection string alone.
    let file = server.file("host=localhost sslmode=require", "ca-file = \"CA/ca.pem\"");
    assert_eq!(bench.run(&file).await.outcome, Outcome::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_ca_or_name_is_not_believed_and_none_is_used_without_tls() {
    let Some(server) = Server::new(&Wanted::server()).await else { return };
    let required = "tls = \"required\"\nca-file = \"CA/wrong.pem\"";
    let said = server.refused("host=localhost", required).await;
    assert!(said.contains("certificate"), "{said}");
    // Its certificate is for localhost and 127.0.0.1.
    let required = "tls = \"required\"\nca-file = \"CA/ca.pem\"";
    let said = server.refused("host=db.example hostaddr=127.0.0.1", required).await;
    assert!(said.contains("certificate"), "{said}");
    // Without TLS this server answers nobody.
    let said = server.refused("host=localhost", "").await;
    assert!(said.contains("no encryption"), "{said}");
}

/// Whoever stands between could otherwise say so, and read what comes next.
#[tokio::test]
async fn an_answer_that_there_is_no_tls_ends_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = tempfile::tempdir().expect("a folder");
    let (ca, secret) = (folder.path().join("ca.pem"), folder.path().join("connection"));
    Authority::new("ours").write(&ca);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let text = format!("host=localhost hostaddr=127.0.0.1 port={port} user=claviger");
    std::fs::write(&secret, text).expect("written");
    let file = campaign(
        "",
        &format!(
            "kind = \"postgres\"\nconnection-file = {secret:?}\ntls = \"required\"\nca-file = {ca:?}\n\
             table = \"Cards\"\nkey-columns = [\"id\"]\nenvelope-column = \"Number\"\ncontext = {{}}"
        ),
    );
    let between = async {
        let (mut caller, _) = listener.accept().await.expect("a caller");
        let mut request = [0; 8];
        caller.read_exact(&mut request).await.expect("the request for TLS");
        caller.write_all(b"N").await.expect("an answer");
        let mut more = Vec::new();
        caller.read_to_end(&mut more).await.expect("the end");
        more
    };
    let (opened, more) = tokio::join!(sources::open(&file), between);
    let Err(error) = opened else { panic!("it opened") };
    assert!(error.to_string().contains("TLS") && more.is_empty(), "{error} {more:?}");
}
