//! The objects of a bucket, in a store that speaks S3.
//!
//! Invariants: an object is replaced only by a request with `If-Match` and the ETag of what was read, and only in a
//! store that was seen to refuse such a request; what a store keeps beside the content is written again or the
//! object is refused. Known limits: an object is replaced as a whole, a sealed file for a new header too; an ETag
//! does not cover metadata, so that a change of metadata alone between reading and writing is lost.

mod answers;
mod rewrite;
mod store;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use claviger_envelope::{
    EnvelopeError,
    file::{FileHeader, PAYLOAD_OFFSET},
};
use claviger_kms::EncryptionContext;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use globset::GlobSet;
use object_store::{
    Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore as _, ObjectStoreExt as _,
    PutMode, PutOptions, PutPayload, UpdateVersion,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListStore as _},
    path::Path,
};
use tokio::sync::{OnceCell, Semaphore};

use super::{files::MOST_IN_MEMORY, globs};
use crate::{
    Batch, Change, Content, Item, Place, Replaced, Source, SourceError, Template,
    campaign_file::Bucket,
};
use answers::Beside;
use store::{of_one, of_store};

/// The objects of a bucket below a prefix.
pub struct Objects {
    name: String,
    bucket: Bucket,
    include: GlobSet,
    context: Template,
    store: Arc<AmazonS3>,
    /// Whether the store was seen to honour `If-Match`.
    conditional: OnceCell<()>,
    /// In KiB: what all objects under way may hold together.
    room: Semaphore,
}

impl Objects {
    /// Reads the credentials, and looks whether the bucket can be listed.
    ///
    /// # Errors
    /// [`SourceError::Unusable`], [`SourceError::Unreachable`].
    pub async fn open(name: &str, bucket: &Bucket, context: Template) -> Result<Self, SourceError> {
        if let Some(other) = context.names().into_iter().find(|name| !NAMES.contains(name)) {
            return Err(SourceError::unusable(format!(
                "the context names {{{other}}}; of objects there are {{key}}, {{path}} and {{name}}"
            )));
        }
        let include = globs(&bucket.include)?;
        let settings = bucket.clone();
        let store = super::blocking(move || store::client(&settings)).await?;
        let objects = Self {
            name: name.to_owned(),
            room: Semaphore::new(kibibytes(bucket.max_object_bytes) as usize),
            bucket: bucket.clone(),
            include,
            context,
            store: Arc::new(store),
            conditional: OnceCell::new(),
        };
        objects.list(None, 1).await?;
        Ok(objects)
    }

