//! A route: where, what answers, and what the OpenAPI document says of it.
//!
//! Invariant: the document's parameters, bodies and replies follow from the handler's own types; only what
//! types cannot say (a name, a sentence, the errors) is written in the table of routes.

use axum::{
    handler::Handler,
    routing::{self, MethodRouter},
};
use claviger_kms::ErrorCode;
use utoipa::openapi::HttpMethod;

use crate::{
    door::Door,
    openapi::{Described, Facts},
};

/// One method of one path.
pub(crate) struct Route {
    /// As axum writes it.
    pub(crate) path: &'static str,
    pub(crate) method: HttpMethod,
    pub(crate) answer: MethodRouter<Door>,
    /// The operation's name in generated clients.
    pub(crate) name: &'static str,
    /// What it does, in one sentence without its full stop.
    pub(crate) summary: &'static str,
    /// Further sentences.
    pub(crate) description: &'static str,
    /// The errors it can end in, beside those that follow from its types.
    pub(crate) errors: &'static [ErrorCode],
    pub(crate) facts: Facts,
}

impl Route {
    pub(crate) fn get<H, T, D>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Door> + Described<D>,
        T: 'static,
    {
        let facts = H::facts();
        Self::new(path, HttpMethod::Get, name, summary, facts, routing::get(handler))
    }

    pub(crate) fn post<H, T, D>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Door> + Described<D>,
        T: 'static,
    {
        let facts = H::facts();
        Self::new(path, HttpMethod::Post, name, summary, facts, routing::post(handler))
    }

    /// With further sentences.
    pub(crate) fn saying(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// With the errors it can end in. Those of every route, and of whatever takes a body, need no mention;
    /// those of a batch are its items'.
    pub(crate) fn failing(self, errors: &'static [ErrorCode]) -> Self {
        Self { errors, ..self }
    }

    fn new(
        path: &'static str,
        method: HttpMethod,
        name: &'static str,
        summary: &'static str,
        facts: Facts,
        answer: MethodRouter<Door>,
    ) -> Self {
        Self { path, method, answer, name, summary, description: "", errors: &[], facts }
    }
}
