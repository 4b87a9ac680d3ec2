//! What a credential can do, before anything is created: its login, the subscription, its rights, the resource providers, and
//! policies. Nothing comes from the cache. The verdict is in `aks::rights`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aks::arm::{Permission, PolicyAssignment, PolicyDefinition, Resource};
use aks::catalog::{Reason, Verdict};
use aks::review::{Denial, DenialKind};
use aks::rights::{
    self, AssignedPolicy, CredentialCheck, Registration, RightsInput, Scope, ScopeRights, SubscriptionState,
};
use azure::resources::{permissions, policies, providers, subscriptions};
use azure::{Arm, Azure, Error, Service};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::service::azure_access::{AccessError, AzureAccess};
use crate::service::explain;
use crate::service::reviews::denial;

/// The time limit of a check: people wait for the response.
const LIMIT: Duration = Duration::from_secs(10);

/// The most requests to Azure at the same time.
const MAX_CONCURRENT: usize = 4;

/// The longest delay between two attempts of a request; a longer one leaves its part unknown.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// The most policy definitions that are read.
const MAX_DEFINITIONS: usize = 20;

/// The resource providers that clusters need; the last two for monitoring.
const PROVIDERS: [&str; 5] = [
    "Microsoft.ContainerService",
    "Microsoft.Compute",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
];

const LOGIN: &str = "Microsoft Entra: Authentication and authorization error codes, \
    https://learn.microsoft.com/entra/identity-platform/reference-error-codes";
const SUBSCRIPTIONS: &str = "Azure: Subscriptions, Get, REST, \
    https://learn.microsoft.com/rest/api/resources/subscriptions/get";
const STORED: &str = "docs/contract/credentials.md#stored-credentials-in-meta";

/// The deadline of a check that starts now.
pub fn deadline() -> Instant {
    Instant::now() + LIMIT
}

/// What a credential can do.
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
    /// The login service gave a token.
    Accepted,
    /// It rejected the credential, with these numbers behind `AADSTS`.
    Rejected(Vec<u64>),
    /// It was not reached, or not tried.
    Unknown,
}

impl CredentialReport {
    /// The report for a credential that cannot even be tried. Other errors are not about the credential.
    ///
    /// # Errors
    /// The error, if it says nothing about the credential.
    pub fn of_access(error: AccessError) -> Result<Self, AccessError> {
        let (reason, login) = match &error {
            AccessError::Unusable { .. } => (secret_unreadable(&error), Login::Unknown),
            AccessError::TenantDiscovery { error: discovery, .. } => {
                let denial = denial::of_access(&error);
                let hint = explain::stored_discovery(discovery).hint;
                (tenant_unknown(&error, denial, hint), Login::Unknown)
            }
            AccessError::InvalidId(_) | AccessError::NotFound | AccessError::Other(_) => return Err(error),
        };
        Ok(Self { login, check: rights::rejected(reason) })
    }

    /// Checks a credential on the subscription and on resource groups, until `deadline`. Parts that cannot be read are unknown.
    pub async fn load(azure: &Azure, access: &AzureAccess, groups: &[String], deadline: Instant) -> Self {
        let arm = match azure.arm(access.credential(), deadline) {
            Ok(arm) => arm.with_new_token().with_max_delay(MAX_DELAY),
            Err(error) => return Self::of_login(&error),
        };
        let reader = Reader { arm, limit: Semaphore::new(MAX_CONCURRENT) };
        // Alone, so that a rejected login is tried once.
        let subscription = match subscriptions::get(&reader.arm).await {
            Ok(subscription) => SubscriptionState::Known(subscription),
            Err(error) if is_about_login(&error) => return Self::of_login(&error),
            Err(error) => match denial::of_cluster(&error) {
                Some(Denial { kind: DenialKind::Role, .. }) => SubscriptionState::Denied,
                Some(denial) => {
                    let check = rights::rejected(subscription_unusable(denial));
                    return Self { login: Login::Accepted, check };
                }
                None => SubscriptionState::Unknown(one_line(&error)),
            },
        };
        let input = reader.read(subscription, groups).await;
        Self { login: Login::Accepted, check: rights::check(input) }
    }

    /// The report for a failed login.
    fn of_login(error: &Error) -> Self {
        let aadsts = match error {
            Error::Login(login) => login.aadsts.clone(),
            _ => Vec::new(),
        };
        let (reason, login) = match denial::of_login(error) {
            Some(denial) => (login_rejected(denial), Login::Rejected(aadsts)),
            None => (login_unavailable(error), Login::Unknown),
        };
        Self { login, check: rights::rejected(reason) }
    }
}

/// Reads the parts of a check, a few at a time.
struct Reader {
    arm: Arm,
    limit: Semaphore,
}

impl Reader {
    async fn read(&self, subscription: SubscriptionState, groups: &[String]) -> RightsInput {
        let credential = Arc::clone(self.arm.credential());
        let (scopes, providers, policies) = tokio::join!(
            self.scopes(&credential.subscription_id, groups),
            join_all(PROVIDERS.map(|namespace| self.provider(namespace))),
            self.policies(groups),
        );
        RightsInput { client_id: credential.client_id.clone(), subscription, scopes, providers, policies }
    }