    async fn list(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<(Vec<ObjectMeta>, bool), SourceError> {
        let options = PaginatedListOptions {
            offset: after.map(str::to_owned),
            max_keys: Some(most),
            ..Default::default()
        };
        let prefix = Some(self.bucket.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let listed = self.store.list_paginated(prefix, options).await;
        let listed = listed.map_err(|error| of_store("listing the bucket", error))?;
        Ok((listed.result.objects, listed.page_token.is_some()))
    }

    fn is_included(&self, key: &str) -> bool {
        self.include.is_match(self.below_prefix(key))
    }

    fn below_prefix<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(self.bucket.prefix.as_str()).unwrap_or(key)
    }

    /// `None` when it is gone.
    async fn item(&self, listed: ObjectMeta) -> Result<Option<Item>, SourceError> {
        let key = listed.location.to_string();
        let looked = match self.look(&listed).await {
            Ok(looked) => looked,
            Err(Error::NotFound { .. }) => return Ok(None),
            // Of one object: its reader lacks the right, or it lies in an archive.
            Err(error) => Looked {
                content: Content::Unreadable(of_one("reading it", error)?),
                etag: None,
                stays: None,
            },
        };
        let context = match looked.stays {
            Some(reason) => Err(reason),
            None => self.bound_to(&key),
        };
        Ok(Some(Item {
            locator: format!("s3://{}/{key}", self.bucket.name),
            place: Place(serde_json::json!([key, looked.etag]).to_string()),
            content: looked.content,
            context,
        }))
    }

    fn bound_to(&self, key: &str) -> Result<EncryptionContext, String> {
        let path = self.below_prefix(key);
        let path = path.strip_suffix(".claviger").unwrap_or(path);
        let name = path.rsplit('/').next();
        self.context.fill(|wanted| match wanted {
            "key" => Some(key),
            "path" => Some(path),
            _ => name,
        })
    }

    /// A sealed file by its header, a record as a whole.
    async fn look(&self, listed: &ObjectMeta) -> Result<Looked, Error> {
        if listed.size == 0 {
            return Ok(Looked { content: Content::Empty, etag: None, stays: None });
        }
        let range = Some(GetRange::Bounded(0..PAYLOAD_OFFSET as u64));
        let options = GetOptions { range, ..Default::default() };
        let got = self.store.get_opts(&listed.location, options).await?;
        let (size, stays) = (got.meta.size, self.stays(&got));
        let mut etag = got.meta.e_tag.clone();
        let head = got.bytes().await?;
        let content = match FileHeader::parse(&head) {
            Ok(header) => Content::File(Box::new(header)),
            Err(EnvelopeError::NotAnEnvelope { .. }) if size <= head.len() as u64 => {
                Content::Bytes(head.into())
            }
            Err(EnvelopeError::NotAnEnvelope { .. }) if size <= MOST_IN_MEMORY => {
                let whole = self.store.get(&listed.location).await?;
                etag = whole.meta.e_tag.clone();
                Content::Bytes(whole.bytes().await?.into())
            }
            Err(EnvelopeError::NotAnEnvelope { .. }) => Content::Unreadable(format!(
                "it is no sealed file, and longer than {MOST_IN_MEMORY} bytes"
            )),
            Err(error) => Content::Unreadable(error.to_string()),
        };
        Ok(Looked { content, etag, stays })
    }

    /// Why an object may not be replaced, whatever it holds.
    fn stays(&self, got: &GetResult) -> Option<String> {
        let (size, most) = (got.meta.size, self.bucket.max_object_bytes);
        if size > most {
            return Some(format!(
                "it has {size} bytes, and an object is replaced as a whole; max-object-bytes is {most}"
            ));
        }
        if got.meta.e_tag.is_none() {
            return Some("the store gives it no ETag".to_owned());
        }
        Beside::of(got).lost
    }

    /// Once: a request that must be refused. A store that carried it out would lose an application's writes.
    async fn require_conditional_writes(&self) -> Result<(), SourceError> {
        let probe = || async {
            let mut random = [0; 8];
            claviger_kms::fill_random(&mut random).map_err(SourceError::unusable)?;
            let key = format!("{}.claviger-probe-{}", self.bucket.prefix, hex::encode(random));
            let key = Path::parse(key).map_err(SourceError::unusable)?;
            let options = update("\"claviger-never\"".to_owned());
            match self.store.put_opts(&key, PutPayload::default(), options).await {
                Err(Error::Precondition { .. } | Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(of_store("asking whether it honours If-Match", error)),
                Ok(_) => {
                    let removed = self.store.delete(&key).await;
                    let left =
                        if removed.is_err() { format!("; remove {key}") } else { String::new() };
                    Err(SourceError::unusable(format!(
                        "the store does not honour If-Match, so an application's writes could be lost: \
                         nothing was moved{left}"
                    )))
                }
            }
        };
        self.conditional.get_or_try_init(probe).await.map(drop)
    }

    async fn replace_one(&self, change: &Change) -> Result<Replaced, SourceError> {
        let (key, etag) = key_and_etag(&change.item.place)?;
        let told = |reason: &str| {
            tracing::warn!(object = change.item.locator, reason, "not replaced");
            Ok(Replaced::Refused)
        };
        let Some(etag) = etag else { return told("the store gives it no ETag") };
        let location = Path::parse(&key).map_err(SourceError::unusable)?;
        let options = GetOptions { if_match: Some(etag.clone()), ..Default::default() };
        let got = match self.store.get_opts(&location, options).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(Replaced::Gone),
            Err(Error::Precondition { .. }) => return Ok(Replaced::Conflict),
            Err(error) => return told(&of_one("reading it", error)?),
        };
        if let Some(reason) = self.stays(&got) {
            return told(&reason);
        }
        let _room = self.room.acquire_many(kibibytes(got.meta.size)).await;
        let options = PutOptions { attributes: Beside::of(&got).attributes(&got), ..update(etag) };
        let old = match got.bytes().await {
            Ok(old) => old,
            Err(error) => return told(&of_one("reading it", error)?),
        };
        let new = match rewrite::rewritten(change, old).await? {
            Ok(Some(new)) => new,
            Ok(None) => return Ok(Replaced::Conflict),
            Err(reason) => return told(&reason),
        };
        match self.store.put_opts(&location, new, options).await {
            Ok(_) => Ok(Replaced::Replaced),
            Err(
                Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotFound { .. },
            ) => Ok(Replaced::Conflict),
            Err(error) => told(&of_one("writing it", error)?),
        }
    }
}

#[async_trait]
impl Source for Objects {
    fn name(&self) -> &str {
        &self.name
    }

    async fn estimate(&self) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError> {
        let mut after = after.map(key_and_etag).transpose()?.map(|(key, _)| key);
        loop {
            // Of one key alone `folder/`, which is read as `folder`, would come again and again.
            let (listed, more) = self.list(after.as_deref(), most.max(2)).await?;
            let last = listed.last().map(|object| object.location.to_string());
            let is_new = |object: &ObjectMeta| after.as_deref() != Some(object.location.as_ref());
            let wanted = listed.into_iter().filter(is_new);
            let wanted = wanted.filter(|object| self.is_included(object.location.as_ref()));
            let looks: Vec<_> = wanted.map(|object| self.item(object)).collect();
            let items: Vec<Item> = stream::iter(looks)
                .buffered(AT_ONCE)
                .try_filter_map(|item| async { Ok(item) })
                .try_collect()
                .await?;
            let next = last.filter(|_| more);
            if next.is_some() && next == after {
                return Err(SourceError::unusable(
                    "the store lists the same object again and again",
                ));
            }
            if !items.is_empty() || next.is_none() {
                let next = next.map(|key| Place(serde_json::json!([key, null]).to_string()));
                return Ok(Batch { items, next });
            }
            after = next;
        }
    }

    async fn replace(&self, changes: &[Change]) -> Result<Vec<Replaced>, SourceError> {
        self.require_conditional_writes().await?;
        let work: Vec<_> = changes.iter().map(|change| self.replace_one(change)).collect();
        stream::iter(work).buffered(AT_ONCE).try_collect().await
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// What a look at one object found.
struct Looked {
    content: Content,
    etag: Option<String>,
    /// Why it may not be replaced.
    stays: Option<String>,
}

fn update(etag: String) -> PutOptions {
    PutOptions {
        mode: PutMode::Update(UpdateVersion { e_tag: Some(etag), version: None }),
        ..Default::default()
    }
}

fn key_and_etag(place: &Place) -> Result<(String, Option<String>), SourceError> {
    serde_json::from_str(&place.0)
        .map_err(|_| SourceError::unusable("the cursor is of another source; begin a new campaign"))
}

fn kibibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

const NAMES: [&str; 3] = ["key", "path", "name"];

/// Most requests under way for one batch.
const AT_ONCE: usize = 16;
