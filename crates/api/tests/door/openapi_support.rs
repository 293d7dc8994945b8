//! Holds what goes over the sockets against the OpenAPI document that the service gives.

use std::{collections::BTreeSet, path::PathBuf};

use claviger_testkit::Service;
use serde_json::{Value, json};

use crate::support::{Raw, get, post, send};

/// A service's document, and what was seen of its operations.
pub(crate) struct Witness {
    pub(crate) document: Value,
    sockets: [(&'static str, PathBuf); 2],
    /// Operations that were answered with 200.
    pub(crate) done: BTreeSet<String>,
}

/// One operation of the document.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) tags: Vec<String>,
    pub(crate) value: Value,
}

impl Witness {
    pub(crate) async fn of(service: &Service) -> Self {
        let sockets = [("data", service.data_socket()), ("admin", service.admin_socket())];
        let reply = send(&sockets[0].1, &get("/v1/openapi.json")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let document = serde_json::from_str(&reply.body).unwrap();
        Self { document, sockets, done: BTreeSet::new() }
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, value) in methods.as_object().unwrap() {
                let tags = value["tags"].as_array().unwrap().iter();
                operations.push(Operation {
                    id: value["operationId"].as_str().unwrap().to_owned(),
                    method: method.clone(),
                    path: path.clone(),
                    tags: tags.map(|tag| tag.as_str().unwrap().to_owned()).collect(),
                    value: value.clone(),
                });
            }
        }
        operations
    }

    pub(crate) fn operation(&self, id: &str) -> Operation {
        let found = self.operations().into_iter().find(|operation| operation.id == id);
        found.unwrap_or_else(|| panic!("the document has no operation {id}"))
    }

    pub(crate) fn socket(&self, tag: &str) -> &PathBuf {
        &self.sockets.iter().find(|(name, _)| *name == tag).unwrap().1
    }

    /// A POST that is done: request and reply are as the document says. Gives the reply.
    pub(crate) async fn post(&mut self, id: &str, body: Value) -> Value {
        let operation = self.operation(id);
        let wrong = self.wrong_with_body(&operation, &body);
        assert!(
            wrong.is_empty(),
            "the document does not let {id} take what this test sends: {wrong:?}"
        );
        let mut found = Value::Null;
        for tag in &operation.tags {
            let bytes = post(&operation.path, &body.to_string());
            let reply = send(self.socket(tag), &bytes).await;
            assert_eq!(reply.status, 200, "{id} {reply:?}");
            found = self.as_documented(&operation, &reply);
        }
        self.done.insert(id.to_owned());
        found
    }

    /// A GET of the operation's path with this in place of its parameters, done on every socket.
    pub(crate) async fn get(&mut self, id: &str, target: &str) -> Value {
        let operation = self.operation(id);
        let mut found = Value::Null;
        for tag in &operation.tags {
            let reply = send(self.socket(tag), &get(target)).await;
            assert_eq!(reply.status, 200, "{id} {reply:?}");
            found = self.as_documented(&operation, &reply);
        }
        self.done.insert(id.to_owned());
        found
    }

    /// A POST that is refused with this code, as the document says it can be.
    pub(crate) async fn refused(&self, id: &str, body: &Value, code: &str) {
        let operation = self.operation(id);
        let socket = self.socket(operation.tags.first().unwrap());
        let reply = send(socket, &post(&operation.path, &body.to_string())).await;
        assert!(reply.status >= 400, "{id} {body} {reply:?}");
        let problem = self.as_documented(&operation, &reply);
        assert_eq!(problem["code"], code, "{id} {body} {reply:?}");
        let says = &operation.value["responses"][reply.status.to_string()]["description"];
        let says = says.as_str().unwrap();
        assert!(says.contains(&format!("`{code}`")), "{id} {}: {says}", reply.status);
    }

    /// A body that schema and service refuse alike.
    pub(crate) async fn refused_by_both(&self, id: &str, body: &Value) {
        let wrong = self.wrong_with_body(&self.operation(id), body);
        assert!(!wrong.is_empty(), "the schema of {id} lets pass {body}");
        self.refused(id, body, "invalid-request").await;
    }

    pub(crate) fn wrong_with_body(&self, operation: &Operation, body: &Value) -> Vec<String> {
        let content = &operation.value["requestBody"]["content"]["application/json"];
        self.wrong(&content["schema"], body)
    }

    /// The reply's body, if status, content type and body are as the document says.
    fn as_documented(&self, operation: &Operation, reply: &Raw) -> Value {
        let response = &operation.value["responses"][reply.status.to_string()];
        let content_type = reply.header("content-type").unwrap();
        let content = &response["content"][content_type];
        assert!(content.is_object(), "{} is not documented: {reply:?}", operation.id);
        let body = if content_type.ends_with("json") {
            serde_json::from_str(&reply.body).unwrap()
        } else {
            Value::String(reply.body.clone())
        };
        let wrong = self.wrong(&content["schema"], &body);
        assert!(wrong.is_empty(), "{} {reply:?}: {wrong:?}", operation.id);
        body
    }

    /// What is wrong with this instance of a schema of the document.
    pub(crate) fn wrong(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let whole = json!({"allOf": [schema], "components": self.document["components"]});
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        let validator = options.build(&whole).unwrap();
        validator.iter_errors(instance).take(5).map(|error| error.to_string()).collect()
    }
}
