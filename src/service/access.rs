//! Authenticated callers and their permissions.

/// An authenticated caller or, in an [`Actor`](super::actor::Actor), the command line or the server itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The ID of the user, `user-xxxxx`; empty alongside Rancher, and for the command line and the server itself.
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
    /// The ID under which the caller's requests to Azure are budgeted: that of the user, alongside Rancher that of the token,
    /// else that of the server.
    pub(super) fn budget_id(&self) -> azure::CallerId {
        let id = if self.user_id.is_empty() { &self.token_name } else { &self.user_id };
        if id.is_empty() { azure::CallerId::SERVER } else { azure::CallerId::new(id) }
    }

    /// Whether the caller may see an object of `owner` (a user ID).
    pub fn may_see(&self, owner: &str) -> bool {
        self.admin || self.user_id == owner
    }
}
