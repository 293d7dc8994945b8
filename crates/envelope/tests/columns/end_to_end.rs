//! The PostgreSQL example itself, against a real service on a real token and a real database.

#[expect(dead_code, reason = "its `main` is the example's own")]
#[path = "../../examples/postgres_users.rs"]
mod postgres_users;

use claviger_kms::CreateKey;
use claviger_testkit::{Postgres, Service};
use postgres_users::{Arguments, Reach, run};

use super::*;

#[tokio::test]
async fn the_postgresql_example_runs_twice_against_a_real_service() {
    let Some(server) = Postgres::start() else { return };
    let service = Service::start().await;
    for path in ["eu", "eu/users"] {
        let request = CreateKey::at(path.parse().unwrap());
        service.client().create_key(request).await.unwrap();
    }
    let arguments = Arguments {
        database: server.connection_string().to_owned(),
        key: key(),
        service: Reach {
            socket: Some(service.data_socket()),
            admin_socket: Some(service.admin_socket()),
            ..Reach::default()
        },
    };
    assert_eq!(output_of(&arguments).await, FIRST_RUN);
    // A second run finds the first one's rows, under two older versions, and its blind index.
    let second = output_of(&arguments).await;
    for line in [
        "the number of row 4 is found in rows [4]",
        "rotated eu/users to version 3",
        "row 4 still opens and is found: true",
        "rows under older versions: 6",
        "rows under older versions: 5",
    ] {
        assert!(second.lines().any(|found| found == line), "{line} is not in\n{second}");
    }
    service.stop().await;
}

async fn output_of(arguments: &Arguments) -> String {
    let mut output = Vec::new();
    run(arguments, &mut output).await.unwrap();
    String::from_utf8(output).unwrap()
}

const FIRST_RUN: &str = "\
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
