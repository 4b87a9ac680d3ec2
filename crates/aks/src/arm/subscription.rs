//! A subscription and whether it may be used.

use super::lenient::objects;

objects! {
    /// A subscription.
    Subscription {
        /// `Enabled`, `Warned`, `PastDue`, `Disabled` or `Deleted`.
        state: Option<String>,
    }
}

impl Subscription {
    /// The state in which Azure accepts no writes; `None` where it does, or is not known to refuse them. From "Azure
    /// subscription states", <https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states>:
    /// one that is past due still accepts them.
    pub fn read_only_state(&self) -> Option<&str> {
        let state = self.state.as_deref()?;
        ["Deleted", "Disabled", "Expired", "Warned"]
            .iter()
            .any(|it| it.eq_ignore_ascii_case(state))
            .then_some(state)
    }
}
