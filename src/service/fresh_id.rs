//! Generated IDs.

use aks::ids;

use super::{Error, Result};
use crate::store::{self, UniqueConstraint};
use crate::vault;

/// The maximum number of attempts to generate an unused ID; there are 14 million for each prefix.
const MAX_ID_ATTEMPTS: usize = 5;

/// Inserts an object under a generated ID, and again under another one if it is taken.
pub(super) async fn insert_with_fresh_id<T, F>(prefix: &str, insert: impl Fn(String) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempts = 1;
    loop {
        match insert(ids::generate_name(prefix, vault::random())).await {
            Err(Error::Store(store::Error::Duplicate { what }))
                if attempts < MAX_ID_ATTEMPTS
                    && !matches!(what, UniqueConstraint::ClusterName | UniqueConstraint::ClusterIdentity) =>
            {
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn count_attempts(what: UniqueConstraint) -> usize {
        let attempts = AtomicUsize::new(0);
        let outcome: Result<()> = insert_with_fresh_id("x-", |id| {
            assert!(id.starts_with("x-"));
            attempts.fetch_add(1, Ordering::Relaxed);
            async move { Err(store::Error::Duplicate { what }.into()) }
        })
        .await;
        assert!(matches!(outcome, Err(Error::Store(store::Error::Duplicate { .. }))));
        attempts.into_inner()
    }

    #[tokio::test]
    async fn only_a_taken_id_causes_another_attempt() {
        assert_eq!(count_attempts(UniqueConstraint::ClusterId).await, MAX_ID_ATTEMPTS);
        assert_eq!(count_attempts(UniqueConstraint::ClusterName).await, 1);
        assert_eq!(count_attempts(UniqueConstraint::ClusterIdentity).await, 1);
    }
}
