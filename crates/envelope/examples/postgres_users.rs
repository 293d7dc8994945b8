//! Users in a PostgreSQL database, with a sealed social security number that can be searched for.
//!
//!     postgres_users --database "host=… user=… dbname=…" --key eu-west-1/users --socket SOCKET --admin-socket SOCKET
//!     postgres_users --database "host=… user=… dbname=…" --key eu-west-1/users \
//!         --address https://HOST:PORT --admin-address https://HOST:PORT \
//!         --tls-cert me.pem --tls-key me.key --tls-ca ca.pem
//!
//! `scripts/postgres start DIR` makes a database and prints how to reach it; the sockets, or the addresses with TLS,
//! are those of a running `clavigerd`. The options are named as those of `claviger`. The table has the sealed number, its blind index, and the key version, which the database itself
//! reads from the envelope's bytes. Each run adds three users, opens and searches, rotates the key, shows that
//! everything still opens and is found, and moves one row to the new version. The numbers are of no person: none
//! begins with 000.

#![expect(
    clippy::disallowed_methods,
    reason = "shows the opened value: it is what the example is for"
)]

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Parser};
use claviger_client::{Client, ClientConfig, Endpoint, Tls, TlsFiles};
use claviger_envelope::{
    BlindIndex, ColumnContext, EnvelopeError, Envelopes, SealedColumn, column::POSTGRES_KEY_VERSION,
};
use claviger_kms::{CreateVersion, KeyManagementService, KeyPath};
use tokio_postgres::NoTls;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Users with a sealed, searchable social security number in a PostgreSQL database.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// How to reach the database, as libpq writes it.
    #[arg(long)]
    pub(crate) database: String,
    /// Path of the key to seal under, such as eu-west-1/users.
    #[arg(long)]
    pub(crate) key: KeyPath,
    /// Where the key service is.
    #[command(flatten)]
    pub(crate) service: Reach,
}

/// Where the key service is: its two sockets, or its two addresses with TLS.
#[derive(Debug, Default, Args)]
pub(crate) struct Reach {
    /// The service's data socket.
    #[arg(
        long,
        value_name = "PATH",
        required_unless_present = "address",
        requires = "admin_socket"
    )]
    pub(crate) socket: Option<PathBuf>,
    /// The service's admin socket, for the rotation.
    #[arg(long, value_name = "PATH", requires = "socket")]
    pub(crate) admin_socket: Option<PathBuf>,
    /// Address of the service with TLS, in place of the sockets; repeat it for further ones to try.
    #[arg(
        long,
        value_name = "https://HOST:PORT",
        conflicts_with_all = ["socket", "admin_socket"],
        requires_all = ["admin_address", "tls_cert", "tls_key", "tls_ca"],
    )]
    pub(crate) address: Vec<Endpoint>,
    /// Address of its admin listener with TLS; may be repeated too.
    #[arg(long, value_name = "https://HOST:PORT", requires = "address")]
    pub(crate) admin_address: Vec<Endpoint>,
    /// Your certificate, PEM: who you are to the service.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key, PEM, of mode 0600.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The CAs to believe about the service, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The name in the service's certificate, where it is not the address's host.
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
}

