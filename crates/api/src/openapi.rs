//! The OpenAPI document: made from the tables of routes and the types of their handlers, and served as it
//! stands in `docs/openapi.json`.
//!
//! Invariant: a route that is served is in the document, since both come from one table.

mod batches;
mod errors;
mod facts;

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    PathsBuilder, RefOr, Required, ResponseBuilder, Schema, ServerBuilder, ServerVariableBuilder,
    path::{Operation, OperationBuilder},
    request_body::RequestBodyBuilder,
    security::{SecurityRequirement, SecurityScheme},
    server::Server,
    tag::TagBuilder,
};

pub(crate) use self::facts::{Described, Facts};
use crate::{admin, caller::Kms, data, door::Door, route::Route};

pub(crate) const OPENAPI: &str = "/v1/openapi.json";

/// The route of the document, on every socket.
pub(crate) fn route() -> Route {
    Route::get(OPENAPI, "openapi", "This document", serve)
}

/// Says nothing about keys, so it needs no rule and leaves no record.
async fn serve(Kms(_): Kms, State(door): State<Door>) -> OpenApiJson {
    OpenApiJson(door.document)
}

pub(crate) struct OpenApiJson(Bytes);

impl IntoResponse for OpenApiJson {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// The document as it is served and checked in.
pub(crate) fn text() -> String {
    // Made of texts and numbers only, which always have a JSON form; tests read it.
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn document() -> OpenApi {
    let mut operations: Vec<(Route, Vec<Socket>)> = Vec::new();
    for socket in [Socket::Data, Socket::Admin] {
        for route in socket.routes() {
            match operations.iter_mut().find(|(known, _)| is_same(known, &route)) {
                Some((_, sockets)) => sockets.push(socket),
                None => operations.push((route, vec![socket])),
            }
        }
    }
    let mut schemas = BTreeMap::new();
    let mut paths = PathsBuilder::new().build();
    for (route, sockets) in operations {
        // OpenAPI cannot say that a parameter may hold slashes; its description does.
        let path = route.path.replace("{*", "{");
        let method = route.method.clone();
        let (operation, used) = operation(route, &sockets);
        schemas.extend(used);
        paths.add_path_operation(path, vec![method], operation);
    }
    let problem = errors::schemas();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas.into_iter().chain(problem))
        .security_scheme(CERTIFICATE, certificate());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Claviger")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(format!("{INTRODUCTION}\n{}", errors::sections())))
                .license(Some(
                    LicenseBuilder::new()
                        .name("Apache-2.0 OR MIT")
                        .identifier(Some("Apache-2.0 OR MIT"))
                        .build(),
                )),
        )
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new(CERTIFICATE, [""; 0])]))
        .tags(Some([Socket::Data, Socket::Admin].map(|socket| {
            TagBuilder::new().name(socket.tag()).description(Some(socket.description())).build()
        })))
        .build()
}

/// What stands in both tables is one operation.
fn is_same(one: &Route, other: &Route) -> bool {
    (one.path, &one.method) == (other.path, &other.method)
}

fn operation(route: Route, sockets: &[Socket]) -> (Operation, Vec<(String, RefOr<Schema>)>) {
    let mut responses = errors::responses(&route);
    for (status, content_type, schema) in route.facts.replies {
        let says = match (status, route.facts.is_batch) {
            (200, true) => format!(
                "Each item's answer, in order. An item's error is one of: {}.",
                errors::list(route.errors)
            ),
            (200, false) => "Done".to_owned(),
            _ => "Not ready; the body says what".to_owned(),
        };
        let content = ContentBuilder::new().schema(Some(schema)).build();
        // The reply of a probe that found something wrong stands beside the problem document.
        let problem = responses.remove(&status);
        let says =
            problem.iter().fold(says, |says, other| format!("{says}; or {}", other.description));
        let reply = ResponseBuilder::from(problem.unwrap_or_default()).description(says);
        responses.insert(status, reply.content(content_type, content).build());
    }
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.name))
        .summary(Some(route.summary))
        .tags(Some(sockets.iter().map(|socket| socket.tag())))
        .servers(Some(sockets.iter().map(|socket| socket.server())));
    if !route.description.is_empty() {
        operation = operation.description(Some(route.description));
    }
    if !route.facts.parameters.is_empty() {
        operation = operation.parameters(Some(route.facts.parameters));
    }
    if let Some(schema) = route.facts.body {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().content("application/json", content);
        operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
    }
    for (status, response) in responses {
        operation = operation.response(status.to_string(), response);
    }
    (operation.build(), route.facts.schemas)
}

/// Where a route is served.
#[derive(Clone, Copy)]
enum Socket {
    Data,
    Admin,
}

impl Socket {
    fn routes(self) -> Vec<Route> {
        match self {
            Self::Data => data::routes(),
            Self::Admin => admin::routes(),
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Admin => "admin",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Data => "Using keys: the Unix socket `data` and the addresses of `[listen.tls]`.",
            Self::Admin => {
                "Making and changing keys, state of the service: the Unix socket `admin` and the \
                 addresses of `[listen.admin-tls]`."
            }
        }
    }

    fn server(self) -> Server {
        let port = match self {
            Self::Data => "8443",
            Self::Admin => "8444",
        };
        ServerBuilder::new()
            .url("https://{host}:{port}")
            .description(Some(self.description()))
            .parameter("host", ServerVariableBuilder::new().default_value("localhost"))
            .parameter("port", ServerVariableBuilder::new().default_value(port))
            .build()
    }
}

fn certificate() -> SecurityScheme {
    let says = "A client certificate with exactly one URI name, a SPIFFE ID of a trust domain that the \
                listener takes; that name is the principal. On a Unix socket there is none: the \
                kernel says who connects, and the principal is `uds:uid=NUMBER`.";
    SecurityScheme::MutualTls {
        description: Some(says.to_owned()),
        deprecated: None,
        extensions: None,
    }
}

const CERTIFICATE: &str = "clientCertificate";

const INTRODUCTION: &str = "\
A key service beside a hardware security module. HTTP/1.1 and JSON, over TLS 1.3 with client certificates or over \
Unix sockets (`http://localhost/v1/…`), the same on both. Using keys and managing them are two sockets: each operation \
is tagged with those that have it.

A request is refused if it has a field that is not here, or one twice. Bytes are standard base64 with padding. \
A body may have 256 KiB, that of a batch 4 MiB, unless the service is configured otherwise.

Every reply has the header `claviger-request-id`, which the service's log and its audit log name too. A request may \
bring an id of its own as `x-request-id`.
";
