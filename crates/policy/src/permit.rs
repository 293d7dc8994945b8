//! The permit: the value a use of a key needs, and only a policy makes.
//!
//! Invariant: holding a `Permit<A>` proves that a policy allowed action `A` on exactly this key to
//! exactly this principal. It is used up by being passed on: it cannot be cloned, made elsewhere, or
//! changed into a permit for another action or key.

use std::marker::PhantomData;

use claviger_kms::{Action, KeyPath, Principal};

use crate::{ActionType, RuleName};

/// Proof that a policy allowed action `A`.
#[must_use = "a permit is for one use; without one, ask `Policy::decide`"]
#[derive(Debug)]
pub struct Permit<A> {
    principal: Principal,
    key: KeyPath,
    rule: RuleName,
    action: PhantomData<fn() -> A>,
}

impl<A: ActionType> Permit<A> {
    pub(crate) fn new(principal: Principal, key: KeyPath, rule: RuleName) -> Self {
        Self { principal, key, rule, action: PhantomData }
    }

    /// Who may.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// To do what.
    #[must_use]
    pub fn action(&self) -> Action {
        A::ACTION
    }

    /// With which key.
    #[must_use]
    pub fn key(&self) -> &KeyPath {
        &self.key
    }

    /// By which rule.
    #[must_use]
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }
}

/// Proof that a policy allowed action `A` with every key there could be: for what concerns the service
/// as a whole and no one key.
#[must_use = "a permit is for one use; without one, ask `Policy::permit_service`"]
#[derive(Debug)]
pub struct ServicePermit<A> {
    principal: Principal,
    rule: RuleName,
    action: PhantomData<fn() -> A>,
}

impl<A: ActionType> ServicePermit<A> {
    pub(crate) fn new(principal: Principal, rule: RuleName) -> Self {
        Self { principal, rule, action: PhantomData }
    }

    /// Who may.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// By which rule.
    #[must_use]
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }
}
