//! Control of a running sandbox: faults, scripted outcomes, recordings, and the received requests. [`http`] serves this API
//! on a loopback port.

mod clusters;
pub(crate) mod http;
pub(crate) mod kubernetes;
mod response;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::budget::RequestBudget;
use crate::faults::Fault;
use crate::log::RecordedRequest;
use crate::outcomes::ScriptedOutcome;
use crate::recordings::{Login, Operation, Page};
use crate::roles::RoleAssignment;
use crate::seed::Account;
use crate::state::SandboxState;
use crate::timing::Timing;

/// A scale of durations that is negative or not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time scale must be a number of at least 0")]
pub struct InvalidTimeScale;

/// The limit of a quota in a region of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The name of the region.
    pub region: String,
    /// `cores`, or the family of a size, for example `standardDSv5Family`.
    pub name: String,
    /// The maximum number of vCPUs.
    pub limit: u32,
}

/// A handle for the control of a sandbox. Clones share the sandbox.
#[derive(Clone)]
pub struct Control {
    pub(crate) sandbox: Arc<SandboxState>,
}

/// A recording that cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecording {
    /// The route does not exist.
    #[error("route '{0}' does not exist; use the name of an operation of Resource Manager, or tenant")]
    Route(String),
    /// A status outside 200 to 599.
    #[error("status {0} is not between 200 and 599")]
    Status(u16),
}

impl Control {
    /// Adds a fault after the active ones.
    pub fn add_fault(&self, fault: Fault) {
        self.sandbox.state().faults.add(fault);
    }

    /// The active faults, with the remaining `times` and `skip`.
    pub fn faults(&self) -> Vec<Fault> {
        self.sandbox.state().faults.all().to_vec()
    }

    /// Deletes all faults, and sends delayed responses immediately.
    pub fn clear_faults(&self) {
        self.sandbox.state().faults.clear();
        self.sandbox.faults_cleared.send_replace(());
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.sandbox.state().log.all()
    }

