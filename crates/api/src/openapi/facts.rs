//! What a handler's types say about its operation.

use axum::extract::State;
use claviger_kms::{ListKeys, ListRotations};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::{
    caller::Kms,
    campaigns,
    door::Door,
    health::{OpenMetrics, Probed},
    json::{BatchBody, Items, Json, Reply},
    keys::{At, Page},
    openapi::OpenApiJson,
    problem, rotation, usage,
};

/// Parameters, bodies and replies of one operation.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) parameters: Vec<Parameter>,
    /// Schema of the JSON body, if it takes one.
    pub(crate) body: Option<RefOr<Schema>>,
    /// Whether it takes anything that can be wrong.
    pub(crate) takes_input: bool,
    /// Whether each item of a batch is answered by itself.
    pub(crate) is_batch: bool,
    /// Status, content type and schema of what is no problem.
    pub(crate) replies: Vec<(u16, &'static str, RefOr<Schema>)>,
    /// The schemas all of that refers to, by name.
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Facts {
    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name()).into()
    }

    fn takes_body<T: ToSchema>(&mut self) {
        self.body = Some(self.refer::<T>());
        self.takes_input = true;
    }

    /// A query of these fields.
    fn takes_query<T: ToSchema>(&mut self) {
        self.takes_input = true;
        let RefOr::T(Schema::Object(query)) = T::schema() else { return };
        T::schemas(&mut self.schemas);
        self.parameters.extend(query.properties.into_iter().map(|(name, schema)| {
            let required = query.required.contains(&name);
            ParameterBuilder::new()
                .parameter_in(ParameterIn::Query)
                .required(if required { Required::True } else { Required::False })
                .description(description_of(&schema))
                .schema(Some(schema))
                .name(name)
                .build()
        }));
    }

    /// A part of the path.
    fn takes_path<T: ToSchema>(&mut self, name: &str, about: &str) {
        self.takes_input = true;
        let schema = self.refer::<T>();
        self.parameters.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(about))
                .schema(Some(schema))
                .build(),
        );
    }

    fn replies<T: ToSchema>(&mut self, status: u16) {
        let schema = self.refer::<T>();
        self.replies.push((status, JSON, schema));
    }
}

/// A handler. The parameter tells handlers of different numbers of inputs apart.
pub(crate) trait Described<Inputs> {
    fn facts() -> Facts;
}

impl<F, Out> Described<()> for F
where
    F: Fn() -> Out,
    Out: Future<Output: Output>,
{
    fn facts() -> Facts {
        let mut facts = Facts::default();
        Out::Output::describe(&mut facts);
        facts
    }
}

impl<F, A, Out> Described<(A,)> for F
where
    F: Fn(A) -> Out,
    A: Input,
    Out: Future<Output: Output>,
{
    fn facts() -> Facts {
        let mut facts = Facts::default();
        A::describe(&mut facts);
        Out::Output::describe(&mut facts);
        facts
    }
}

impl<F, A, B, Out> Described<(A, B)> for F
where
    F: Fn(A, B) -> Out,
    A: Input,
    B: Input,
    Out: Future<Output: Output>,
{
    fn facts() -> Facts {
        let mut facts = Facts::default();
        A::describe(&mut facts);
        B::describe(&mut facts);
        Out::Output::describe(&mut facts);
        facts
    }
}

impl<F, A, B, C, Out> Described<(A, B, C)> for F
where
    F: Fn(A, B, C) -> Out,
    A: Input,
    B: Input,
    C: Input,
    Out: Future<Output: Output>,
{
    fn facts() -> Facts {
        let mut facts = Facts::default();
        A::describe(&mut facts);
        B::describe(&mut facts);
        C::describe(&mut facts);
        Out::Output::describe(&mut facts);
        facts
    }
}

/// What a handler takes.
pub(crate) trait Input {
    fn describe(facts: &mut Facts);
}

impl Input for Kms {
    fn describe(_: &mut Facts) {}
}

impl Input for State<Door> {
    fn describe(_: &mut Facts) {}
}

impl<T: ToSchema> Input for Json<T> {
    fn describe(facts: &mut Facts) {
        facts.takes_body::<T>();
    }
}

impl<T: ToSchema> Input for Items<T> {
    fn describe(facts: &mut Facts) {
        facts.takes_body::<BatchBody<T>>();
        facts.is_batch = true;
    }
}

impl Input for rotation::Asked {
    fn describe(facts: &mut Facts) {
        facts.takes_query::<ListRotations>();
    }
}

impl Input for Page {
    fn describe(facts: &mut Facts) {
        facts.takes_query::<ListKeys>();
    }
}

impl Input for campaigns::Of {
    fn describe(facts: &mut Facts) {
        facts.takes_query::<campaigns::ListQuery>();
    }
}

impl Input for campaigns::Id {
    fn describe(facts: &mut Facts) {
        facts.takes_path::<claviger_kms::CampaignId>("id", "The campaign's id.");
    }
}

impl Input for At {
    fn describe(facts: &mut Facts) {
        facts.takes_path::<claviger_kms::KeyPath>("path", KEY_PATH);
    }
}

impl Input for usage::Of {
    fn describe(facts: &mut Facts) {
        facts.takes_path::<claviger_kms::KeyPath>("path", KEY_PATH);
    }
}

/// What there is to know of a key path in a URI.
const KEY_PATH: &str = "The key path, its slashes as they are: nothing in it is percent-encoded.";

fn description_of(schema: &RefOr<Schema>) -> Option<String> {
    match schema {
        RefOr::Ref(reference) => {
            Some(reference.description.clone()).filter(|text| !text.is_empty())
        }
        RefOr::T(Schema::Object(object)) => object.description.clone(),
        RefOr::T(_) => None,
    }
}

/// What a handler gives.
pub(crate) trait Output {
    fn describe(facts: &mut Facts);
}

impl<T: Output> Output for problem::Result<T> {
    fn describe(facts: &mut Facts) {
        T::describe(facts);
    }
}

impl<T: ToSchema> Output for Reply<T> {
    fn describe(facts: &mut Facts) {
        facts.replies::<T>(200);
    }
}

impl<T: ToSchema> Output for Probed<T> {
    fn describe(facts: &mut Facts) {
        facts.replies::<T>(200);
        facts.replies::<T>(503);
    }
}

impl Output for OpenMetrics {
    fn describe(facts: &mut Facts) {
        facts.replies.push((200, Self::CONTENT_TYPE, String::schema()));
    }
}

impl Output for OpenApiJson {
    fn describe(facts: &mut Facts) {
        facts.replies.push((200, JSON, utoipa::openapi::ObjectBuilder::new().into()));
    }
}

const JSON: &str = "application/json";
