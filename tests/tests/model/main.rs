//! A model of rotation, campaigns and destruction, explored state by state.
//!
//! The rules of records, uses and campaigns are not written again here: every step on a record is one of
//! `claviger_hierarchy::steps`, every use of a version is allowed by `claviger_hierarchy::uses`, every decision of
//! a campaign is one of `claviger_rewrap::decide`. The order of evidence, retries and passes are modelled. The rest
//! is the world around them: a store with compare-and-swap, two operators
//! before two instances, an application, a source with a gate, campaign runners, crashes and lost replies at any
//! point. It holds within the bounds of each scenario; and each of the mistakes planted in it is found.
//!
//! Known limits, left out of the scenarios: the gate is not opened between the recheck and the commit of a
//! destruction, nor after it, for as long as an application may hold an old envelope; a row that changes place *twice* can
//! hide from both scans, since a scan is not one moment.

mod application;
mod campaign;
mod evidence;
mod ghost;
mod record;
mod scenarios;
mod service;
mod world;

mod bugs;
mod holds;
