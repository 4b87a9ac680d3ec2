//! Tokens that the server creates at startup: the configured bootstrap token, and the first token of an installation.

use aks::ids;
use secrecy::{ExposeSecret as _, SecretString};

use super::{ADMINISTRATOR, OBJECT_TYPE, PlainToken, Tokens};
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::service::{Error, Invalid, Result};
use crate::store::{self, TokenRow, instance};
use crate::vault;

impl Tokens {
    /// Sets the bootstrap token `<name>:<secret>`, an administrator's token that does not expire. It replaces a token with the
    /// same name; a bootstrap token with another name, from an earlier start, is revoked.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the token is malformed; the error never contains it.
    pub async fn ensure_bootstrap(&self, token: &SecretString) -> Result<()> {
        let token = PlainToken::parse(token.expose_secret()).ok_or_else(|| {
            Invalid::new("InvalidFormat", "the bootstrap token must be written as token-<name>:<secret>")
        })?;
        let (store, by, now_ms) = (&self.inner.store, Actor::server(), self.inner.clock.now_ms());
        let user = match self.ensure_user(&by, ADMINISTRATOR, Some(true)).await {
            // The user is disabled; a restart does not enable it again.
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
            created_ms: now_ms,
            description: "bootstrap token".to_owned(),
            ..TokenRow::default()
        };
        let name = token.name;
        let audit = by.audit_with_detail(Action::Create, OBJECT_TYPE, &name, &row.description, now_ms);
        store::tokens::upsert(store, &row, &audit).await?;
        let earlier_name = instance::get(store, "bootstrap-token").await?;
        if let Some(earlier_name) = earlier_name.filter(|earlier_name| *earlier_name != name) {
            let audit = by.audit(Action::Delete, OBJECT_TYPE, &earlier_name, now_ms);
            store::tokens::delete(store, &earlier_name, &audit).await?;
        }
        instance::put(store, "bootstrap-token", &name).await?;
        self.inner.cache.invalidate_all();
        Ok(())
    }

    /// Creates an administrator's token at the first start; `None` if an administrator has a token, or an earlier start created
    /// the first one.
    pub async fn create_first(&self) -> Result<Option<PlainToken>> {
        let store = &self.inner.store;
        if store::tokens::exists_for_administrator(store).await? {
            return Ok(None);
        }
        // Of several servers that start at the same time, the one whose value is stored creates the token.
        let own_value = ids::generate_name("", vault::random());
        if instance::insert_if_absent(store, "first-token", &own_value).await? != own_value {
            return Ok(None);
        }
        let by = Actor::server();
        Ok(Some(self.create_as(&by, ADMINISTRATOR, Some(true), None, "created at the first start").await?))
    }
}