    /// A request, once fewer than [`MAX_CONCURRENT`] others are running.
    async fn one<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
        // The semaphore is never closed.
        let _permit = self.limit.acquire().await;
        request.await.map_err(|error| one_line(&error))
    }

    async fn scopes(&self, subscription: &str, groups: &[String]) -> Vec<ScopeRights> {
        let names: Vec<Option<&str>> =
            std::iter::once(None).chain(groups.iter().map(|group| Some(group.as_str()))).collect();
        let lists = names.iter().map(|group| self.one(permissions::list(&self.arm, *group)));
        let lists = join_all(lists).await;
        // Without a group, there is always a list.
        let everywhere: Result<Vec<Permission>, String> =
            lists.first().cloned().map_or_else(|| Ok(Vec::new()), |list| list.map(Option::unwrap_or_default));
        let scopes = names.into_iter().zip(lists).map(|(group, list)| {
            let scope = Scope { subscription: subscription.to_owned(), group: group.map(str::to_owned) };
            match list {
                Ok(Some(roles)) => ScopeRights { scope, exists: true, roles: Ok(roles) },
                Ok(None) => ScopeRights { scope, exists: false, roles: everywhere.clone() },
                Err(reason) => ScopeRights { scope, exists: true, roles: Err(reason) },
            }
        });
        scopes.collect()
    }

    async fn provider(&self, namespace: &'static str) -> Registration {
        let provider = self.one(providers::get(&self.arm, namespace)).await;
        let state = provider.and_then(|provider| {
            provider.registration_state.ok_or_else(|| "Azure names no registration state".to_owned())
        });
        Registration { namespace, state }
    }

    /// The policies that apply to the subscription, and to the groups that exist.
    async fn policies(&self, groups: &[String]) -> Result<Vec<AssignedPolicy>, String> {
        let names = std::iter::once(None).chain(groups.iter().map(|group| Some(group.as_str())));
        let lists = names.map(|group| self.one(policies::list_assignments(&self.arm, group)));
        let mut assignments: BTreeMap<String, PolicyAssignment> = BTreeMap::new();
        for list in join_all(lists).await {
            for assignment in list?.unwrap_or_default() {
                let id = assignment.id.as_deref().unwrap_or_default().to_ascii_lowercase();
                assignments.insert(id, assignment);
            }
        }
        let assignments: Vec<PolicyAssignment> = assignments.into_values().collect();
        let definitions = self.definitions(&assignments).await;
        let assigned = assignments.iter().map(|assignment| {
            let id = definition_id(assignment);
            let definition = match definitions.get(&id) {
                Some(Ok(definition)) => Ok(definition),
                Some(Err(reason)) => Err(reason.clone()),
                None if is_initiative(&id) => {
                    Err("it is an initiative, whose policies are not read".to_owned())
                }
                None => Err(format!("only the first {MAX_DEFINITIONS} definitions are read")),
            };
            AssignedPolicy::new(assignment, definition)
        });
        Ok(assigned.collect())
    }

    /// The definitions of enforced assignments, by ID in lower case.
    async fn definitions(
        &self,
        assignments: &[PolicyAssignment],
    ) -> BTreeMap<String, Result<Resource<PolicyDefinition>, String>> {
        let enforced = assignments.iter().filter(|assignment| assignment.is_enforced());
        let mut ids: Vec<String> = enforced.map(definition_id).filter(|id| !is_initiative(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(MAX_DEFINITIONS);
        let read = ids.iter().map(|id| self.one(policies::get_definition(&self.arm, id)));
        let read = join_all(read).await;
        ids.iter().cloned().zip(read).collect()
    }
}

/// The ID of the definition of an assignment, in lower case.
fn definition_id(assignment: &PolicyAssignment) -> String {
    let properties = assignment.properties.as_ref();
    let id = properties.and_then(|properties| properties.policy_definition_id.as_deref());
    id.unwrap_or_default().to_ascii_lowercase()
}

fn is_initiative(id: &str) -> bool {
    id.contains("/policysetdefinitions/")
}

/// Whether an error is about the login, not about the request after it.
fn is_about_login(error: &Error) -> bool {
    match error {
        Error::NoAnswer { to, .. } | Error::TimedOut { to } => *to == Service::Login,
        Error::Login(_) => true,
        error => denial::of_login(error).is_some(),
    }
}

/// An error on one line, without the body of the response.
fn one_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim().to_owned()
}

fn login_rejected(denial: Denial) -> Reason {
    Reason {
        code: "loginRejected",
        message: format!("Microsoft Entra rejects the credential: {}", denial.message),
        remedy: denial.remedy,
        source: LOGIN,
        verdict: Verdict::Unusable,
    }
}

fn login_unavailable(error: &Error) -> Reason {
    let hint = explain::failure(error).hint;
    Reason {
        code: "loginUnavailable",
        message: format!("the login cannot be tried: {}", one_line(error)),
        remedy: hint.unwrap_or_else(|| "try again".to_owned()),
        source: LOGIN,
        verdict: Verdict::Limited,
    }
}

fn subscription_unusable(denial: Denial) -> Reason {
    Reason {
        code: "subscriptionUnusable",
        message: format!("the subscription cannot be used with this credential: {}", denial.message),
        remedy: denial.remedy,
        source: SUBSCRIPTIONS,
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
        source: STORED,
        verdict: Verdict::Unusable,
    }
}

/// The reason for an unknown tenant: unusable if Azure answered that it cannot be found.
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
        remedy: remedy.unwrap_or_else(|| "set tenantId, so that it need not be found".to_owned()),
        source: SUBSCRIPTIONS,
        verdict,
    }
}
