//! Authenticated callers and their permissions.

/// An authenticated caller. Only `service::tokens` creates one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The user's id, `user-xxxxx`.
    pub user_id: String,
    /// The name that the token was made for.
    pub user_name: String,
    /// Administrators see and may do everything.
    pub admin: bool,
    /// The public half of the token that was presented.
    pub token_name: String,
    /// The one cluster that the token is good for (`c-xxxxx`); with such a token nothing else may be done.
    pub cluster_id: Option<String>,
}

impl Caller {
    /// The caller as the budget of requests to Azure knows it: the user, or the token beside a Rancher.
    pub(super) fn budget_id(&self) -> azure::CallerId {
        let name = if self.user_id.is_empty() { &self.token_name } else { &self.user_id };
        if name.is_empty() { azure::CallerId::SERVER } else { azure::CallerId::new(name) }
    }

    /// Whether something that belongs to `owner` (a user id) is this caller's to see.
    pub fn may_see(&self, owner: &str) -> bool {
        self.admin || self.user_id == owner
    }
}
