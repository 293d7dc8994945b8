//! OpenAPI schemas of what is read by a parser of its own, made from that parser's limits.
//!
//! Everything else that travels derives its schema beside its serde attributes. JSON Schema counts
//! characters where the parsers count bytes: what a schema lets pass may still be refused, never the reverse.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, Type},
    },
};

use crate::{
    Action, ApprovalId, CampaignId, CampaignName, Ciphertext, Cursor, DataKey, Encrypted,
    EncryptionContext, EnvelopeId, EvidenceId, IdempotencyKey, KeyId, KeyPath, KeyVersion,
    Principal, RotationPeriod, SecretKey,
};

impl ToSchema for KeyPath {}

impl PartialSchema for KeyPath {
    fn schema() -> RefOr<Schema> {
        let segment = format!("[a-z0-9][a-z0-9._-]{{0,{}}}", Self::MAX_SEGMENT - 1);
        text("The name of a region or service key in the tree: segments joined by `/`, region first.")
            .pattern(Some(format!("^{segment}(/{segment}){{0,{}}}$", Self::MAX_DEPTH - 1)))
            .examples(["us-east-1/payments"])
            .into()
    }
}

impl ToSchema for KeyVersion {}

impl PartialSchema for KeyVersion {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1.0))
            .maximum(Some(f64::from(u32::MAX)))
            .description(Some("The number of a key version: 1 for the first, never reused."))
            .into()
    }
}

impl ToSchema for RotationPeriod {}

impl PartialSchema for RotationPeriod {
    fn schema() -> RefOr<Schema> {
        let days = "[1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|36[0-4][0-9]|3650";
        text("Days after which a key gets a new primary version by itself (1 to 3650), or `never`.")
            .pattern(Some(format!("^(({days})d|never)$")))
            .examples(["90d", "never"])
            .into()
    }
}

impl ToSchema for KeyId {}

impl PartialSchema for KeyId {
    fn schema() -> RefOr<Schema> {
        uuid("The identity of a key: never reused, also not after its path is free again.")
    }
}

impl ToSchema for EnvelopeId {}

impl PartialSchema for EnvelopeId {
    fn schema() -> RefOr<Schema> {
        uuid("The identity of an envelope, bound into its payload and into its wrapped data key.")
    }
}

impl ToSchema for CampaignId {}

impl PartialSchema for CampaignId {
    fn schema() -> RefOr<Schema> {
        uuid("The identity of a campaign.")
    }
}

impl ToSchema for ApprovalId {}

impl PartialSchema for ApprovalId {
    fn schema() -> RefOr<Schema> {
        uuid("The identity of an approval: follows from who asked for exactly what.")
    }
}

impl ToSchema for EvidenceId {}

impl PartialSchema for EvidenceId {
    fn schema() -> RefOr<Schema> {
        uuid("The identity of evidence, as the key's record names it.")
    }
}

impl ToSchema for CampaignName {}

impl PartialSchema for CampaignName {
    fn schema() -> RefOr<Schema> {
        text("The name of a campaign or of one of its sources.")
            .pattern(Some("^[a-z0-9._-]{1,64}$"))
            .into()
    }
}

impl ToSchema for Cursor {}

impl PartialSchema for Cursor {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::from(plain_text(Self::MAX_LENGTH))
            .description(Some("Where a pass stands, in its source's own words."))
            .into()
    }
}

impl ToSchema for Principal {}

impl PartialSchema for Principal {
    fn schema() -> RefOr<Schema> {
        text("Who: a namespace, a colon, and a name in it.").examples(["local:uid:1000"]).into()
    }
}

impl ToSchema for Action {}

