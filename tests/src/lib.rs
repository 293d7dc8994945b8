//! What the end-to-end tests share: the real programs, each test with its own token, store and sockets
//! in a temporary folder.
//!
//! The tests are in `tests/`: `e2e` runs `clavigerd` and `claviger` as processes, `crash` kills them and
//! PostgreSQL in the midst of rotations and campaigns, `layering` and `audit_list` read the workspace. The benchmarks are in `benches/`, on the same sites; `scripts/bench`
//! runs them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where its surroundings do"
)]

pub mod http;
pub mod measure;

mod audit_trail;
mod binaries;
mod eventually;
mod login_counter;
mod process;
mod running;
mod secrets;
mod site;
mod site_tls;

pub use audit_trail::{assert_unbroken, audit_trail};
pub use binaries::{claviger, clavigerd, postgres_users};
pub use eventually::eventually;
pub use login_counter::LoginCounter;
pub use process::{Cost, Ran, cost_of, run};
pub use running::Running;
pub use secrets::Secrets;
pub use site::Site;
pub use site_tls::TlsAddresses;
