//! The client of a store, and what its errors mean.
//!
//! Invariant: a request is not repeated here: what is out of reach is told, and repeated by whoever runs the campaign.

use std::{error::Error as _, fs, time::Duration};

use object_store::{
    Certificate, ClientOptions, Error, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    client::HttpError,
};

use super::answers::{NotingConnector, Refusal};
use crate::{SourceError, campaign_file::Bucket};

/// Blocking: reads the files of credentials and CAs.
pub(super) fn client(bucket: &Bucket) -> Result<AmazonS3, SourceError> {
    let credentials = bucket.credentials.read().map_err(SourceError::unusable)?;
    let mut options = ClientOptions::new()
        .with_allow_http(bucket.over_http())
        .with_connect_timeout(Duration::from_secs(10))
        .with_read_timeout(Duration::from_secs(30))
        .with_timeout_disabled();
    if let Some(path) = &bucket.ca_file {
        let wrong = |reason: String| {
            SourceError::unusable(format!("the CA file {}: {reason}", path.display()))
        };
        let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if found.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        options = options.with_no_system_certificates(true);
        for certificate in found {
            options = options.with_root_certificate(certificate);
        }
    }
    let retries = RetryConfig { max_retries: 0, ..Default::default() };
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(NotingConnector)
        .with_client_options(options)
        .with_retry(retries)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_bucket_name(&bucket.name)
        .with_region(&bucket.region)
        .with_access_key_id(credentials.key_id)
        .with_secret_access_key(credentials.secret);
    if let Some(token) = credentials.token {
        builder = builder.with_token(token);
    }
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| of_store("the store", error))
}

/// An error of the whole store.
pub(super) fn of_store(doing: &str, error: Error) -> SourceError {
    let told = Told::of(doing, &error);
    if told.passes { SourceError::unreachable(told.text) } else { SourceError::unusable(told.text) }
}

/// An error of one object as a reason to leave it, or what is no fault of the object.
pub(super) fn of_one(doing: &str, error: Error) -> Result<String, SourceError> {
    let told = Told::of(doing, &error);
    if told.passes { Err(SourceError::unreachable(told.text)) } else { Ok(told.text) }
}

struct Told {
    text: String,
    passes: bool,
}

impl Told {
    fn of(doing: &str, error: &Error) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause);
            next = cause.source();
        }
        let refusal = causes.iter().find_map(|cause| cause.downcast_ref::<Refusal>());
        if let Some(refusal) = refusal {
            return Self { text: format!("{doing}: {refusal}"), passes: refusal.passes() };
        }
        let passes = causes.iter().any(|cause| cause.is::<HttpError>());
        let last = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        Self { text: format!("{doing}: {last}"), passes }
    }
}
