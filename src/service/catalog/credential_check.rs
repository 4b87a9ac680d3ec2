//! Checks what a credential can do, before anything is created: its login, its rights, and the subscription with its resource
//! providers and policies. Nothing comes from the cache. `aks::rights` decides the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aks::arm::{Permission, PolicyAssignment};
use aks::catalog::{Reason, Verdict};
use aks::review::{Denial, DenialKind, LOGIN_ERRORS};
use aks::rights::{
    self, AssignedPolicy, CredentialCheck, PolicyDefinitions, Registration, RightsInput, Scope, ScopeRights,
    SubscriptionState,
};
use azure::resources::{permissions, policies, providers, subscriptions};
use azure::{Arm, Error, Priority, Service};
use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::first_line;
use crate::service::azure_access::{AccessError, AzureAccess};
use crate::service::concurrency::CallerPermits;
use crate::service::listings::Listings;
use crate::service::reviews::denial;
use crate::service::{Caller, explain};

/// The time limit of a check, because a user is waiting.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest delay between two attempts of a request. If Azure requests a longer one, the part stays unknown.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// The maximum number of policy definitions that are read, and of initiatives.
const MAX_DEFINITIONS: usize = 20;
const MAX_INITIATIVES: usize = 5;

/// The reason for a part that was not read because the caller had no permit.
const NO_PERMIT: &str = "other requests of the caller were still running";

/// The resource providers that clusters need; the last two for monitoring.
const PROVIDERS: [&str; 5] = [
    "Microsoft.ContainerService",
    "Microsoft.Compute",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
];

const LIMITS_SOURCE: &str = "docs/api.md#what-a-credential-can-do";
const SUBSCRIPTIONS_SOURCE: &str = "Azure: Subscriptions, Get, REST, \
    https://learn.microsoft.com/rest/api/resources/subscriptions/get";
const STORED_SOURCE: &str = "docs/contract/credentials.md#stored-credentials-in-meta";

/// The deadline of a check that starts now.
pub fn deadline() -> Instant {
    Instant::now() + CHECK_TIMEOUT
}

/// A request for a check.
#[derive(Clone, Copy, Debug)]
pub struct CheckRequest<'a> {
    /// The credential.
    pub access: &'a AzureAccess,
    /// The caller. While other callers wait, it gets at most half of the remaining requests to Azure.
    pub caller: &'a Caller,
    /// The resource groups in which clusters are to be created; if empty, the whole subscription.
    pub groups: &'a [String],
    /// The time at which the check ends.
    pub deadline: Instant,
}

/// The result of a check.
#[derive(Debug)]
pub struct CredentialReport {
    /// The login.
    pub login: Login,
    /// Everything else.
    pub check: CredentialCheck,
}

/// The result of a login with a new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The login service issued a token.
    Accepted,
    /// The login service rejected the credential, with these `AADSTS` numbers.
    Rejected(Vec<u64>),
    /// The login service was not reached, or no login was tried.
    Unknown,
}

impl CredentialReport {
    /// The report for a credential that cannot be used for a login.
    ///
    /// # Errors
    /// The same error, unless the secret cannot be decrypted or the tenant cannot be discovered.
    pub fn from_access_error(error: AccessError) -> Result<Self, AccessError> {
        let (reason, login) = match &error {
            AccessError::Unusable { .. } => (secret_unreadable(&error), Login::Unknown),
            AccessError::TenantDiscovery { error: discovery, .. } => {
                let denial = denial::from_access_error(&error);
                let hint = explain::stored_discovery_error(discovery).hint;
                (tenant_unknown(&error, denial, hint), Login::Unknown)
            }
            AccessError::InvalidId(_) | AccessError::NotFound | AccessError::Other(_) => return Err(error),
        };
        Ok(Self { login, check: rights::rejected(reason) })
    }

