//! A subscription and whether it may be used.

use serde::Deserialize;

use super::lenient::{maybe, read_from_object};

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subscription {
    /// `Enabled`, `Warned`, `PastDue`, `Disabled` or `Deleted`.
    #[serde(deserialize_with = "maybe")]
    pub state: Option<String>,
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

read_from_object!(Subscription);
