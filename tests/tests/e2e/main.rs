//! The real programs on a real token: what a newcomer, an operator and an attacker do to them.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod refusals_store;
#[cfg(test)]
mod refusals_token;