    /// Checks a credential. Parts that cannot be read before the deadline are unknown. Each request to Azure uses one of
    /// the caller's permits.
    pub async fn load(listings: &Listings, request: CheckRequest<'_>) -> Self {
        let CheckRequest { access, caller, groups, deadline } = request;
        let Listings { azure, caller_permits: permits, .. } = listings;
        let priority = Priority::Caller(caller.budget_id());
        let arm = match azure.arm(access.credential(), deadline) {
            Ok(arm) => arm.with_new_token().with_max_delay(MAX_RETRY_DELAY).with_priority(priority),
            Err(error) => return Self::from_login_error(&error),
        };
        let reader = Reader { arm, permits, permit_key: access.permit_key(caller), deadline };
        // Before all other requests, so that a rejected login is tried only once.
        let subscription = {
            let Some(_permit) = reader.acquire_permit().await else {
                return Self { login: Login::Unknown, check: rights::rejected(login_not_tried()) };
            };
            subscriptions::get(&reader.arm).await
        };
        let subscription = match subscription {
            Ok(subscription) => SubscriptionState::Known(subscription),
            Err(error) if is_about_login(&error) => return Self::from_login_error(&error),
            Err(error) => match denial::from_cluster_error(&error) {
                Some(Denial { kind: DenialKind::Role, .. }) => SubscriptionState::Denied,
                Some(denial) => {
                    let check = rights::rejected(subscription_unusable(denial));
                    return Self { login: Login::Accepted, check };
                }
                None => SubscriptionState::Unknown(first_line(&error)),
            },
        };
        let input = reader.read(subscription, groups).await;
        Self { login: Login::Accepted, check: rights::check(input) }
    }

    /// The report for a failed login.
    fn from_login_error(error: &Error) -> Self {
        let aadsts = match error {
            Error::Login(login) => login.aadsts.clone(),
            _ => Vec::new(),
        };
        let (reason, login) = match denial::from_login_error(error) {
            Some(denial) => (login_rejected(denial), Login::Rejected(aadsts)),
            None => (login_unavailable(error), Login::Unknown),
        };
        Self { login, check: rights::rejected(reason) }
    }
}

/// Reads the parts of a check, a few at a time.
struct Reader<'a> {
    arm: Arm,
    permits: &'a CallerPermits,
    permit_key: String,
    deadline: Instant,
}

impl Reader<'_> {
    async fn read(&self, subscription: SubscriptionState, groups: &[String]) -> RightsInput {
        let credential = Arc::clone(self.arm.credential());
        let (scopes, providers, policies) = tokio::join!(
            self.read_scopes(&credential.subscription_id, groups),
            join_all(PROVIDERS.map(|namespace| self.read_provider(namespace))),
            self.read_policies(groups),
        );
        RightsInput { client_id: credential.client_id.clone(), subscription, scopes, providers, policies }
    }

    /// One of the caller's permits; `None` if there is none before the deadline.
    async fn acquire_permit(&self) -> Option<OwnedSemaphorePermit> {
        timeout_at(self.deadline, self.permits.acquire(&self.permit_key)).await.ok().flatten()
    }

    /// Runs a request with one of the caller's permits.
    async fn with_permit<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
        let _permit = self.acquire_permit().await.ok_or(NO_PERMIT)?;
        request.await.map_err(|error| first_line(&error))
    }

    async fn read_scopes(&self, subscription_id: &str, groups: &[String]) -> Vec<ScopeRights> {
        // `None` is the subscription itself.
        let group_names: Vec<Option<&str>> =
            std::iter::once(None).chain(groups.iter().map(|group| Some(group.as_str()))).collect();
        let lists = group_names.iter().map(|group| self.with_permit(permissions::list(&self.arm, *group)));
        let lists = join_all(lists).await;
        let subscription_roles: Result<Vec<Permission>, String> =
            lists.first().cloned().map_or_else(|| Ok(Vec::new()), |list| list.map(Option::unwrap_or_default));
        let scopes = group_names.into_iter().zip(lists).map(|(group, list)| {
            let scope = Scope { subscription: subscription_id.to_owned(), group: group.map(str::to_owned) };
            match list {
                Ok(Some(roles)) => ScopeRights { scope, exists: true, roles: Ok(roles) },
                Ok(None) => ScopeRights { scope, exists: false, roles: subscription_roles.clone() },
                Err(reason) => ScopeRights { scope, exists: true, roles: Err(reason) },
            }
        });
        scopes.collect()
    }

    async fn read_provider(&self, namespace: &'static str) -> Registration {
        let provider = self.with_permit(providers::get(&self.arm, namespace)).await;
        let state = provider.and_then(|provider| {
            provider.registration_state.ok_or_else(|| "Azure reports no registration state".to_owned())
        });
        Registration { namespace, state }
    }

    /// The policies of the subscription and of the groups that exist, if they deny something or are unknown.
    async fn read_policies(&self, groups: &[String]) -> Result<Vec<AssignedPolicy>, String> {
        let group_names = std::iter::once(None).chain(groups.iter().map(|group| Some(group.as_str())));
        let lists = group_names.map(|group| self.with_permit(policies::list_assignments(&self.arm, group)));
        let mut assignments: BTreeMap<String, PolicyAssignment> = BTreeMap::new();
        for list in join_all(lists).await {
            for assignment in list?.unwrap_or_default() {
                let id = assignment.id.as_deref().unwrap_or_default().to_ascii_lowercase();
                assignments.insert(id, assignment);
            }
        }
        let assignments: Vec<PolicyAssignment> = assignments.into_values().collect();
        let definitions = self.read_definitions(&assignments).await;
        Ok(assignments
            .iter()
            .filter_map(|assignment| AssignedPolicy::new(assignment, &definitions))
            .collect())
    }

    /// The definitions that assignments refer to, up to the maximum number of each kind.
    async fn read_definitions(&self, assignments: &[PolicyAssignment]) -> PolicyDefinitions {
        let mut definitions = PolicyDefinitions::default();
        let ids = PolicyDefinitions::needed_initiatives(assignments, MAX_INITIATIVES);
        let results =
            join_all(ids.iter().map(|id| self.with_permit(policies::get_initiative(&self.arm, id)))).await;
        definitions.initiatives = ids.iter().cloned().zip(results).collect();
        let ids = definitions.needed_policies(assignments, MAX_DEFINITIONS);
        let results =
            join_all(ids.iter().map(|id| self.with_permit(policies::get_definition(&self.arm, id)))).await;
        definitions.policies = ids.iter().cloned().zip(results).collect();
        definitions
    }
}

