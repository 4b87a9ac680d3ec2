//! Authenticated callers and their permissions.

/// An authenticated caller. Only `service::tokens` creates one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The ID of the user, `user-xxxxx`.
    pub user_id: String,
    /// The name of the user for whom the token was created.
    pub user_name: String,
    /// Whether the caller is an administrator, who may do everything.
    pub admin: bool,
    /// The name of the token: its public half.
    pub token_name: String,
    /// The only cluster for which the token is valid (`c-xxxxx`). Such a token allows nothing else.
    pub cluster_id: Option<String>,
}

impl Caller {
    /// The caller's ID in the budget of requests to Azure: the user, or the token alongside Rancher.
    pub(super) fn budget_id(&self) -> azure::CallerId {
        let name = if self.user_id.is_empty() { &self.token_name } else { &self.user_id };
        if name.is_empty() { azure::CallerId::SERVER } else { azure::CallerId::new(name) }
    }

    /// Whether the caller may see an object of `owner` (a user ID).
    pub fn may_see(&self, owner: &str) -> bool {
        self.admin || self.user_id == owner
    }
}