    /// The requests to Resource Manager other than GET and HEAD, oldest first, with their bodies.
    pub fn writes(&self) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests
            .retain(|request| !["GET", "HEAD"].contains(&&*request.method) && !request.operation.is_login());
        requests
    }

    /// Deletes the recorded requests.
    pub fn clear_requests(&self) {
        self.sandbox.state().log.clear();
    }

    /// The durations of operations.
    pub fn timing(&self) -> Timing {
        self.sandbox.state().timing.clone()
    }

    /// Changes durations. The scale also applies to running operations.
    ///
    /// # Errors
    /// If the scale is negative or not finite.
    pub fn set_timing(&self, timing: Timing) -> Result<(), InvalidTimeScale> {
        if !timing.is_valid() {
            return Err(InvalidTimeScale);
        }
        self.sandbox.state().timing = timing;
        self.sandbox.operation_started.notify_one();
        Ok(())
    }

    /// Adds a scripted outcome after the active ones. It applies to operations that start later.
    pub fn add_outcome(&self, outcome: ScriptedOutcome) {
        self.sandbox.state().outcomes.add(outcome);
    }

    /// The active scripted outcomes, with the remaining `times` and `skip`.
    pub fn outcomes(&self) -> Vec<ScriptedOutcome> {
        self.sandbox.state().outcomes.all().to_vec()
    }

    /// Deletes all scripted outcomes.
    pub fn clear_outcomes(&self) {
        self.sandbox.state().outcomes.clear();
    }

    /// The configured quotas of a subscription; all others have the default limit.
    pub fn quotas(&self, subscription: &str) -> Vec<Quota> {
        let state = self.sandbox.state();
        let existing = state.subscriptions.get(&subscription.to_ascii_lowercase());
        let regions = existing.map(|existing| &existing.resources.quotas).into_iter().flatten();
        let all = regions.flat_map(|(region, quotas)| quotas.iter().map(move |quota| (region, quota)));
        all.map(|(region, (name, limit))| Quota { region: region.clone(), name: name.clone(), limit: *limit })
            .collect()
    }

    /// Changes a quota. An unknown subscription is created as by [`Control::play`].
    pub fn set_quota(&self, subscription: &str, quota: Quota) {
        let mut state = self.sandbox.state();
        let resources = &mut state.subscription_or_new(subscription).resources;
        resources
            .quotas
            .entry(quota.region.to_ascii_lowercase())
            .or_default()
            .insert(quota.name, quota.limit);
        resources.touched = true;
        self.sandbox.save(&state);
    }

    /// The roles of an application in a subscription and its resource groups.
    pub fn roles(&self, subscription: &str, client_id: &str) -> Vec<RoleAssignment> {
        let state = self.sandbox.state();
        let existing = state.subscriptions.get(&subscription.to_ascii_lowercase());
        let roles = existing.and_then(|existing| existing.roles.as_ref()?.get(client_id));
        roles.cloned().unwrap_or_default()
    }

    /// Replaces the roles of an application in a subscription and its resource groups. An unknown subscription is created as
    /// by [`Control::play`]. Roles do not survive a restart.
    pub fn set_roles(&self, subscription: &str, client_id: &str, roles: Vec<RoleAssignment>) {
        let mut state = self.sandbox.state();
        let subscription = state.subscription_or_new(subscription);
        subscription.roles.get_or_insert_default().insert(client_id.to_owned(), roles);
    }

    /// The request budget of a subscription.
    pub fn budget(&self, subscription: &str) -> RequestBudget {
        let state = self.sandbox.state();
        let existing = state.subscriptions.get(&subscription.to_ascii_lowercase());
        existing.map(|existing| existing.budget.budget().clone()).unwrap_or_default()
    }

    /// Sets the request budget of a subscription; its buckets are full. An unknown subscription is created as by
    /// [`Control::play`].
    pub fn set_budget(&self, subscription: &str, budget: RequestBudget) {
        self.sandbox.state().subscription_or_new(subscription).budget.set(budget);
    }

    /// The accounts of the seed data.
    pub fn accounts(&self) -> &[Account] {
        &self.sandbox.catalog.accounts
    }

    /// The maximum number of items on a page of a list such as SKUs, networks or clusters; `None` for all.
    pub fn page_size(&self) -> Option<usize> {
        self.sandbox.state().page_size
    }

    /// Sets the maximum number of items on a page, at least 1.
    pub fn set_page_size(&self, items: Option<usize>) {
        self.sandbox.state().page_size = items.map(|items| items.max(1));
    }

    /// Invalidates all tokens.
    pub fn forget_tokens(&self) {
        self.sandbox.state().tokens.clear();
    }

    /// Returns `pages` instead of the sandbox's own response to `route` in one subscription, for every region, filter and
    /// api-version. Without pages, the sandbox's own response is restored. Each page has a `nextLink` to the next page.
    ///
    /// Routes are the names of [`Operation`]s of Resource Manager, and `tenant`, whose page is the ID as a string
    /// ([`Control::reveal_tenant`]). An unknown subscription is created in [`PLAYED_TENANT`](crate::PLAYED_TENANT): every
    /// token of that tenant can access it, in every cloud.
    ///
    /// # Errors
    /// If the route does not exist, or the status of a page is invalid.
    pub fn play(&self, subscription: &str, route: &str, pages: Vec<Page>) -> Result<(), InvalidRecording> {
        if let Some(page) = pages.iter().find(|page| !(200..=599).contains(&page.status)) {
            return Err(InvalidRecording::Status(page.status));
        }
        if route == "tenant" {
            if let Some(page) = pages.first() {
                self.reveal_tenant(subscription, &page.text());
            }
            return Ok(());
        }
        let operation = serde_json::from_value::<Operation>(route.into()).ok();
        let operation = operation.filter(|operation| operation.is_resource_manager());
        let operation = operation.ok_or_else(|| InvalidRecording::Route(route.to_owned()))?;
        let mut state = self.sandbox.state();
        let recordings = &mut state.subscription_or_new(subscription).recordings;
        if pages.is_empty() {
            recordings.remove(&operation);
        } else {
            recordings.insert(operation, pages.into());
        }
        Ok(())
    }

    /// Changes the body of all clusters with this name, as Azure itself would, for example in an automatic upgrade. Nothing is
    /// validated. Returns whether any cluster has the name.
    pub fn edit_cluster(&self, name: &str, change: impl Fn(&mut serde_json::Value)) -> bool {
        let mut state = self.sandbox.state();
        let subscriptions = state.subscriptions.values_mut();
        let mut is_found = false;
        for cluster in subscriptions.flat_map(|subscription| &mut subscription.resources.clusters) {
            if cluster.name.eq_ignore_ascii_case(name) {
                change(&mut cluster.body);
                is_found = true;
            }
        }
        is_found
    }

    /// Sets the tenant of a subscription, which the response to an unauthenticated request reveals. An unknown subscription is
    /// created as by [`Control::play`].
    pub fn reveal_tenant(&self, subscription: &str, tenant: &str) {
        let tenant = tenant.to_ascii_lowercase();
        self.sandbox.state().subscription_or_new(subscription).tenant = tenant;
    }

    /// Sets the result of logins with a secret, in every tenant and cloud, instead of the check of tenant and application. It
    /// replaces the earlier result for the same secret and application.
    pub fn script_login(&self, login: Login) {
        let mut state = self.sandbox.state();
        state.logins.retain(|old| (&old.secret, &old.client_id) != (&login.secret, &login.client_id));
        state.logins.push(login);
    }
}