/// Whether an error is about the login, not about the request after it.
fn is_about_login(error: &Error) -> bool {
    match error {
        Error::NoResponse { to, .. } | Error::TimedOut { to } => *to == Service::Login,
        Error::Login(_) => true,
        error => denial::from_login_error(error).is_some(),
    }
}

fn login_rejected(denial: Denial) -> Reason {
    Reason {
        code: "loginRejected",
        message: format!("Microsoft Entra rejects the credential: {}", denial.message),
        remedy: denial.remedy,
        source: LOGIN_ERRORS,
        verdict: Verdict::Unusable,
    }
}

fn login_unavailable(error: &Error) -> Reason {
    let hint = explain::request_error(error).hint;
    Reason {
        code: "loginUnavailable",
        message: format!("the sign-in cannot be checked: {}", first_line(error)),
        remedy: hint.unwrap_or_else(|| "try again".to_owned()),
        source: LOGIN_ERRORS,
        verdict: Verdict::Limited,
    }
}

fn login_not_tried() -> Reason {
    Reason {
        code: "loginUnavailable",
        message: format!("the sign-in was not checked: {NO_PERMIT}"),
        remedy: "try again when those requests have finished".to_owned(),
        source: LIMITS_SOURCE,
        verdict: Verdict::Limited,
    }
}

fn subscription_unusable(denial: Denial) -> Reason {
    Reason {
        code: "subscriptionUnusable",
        message: format!("the subscription cannot be used with this credential: {}", denial.message),
        remedy: denial.remedy,
        source: SUBSCRIPTIONS_SOURCE,
        verdict: Verdict::Unusable,
    }
}

fn secret_unreadable(error: &AccessError) -> Reason {
    Reason {
        code: "secretUnreadable",
        message: error.to_string(),
        remedy:
            "store the client secret again, or give the server the encryption key that it was stored with"
                .to_owned(),
        source: STORED_SOURCE,
        verdict: Verdict::Unusable,
    }
}

/// The reason for an unknown tenant; unusable if Azure rejected the subscription.
fn tenant_unknown(error: &AccessError, denial: Option<Denial>, hint: Option<String>) -> Reason {
    let verdict = if denial.is_some() { Verdict::Unusable } else { Verdict::Limited };
    let message = denial.as_ref().map_or_else(
        || error.to_string(),
        |denial| format!("the subscription cannot be used: {}", denial.message),
    );
    let remedy = denial.map(|denial| denial.remedy).or(hint);
    Reason {
        code: "tenantUnknown",
        message,
        remedy: remedy
            .unwrap_or_else(|| "set tenantId, so that it does not have to be discovered".to_owned()),
        source: SUBSCRIPTIONS_SOURCE,
        verdict,
    }
}
