//! Batches: each item is decided, done and recorded by itself; all records are waited for once.

use claviger_kms::{Action, KeyManagementService as _, Result};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    /// A batch that is too large is refused as a whole, with one record.
    pub(crate) async fn batch<I, T, F: Future<Output = Attempted<T>>>(
        &self,
        action: Action,
        items: Vec<I>,
        each: impl Fn(I) -> F,
    ) -> Result<Vec<Result<T>>> {
        if let Err(refusal) = self.capabilities().check_batch(items.len()) {
            let attempt = Attempt::begin(self, action);
            return Attempted { result: Err(refusal), attempt }.recorded(self).await;
        }
        let mut attempted = Vec::with_capacity(items.len());
        for item in items {
            attempted.push(each(item).await);
        }
        Attempted::all_recorded(attempted, self).await
    }
}