fn main() -> ExitCode {
    match go(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "postgres_users: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn go(arguments: &Arguments) -> Outcome<()> {
    run(arguments, &mut io::stdout()).await
}

/// The whole example, from top to bottom.
pub(crate) async fn run(arguments: &Arguments, output: &mut dyn Write) -> Outcome<()> {
    let service = connect_to_service(&arguments.service)?;
    let database = connect_to_database(&arguments.database).await?;
    database.batch_execute(POSTGRES_KEY_VERSION).await?;
    database.batch_execute(TABLES).await?;
    let index = index_of_ssn(&database, service.as_ref(), &arguments.key).await?;
    let key = arguments.key.clone();
    let users = Users { database, envelopes: Envelopes::new(service.clone()), index, key };

    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        let id = users.next_id().await?;
        let ssn = format!("000-00-{id:04}");
        users.add(id, name, &ssn).await?;
        writeln!(output, "row {id} added, and opens: {}", users.ssn_of(id).await? == ssn)?;
        ids.push((id, ssn));
    }
    let [(first, ssn), (second, _), ..] = ids.as_slice() else { return Err("no users".into()) };
    writeln!(output, "the number of row {first} is found in rows {:?}", users.find(ssn).await?)?;

    let rotated =
        service.rotate(CreateVersion { key: users.key.clone(), idempotency_key: None }).await?;
    let version = rotated.primary.map_or(0, |version| i64::from(version.number()));
    writeln!(output, "rotated {} to version {version}", users.key)?;
    let still = users.ssn_of(*first).await? == *ssn && users.find(ssn).await? == [*first];
    writeln!(output, "row {first} still opens and is found: {still}")?;
    let before = users.older_than(version).await?;
    writeln!(output, "rows under older versions: {before}")?;
    writeln!(output, "row {first} moved: {}", users.move_to_primary(*first).await?)?;
    let after = users.older_than(version).await?;
    writeln!(output, "rows under older versions: {after}")?;
    let still = users.ssn_of(*first).await? == *ssn && users.find(ssn).await? == [*first];
    writeln!(output, "row {first} still opens and is found: {still}")?;

    match users.envelopes.open_column(&place(*second)?, &users.sealed(*first).await?).await {
        Err(EnvelopeError::Rejected) => {
            writeln!(output, "row {first}'s value put into row {second}: refused")?;
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("a value opened in a row that is not its own".into()),
    }
}

/// The table of users and what goes with it.
struct Users {
    database: tokio_postgres::Client,
    envelopes: Envelopes,
    index: BlindIndex,
    key: KeyPath,
}

impl Users {
    /// The id comes first: the value is sealed for its row.
    async fn next_id(&self) -> Outcome<i64> {
        let query = "SELECT nextval(pg_get_serial_sequence('users', 'id'))";
        Ok(self.database.query_one(query, &[]).await?.try_get(0)?)
    }

    async fn add(&self, id: i64, name: &str, ssn: &str) -> Outcome<()> {
        let sealed = self.envelopes.seal_column(&self.key, &place(id)?, ssn.as_bytes()).await?;
        let index = self.index.of(normal(ssn).as_bytes());
        let insert = "INSERT INTO users (id, name, ssn, ssn_index) VALUES ($1, $2, $3, $4)";
        self.database.execute(insert, &[&id, &name, &sealed, &index.as_slice()]).await?;
        Ok(())
    }

    async fn sealed(&self, id: i64) -> Outcome<SealedColumn> {
        let query = "SELECT ssn FROM users WHERE id = $1";
        Ok(self.database.query_one(query, &[&id]).await?.try_get(0)?)
    }

    async fn ssn_of(&self, id: i64) -> Outcome<String> {
        let opened = self.envelopes.open_column(&place(id)?, &self.sealed(id).await?).await?;
        Ok(opened.with_bytes(|bytes| String::from_utf8(bytes.to_vec()))?)
    }

    /// The rows with this number: what the index finds, opened and compared.
    async fn find(&self, ssn: &str) -> Outcome<Vec<i64>> {
        let index = self.index.of(normal(ssn).as_bytes());
        let query = "SELECT id FROM users WHERE ssn_index = $1 ORDER BY id";
        let mut found = Vec::new();
        for row in self.database.query(query, &[&index.as_slice()]).await? {
            let id = row.try_get(0)?;
            if normal(&self.ssn_of(id).await?) == normal(ssn) {
                found.push(id);
            }
        }
        Ok(found)
    }

    async fn older_than(&self, version: i64) -> Outcome<i64> {
        let query = "SELECT count(*) FROM users WHERE ssn_key_version < $1";
        Ok(self.database.query_one(query, &[&version]).await?.try_get(0)?)
    }

    /// Says whether it was stored: not where somebody else has written the row meanwhile.
    async fn move_to_primary(&self, id: i64) -> Outcome<bool> {
        let old = self.sealed(id).await?;
        let new = self.envelopes.rewrap_column(&place(id)?, &old).await?;
        let update = "UPDATE users SET ssn = $1 WHERE id = $2 AND ssn = $3";
        Ok(self.database.execute(update, &[&new, &id, &old]).await? == 1)
    }
}

/// The blind index whose key is stored, or a new one. Of two programs that start at once, the first to store its
/// key wins, and both read that one back.
async fn index_of_ssn(
    database: &tokio_postgres::Client,
    service: &dyn KeyManagementService,
    key: &KeyPath,
) -> Outcome<BlindIndex> {
    let stored =
        "SELECT wrapped FROM blind_indexes WHERE table_name = 'users' AND column_name = 'ssn'";
    if database.query_opt(stored, &[]).await?.is_none() {
        let (_, wrapped) = BlindIndex::make(service, key, "users", "ssn").await?;
        let insert = "INSERT INTO blind_indexes VALUES ('users', 'ssn', $1) ON CONFLICT DO NOTHING";
        database.execute(insert, &[&wrapped]).await?;
    }
    let wrapped: Vec<u8> = database.query_one(stored, &[]).await?.try_get(0)?;
    Ok(BlindIndex::open(service, &wrapped, "users", "ssn").await?)
}

/// A client of the key service. It connects when it is first used.
fn connect_to_service(reach: &Reach) -> Outcome<Arc<Client>> {
    if let (Some(data), Some(admin)) = (&reach.socket, &reach.admin_socket) {
        let config = ClientConfig::new(data).with_admin_socket(admin);
        return Ok(Arc::new(Client::new(config)));
    }
    let (Some(certificate), Some(key), Some(ca)) =
        (reach.tls_cert.clone(), reach.tls_key.clone(), reach.tls_ca.clone())
    else {
        return Err("an https address needs --tls-cert, --tls-key and --tls-ca".into());
    };
    let server_name = reach.tls_server_name.clone();
    let tls = Tls::read(TlsFiles { certificate, key, ca, server_name })?;
    let addresses = ClientConfig::at(reach.address.clone());
    let config = addresses.with_admin(reach.admin_address.clone()).with_tls(tls);
    Ok(Arc::new(Client::new(config)))
}

async fn connect_to_database(database: &str) -> Outcome<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    // When it breaks, the next query says so.
    tokio::spawn(connection);
    Ok(client)
}

/// What a value is bound to: not secret, and needed again to open it.
fn place(id: i64) -> Result<ColumnContext, EnvelopeError> {
    ColumnContext::new("users", "ssn", id)
}

/// One spelling for what is searched: the digits.
fn normal(ssn: &str) -> String {
    ssn.chars().filter(char::is_ascii_digit).collect()
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        name text NOT NULL,
        ssn bytea NOT NULL,
        ssn_index bytea NOT NULL,
        ssn_key_version bigint GENERATED ALWAYS AS (claviger_key_version(ssn)) STORED
    );
    CREATE INDEX IF NOT EXISTS users_by_ssn ON users (ssn_index);
    CREATE INDEX IF NOT EXISTS users_by_key_version ON users (ssn_key_version);
    CREATE TABLE IF NOT EXISTS blind_indexes (
        table_name text,
        column_name text,
        wrapped bytea NOT NULL,
        PRIMARY KEY (table_name, column_name)
    );
";
