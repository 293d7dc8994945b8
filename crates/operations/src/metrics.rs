//! Counters, histograms and gauges in the OpenMetrics text format.
//!
//! Labels are words of closed sets (actions, results), never anything a caller sends.

use std::{fmt, time::Duration};

use claviger_audit::{AuditHealth, AuditResult, Entry};
use claviger_hierarchy::HierarchyHealth;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    action: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAction {
    action: &'static str,
}

/// All metrics of the service.
pub(crate) struct Metrics {
    registry: Registry,
    operations: Family<Operation, Counter>,
    latency: Family<OfAction, Histogram>,
    cached_keks: Gauge,
    keys: Gauge,
    generation: Gauge,
    audit_ok: Gauge,
    audit_records: Gauge,
    audit_syncs: Gauge,
    rotation_leader: Gauge,
    rotations_overdue: Gauge,
    rotations_failing: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("claviger");
        let operations = Family::<Operation, Counter>::default();
        registry.register("operations", "Operations by action and result", operations.clone());
        let latency = Family::<OfAction, Histogram>::new_with_constructor(latency_buckets);
        registry.register_with_unit(
            "operation_duration",
            "Time from a request's arrival to its result, without the wait for its audit record",
            Unit::Seconds,
            latency.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            cached_keks: gauge("cached_keks", "Unwrapped KEKs held in memory"),
            keys: gauge("keys", "Keys in the tree"),
            generation: gauge("store_generation", "Generation of the key store"),
            audit_ok: gauge("audit_ok", "1 if audit records can be made durable"),
            audit_records: gauge("audit_records", "Audit records made durable since the start"),
            audit_syncs: gauge("audit_syncs", "Synchronisations that made them durable"),
            rotation_leader: gauge("rotation_leader", "1 if this service rotates by schedule"),
            rotations_overdue: gauge("rotations_overdue", "Keys due for rotation by schedule"),
            rotations_failing: gauge("rotations_failing", "Of these, keys whose last try failed"),
            operations,
            latency,
            registry,
        }
    }

    pub(crate) fn count(&self, entry: &Entry, elapsed: Duration) {
        let action = entry.event.as_str();
        let result = match entry.result {
            AuditResult::Failed(code) => code.as_str(),
            _ => "done",
        };
        self.operations.get_or_create(&Operation { action, result }).inc();
        self.latency.get_or_create(&OfAction { action }).observe(elapsed.as_secs_f64());
    }

    /// What a round of the schedule came to.
    pub(crate) fn schedule(&self, leads: bool, overdue: usize, failing: usize) {
        let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.rotation_leader.set(i64::from(leads));
        self.rotations_overdue.set(size(overdue));
        self.rotations_failing.set(size(failing));
    }

    pub(crate) fn text(&self, hierarchy: &HierarchyHealth, audit: &AuditHealth) -> String {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.cached_keks.set(size(hierarchy.cached_keks));
        self.keys.set(size(hierarchy.keys));
        self.generation.set(number(hierarchy.generation));
        self.audit_ok.set(i64::from(audit.is_ok()));
        self.audit_records.set(number(audit.records));
        self.audit_syncs.set(number(audit.syncs));
        let mut text = String::new();
        // Writing into a `String` cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 18))
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
