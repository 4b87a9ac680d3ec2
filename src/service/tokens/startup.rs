//! Tokens that the server makes at its start: the bootstrap token of the settings, and the first one of an installation.

use std::collections::BTreeMap;

use aks::ids;
use secrecy::{ExposeSecret as _, SecretString};

use super::{ADMINISTRATOR, NewToken, OBJECT, Tokens, authenticate};
use crate::service::actor::Actor;
use crate::service::events::Action;
use crate::service::{Error, Invalid, Result};
use crate::store::{self, TokenRow, instance};
use crate::vault;

impl Tokens {
    /// Makes `<name>:<secret>` an administrator's token that does not expire, whatever token of that name there was. A
    /// bootstrap token of another name from an earlier start is revoked.
    ///
    /// # Errors
    /// [`super::Error::Invalid`] when the text is no token; it is not shown.
    pub async fn ensure_bootstrap(&self, text: &SecretString) -> Result<()> {
        let (name, secret) = authenticate::split(text.expose_secret()).ok_or_else(|| {
            Invalid::new("InvalidFormat", "the bootstrap token must be written as token-<name>:<secret>")
        })?;
        let (store, by, now) = (&self.parts.store, Actor::server(), self.parts.clock.now_ms());
        let user = match self.user(&by, ADMINISTRATOR, Some(true)).await {
            // An operator disabled it; a restart does not take that back.
            Err(Error::Invalid(reason)) => {
                tracing::warn!(user = ADMINISTRATOR, %reason, "bootstrap token not installed");
                return Ok(());
            }
            user => user?,
        };
        let row = TokenRow {
            name: name.to_owned(),
            user_id: user.id,
            hash: vault::token_hash(secret).to_vec(),
            created_ms: now,
            expires_ms: None,
            last_used_ms: None,
            description: "bootstrap token".to_owned(),
            cluster_id: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        let audit = by.event(Action::Create, OBJECT, name, &Ok(())).detail(&row.description).into_row(now);
        store::tokens::put(store, &row, &audit).await?;
        let earlier = instance::get(store, "bootstrap-token").await?;
        if let Some(earlier) = earlier.filter(|earlier| earlier != name) {
            let audit = by.audit(Action::Delete, OBJECT, &earlier, now);
            store::tokens::delete(store, &earlier, &audit).await?;
        }
        instance::put(store, "bootstrap-token", name).await?;
        self.parts.known.invalidate_all();
        Ok(())
    }

    /// On the first start of all servers of this database, and while no administrator has a token: makes one.
    pub async fn create_first(&self) -> Result<Option<NewToken>> {
        let store = &self.parts.store;
        let tokens = store::tokens::list(store, None).await?;
        if tokens.iter().any(|(_, user)| user.admin) {
            return Ok(None);
        }
        let claim = ids::generated("", vault::random());
        if instance::insert_if_absent(store, "first-token", &claim).await? != claim {
            return Ok(None);
        }
        let by = Actor::server();
        Ok(Some(self.create_as(&by, ADMINISTRATOR, Some(true), None, "made at the first start").await?))
    }
}
