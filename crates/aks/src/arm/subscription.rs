//! A subscription and its state.

use super::lenient::lenient_structs;

lenient_structs! {
    /// A subscription.
    Subscription {
        /// `Enabled`, `Warned`, `PastDue`, `Disabled` or `Deleted`.
        state: Option<String>,
    }
}

impl Subscription {
    /// The state, if Azure is known to reject writes in it. Source: "Azure subscription states",
    /// <https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states>. A subscription that is past due
    /// still accepts them.
    pub fn read_only_state(&self) -> Option<&str> {
        let state = self.state.as_deref()?;
        ["Deleted", "Disabled", "Expired", "Warned"]
            .iter()
            .any(|read_only| read_only.eq_ignore_ascii_case(state))
            .then_some(state)
    }
}
