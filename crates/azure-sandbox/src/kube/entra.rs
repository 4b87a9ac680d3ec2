//! What Entra knows about a bearer token that a cluster is shown: whose it is, for which application, and whether
//! the one who has it was given a role in Azure.

use crate::seed::Role;
use uuid::Uuid;

use crate::world::{Audience, World};

/// An application that logged in at Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    /// The id of its service principal, by which Kubernetes calls it.
    pub(crate) object_id: String,
    /// The application for which the token is.
    pub(crate) audience: String,
    /// Whether it may administer clusters.
    pub(crate) role: bool,
}

/// The one who has that token, when it is a good one for an application.
pub(crate) fn caller(world: &World, token: &str) -> Option<Caller> {
    let found = world.state().tokens.get(token).cloned()?;
    let Audience::Application(audience) = found.audience else { return None };
    if found.expires_ms <= world.clock.now_ms() {
        return None;
    }
    // In Azure the object id is another one; here it is made from the client's, as Resource Manager does.
    let object =
        Uuid::try_parse(&found.client_id).map(|id| Uuid::from_u128(!id.as_u128())).unwrap_or_default();
    let mut accounts = world.catalog.accounts.iter();
    let role = accounts.any(|account| {
        account.role == Role::Contributor && account.client_id.eq_ignore_ascii_case(&found.client_id)
    });
    let (tenant, client_id) = (found.tenant, found.client_id);
    Some(Caller { tenant, client_id, object_id: object.to_string(), audience, role })
}
