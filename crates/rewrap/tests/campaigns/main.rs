//! Campaigns over real tables and files, with an application that writes at the same time.

mod bench;
mod census;
mod files;
mod gates;
mod gates_sqlite;
mod line;
mod objects;
mod postgres;
mod postgres_tls;
mod runs;
mod services;
mod sqlite;