impl PartialSchema for Action {
    fn schema() -> RefOr<Schema> {
        text("What is done with a key, as policies name it.")
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}

impl ToSchema for IdempotencyKey {}

impl PartialSchema for IdempotencyKey {
    fn schema() -> RefOr<Schema> {
        text("The caller's name for one creating request, so that repeating it creates nothing twice.")
            .pattern(Some("^[A-Za-z0-9._-]{1,64}$"))
            .into()
    }
}

impl ToSchema for EncryptionContext {}

impl PartialSchema for EncryptionContext {
    fn schema() -> RefOr<Schema> {
        let about = format!(
            "A map of text bound into a ciphertext, given again to open it. Not secret. Keys have at most {} \
             bytes, values {}, all together {}; a key that appears twice is refused.",
            Self::MAX_KEY,
            Self::MAX_VALUE,
            Self::MAX_TOTAL
        );
        let name = ObjectBuilder::from(plain_text(Self::MAX_KEY)).min_length(Some(1)).build();
        let value =
            ObjectBuilder::new().schema_type(Type::String).max_length(Some(Self::MAX_VALUE));
        map(name, value.build(), Self::MAX_ENTRIES).description(Some(about)).into()
    }
}

impl ToSchema for DataKey {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Encrypted::schemas(schemas);
    }
}

/// By hand: the fields of `Encrypted` stand in the same object, and a derived `allOf` of two objects that
/// each allow no further field would let nothing pass.
impl PartialSchema for DataKey {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(wrapped)) = Encrypted::schema() else {
            return Encrypted::schema();
        };
        let key = base64_text(SecretKey::LENGTH, SecretKey::LENGTH)
            .description(Some("The 256-bit key: use it, then drop it."));
        ObjectBuilder::from(wrapped)
            .property("plaintext", key)
            .required("plaintext")
            .description(Some("A data key, plain and wrapped."))
            .into()
    }
}

/// The field type of a ciphertext in the derived schemas.
pub(crate) struct CiphertextText;

impl ToSchema for CiphertextText {
    fn name() -> Cow<'static, str> {
        "Ciphertext".into()
    }
}

impl PartialSchema for CiphertextText {
    fn schema() -> RefOr<Schema> {
        base64_text(0, Ciphertext::MAX_LENGTH)
            .description(Some("A wrapped data key, or a value sealed under one; opaque."))
            .into()
    }
}

/// The field type of a value in the derived schemas.
pub(crate) struct ValueText;

impl ToSchema for ValueText {
    fn name() -> Cow<'static, str> {
        "Value".into()
    }
}

impl PartialSchema for ValueText {
    fn schema() -> RefOr<Schema> {
        base64_text(0, Ciphertext::MAX_VALUE)
            .description(Some(format!("A value of at most {} bytes.", Ciphertext::MAX_VALUE)))
            .into()
    }
}

/// The field type of tags in the derived schemas.
pub(crate) struct Tags;

impl ToSchema for Tags {}

impl PartialSchema for Tags {
    fn schema() -> RefOr<Schema> {
        map(plain_text(128), plain_text(256), 32).description(Some("Free tags.")).into()
    }
}

fn text(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about))
}

fn uuid(about: &str) -> RefOr<Schema> {
    text(about)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .pattern(Some("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))
        .into()
}

/// Standard base64 with padding (RFC 4648, section 4) of so many bytes.
fn base64_text(least: usize, most: usize) -> ObjectBuilder {
    let length = |bytes: usize| Some(bytes.div_ceil(3) * 4);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .content_encoding("base64")
        .pattern(Some("^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"))
        .min_length(length(least))
        .max_length(length(most))
}

/// Text without control characters.
fn plain_text(most: usize) -> utoipa::openapi::Object {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(most));
    text.pattern(Some(NO_CONTROL_CHARACTERS)).build()
}

fn map(
    name: utoipa::openapi::Object,
    value: utoipa::openapi::Object,
    most: usize,
) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .max_properties(Some(most))
        .property_names(Some(Schema::from(name)))
        .additional_properties(Some(AdditionalProperties::RefOr(Schema::from(value).into())))
}

const NO_CONTROL_CHARACTERS: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";
