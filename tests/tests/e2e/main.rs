//! The real programs on a real token: what a newcomer, an operator and an attacker do to them.

#[cfg(test)]
mod application;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod between_services;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod hanging_disk;
#[cfg(test)]
mod hardening;
#[cfg(test)]
mod kek_memory;
#[cfg(test)]
mod large_files;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod outages_clock;
#[cfg(test)]
mod outages_connections;
#[cfg(test)]
mod outages_disk;
#[cfg(test)]
mod outages_store;
#[cfg(test)]
mod outages_token;
#[cfg(test)]
mod refusals_files;
#[cfg(test)]
mod refusals_service;
#[cfg(test)]
mod refusals_store;
#[cfg(test)]
mod refusals_token;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod root_rotation;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod usage;
