//! What every handler shares, and how a table of routes becomes a router.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, any},
};
use bytes::Bytes;
use claviger_operations::{Operations, Reload};

use crate::{Limits, openapi, problem::Problem, request, route::Route};

/// The operations behind a listener, and its limits.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) operations: Arc<Operations>,
    pub(crate) limits: Limits,
    /// The OpenAPI document.
    pub(crate) document: Bytes,
    /// On the admin listener of a service that can reload.
    pub(crate) reload: Option<Arc<dyn Reload>>,
}

impl Door {
    pub(crate) fn new(operations: Arc<Operations>, limits: Limits) -> Self {
        Self { operations, limits, document: openapi::text().into(), reload: None }
    }

    /// A router of these routes. Whatever else is asked for is answered with a problem document.
    pub(crate) fn router(self, routes: Vec<Route>) -> Router {
        self.answering(routes.into_iter().map(|route| (route.path, route.answer)))
    }

    pub(crate) fn answering(
        self,
        routes: impl IntoIterator<Item = (&'static str, MethodRouter<Self>)>,
    ) -> Router {
        routes
            .into_iter()
            .fold(Router::new(), |router, (path, answer)| router.route(path, answer))
            .method_not_allowed_fallback(async || Problem::wrong_method())
            .fallback_service(any(async || Problem::no_route()))
            .layer(middleware::from_fn_with_state(self.clone(), request::carry_out))
            .with_state(self)
    }
}
