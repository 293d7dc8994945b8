//! The schemas of batches, by hand: a derived one has the same name whatever the items are.

use std::borrow::Cow;

use claviger_kms::MAX_BATCH;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
        schema::{AdditionalProperties, Type},
    },
};

use crate::{
    json::{BatchBody, Results},
    problem::Problem,
};

impl<T: ToSchema> ToSchema for BatchBody<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Batch", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T: ToSchema> PartialSchema for BatchBody<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        only("items", items.max_items(Some(MAX_BATCH))).into()
    }
}

impl<T: ToSchema> ToSchema for Results<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Results", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T: ToSchema> PartialSchema for Results<T> {
    fn schema() -> RefOr<Schema> {
        let item = OneOfBuilder::new()
            .item(only("ok", Ref::from_schema_name(T::name())))
            .item(only("error", Ref::from_schema_name(Problem::name())));
        only("results", ArrayBuilder::new().items(item)).into()
    }
}

/// An object with this field and no other.
fn only(name: &str, schema: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property(name, schema)
        .required(name)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}
