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
    /// Whether something that belongs to `owner` (a user id) is this caller's to see.
    pub fn may_see(&self, owner: &str) -> bool {
        self.admin || self.user_id == owner
    }
}
