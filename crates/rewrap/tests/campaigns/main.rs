//! Campaigns over real tables and files, with an application that writes at the same time.

mod bench;
mod census;
mod files;
mod gates;
mod gates_sqlite;
mod postgres;
mod runs;
mod services;
mod sqlite;
