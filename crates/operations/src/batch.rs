//! Batches: each item is decided, done and recorded by itself; all records are waited for once.

use claviger_kms::{KmsError, MAX_BATCH, Result};

use crate::{LocalKms, attempt::Attempted};

impl LocalKms {
    pub(crate) async fn batch<I, T, F: Future<Output = Attempted<T>>>(
        &self,
        items: Vec<I>,
        each: impl Fn(I) -> F,
    ) -> Result<Vec<Result<T>>> {
        if items.len() > MAX_BATCH {
            return Err(KmsError::invalid(format!(
                "the batch has {} items; at most {MAX_BATCH} are allowed: split it",
                items.len()
            )));
        }
        let mut attempted = Vec::with_capacity(items.len());
        for item in items {
            attempted.push(each(item).await);
        }
        Attempted::all_recorded(attempted, self).await
    }
}
