//! Tokens that the server creates at startup: the configured bootstrap token, and the first token of an installation.

use aks::ids;
use secrecy::{ExposeSecret as _, SecretString};

use super::{ADMINISTRATOR, OBJECT, PlainToken, Tokens};
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::service::{Error, Invalid, Result};
use crate::store::{self, TokenRow, instance};
use crate::vault;

impl Tokens {
    /// Sets the bootstrap token `<name>:<secret>`: an administrator's token that does not expire. It replaces an existing token
    /// with this name; a bootstrap token with another name from an earlier start is revoked.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the token is malformed; the error never contains it.
    pub async fn ensure_bootstrap(&self, text: &SecretString) -> Result<()> {
        let token = PlainToken::parse(text.expose_secret()).ok_or_else(|| {
            Invalid::new("InvalidFormat", "the bootstrap token must be written as token-<name>:<secret>")
        })?;
        let (store, by, now) = (&self.inner.store, Actor::server(), self.inner.clock.now_ms());
        let user = match self.ensure_user(&by, ADMINISTRATOR, Some(true)).await {
            // The user was disabled; a restart does not enable it again.
            Err(Error::Invalid(reason)) => {
                tracing::warn!(user = ADMINISTRATOR, %reason, "bootstrap token not installed");
                return Ok(());
            }
            user => user?,
        };
        let row = TokenRow {
            name: token.name.clone(),
            user_id: user.id,
            hash: token.hash().to_vec(),
            created_ms: now,
            description: "bootstrap token".to_owned(),
            ..TokenRow::default()
        };
        let name = token.name;
        let audit = by.audit_with_detail(Action::Create, OBJECT, &name, &row.description, now);
        store::tokens::upsert(store, &row, &audit).await?;
        let earlier = instance::get(store, "bootstrap-token").await?;
        if let Some(earlier) = earlier.filter(|earlier| *earlier != name) {
            let audit = by.audit(Action::Delete, OBJECT, &earlier, now);
            store::tokens::delete(store, &earlier, &audit).await?;
        }
        instance::put(store, "bootstrap-token", &name).await?;
        self.inner.cache.invalidate_all();
        Ok(())
    }

    /// Creates the initial administrator's token; `None` if an administrator has a token, or this one was created before.
    pub async fn create_first(&self) -> Result<Option<PlainToken>> {
        let store = &self.inner.store;
        if store::tokens::exists_for_administrator(store).await? {
            return Ok(None);
        }
        let claim = ids::generate_name("", vault::random());
        if instance::insert_if_absent(store, "first-token", &claim).await? != claim {
            return Ok(None);
        }
        let by = Actor::server();
        Ok(Some(self.create_as(&by, ADMINISTRATOR, Some(true), None, "created at the first start").await?))
    }
}
