//! Campaigns over real tables and files, with an application that writes at the same time.

mod bench;
mod files;
mod line;
mod objects;
mod postgres;
mod postgres_tls;
mod runs;
mod services;
mod sqlite;
