//! The state of the sandbox: applications, tokens, subscriptions, faults, recordings and the log of requests, behind one lock,
//! which is never held across an `.await`.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::budget::BudgetState;
use crate::clouds::Cloud;
use crate::data::Catalog;
use crate::declare::declare;
use crate::faults::Faults;
use crate::kube::clusters::KubeClusters;
use crate::kube::commands::{CommandInput, NotStarted};
use crate::kube::user::EntraCaller;
use crate::log::Log;
use crate::operation::{FinalStatus, OperationError, Outcome};
use crate::outcomes::ScriptedOutcome;
use crate::recordings::{Login, Operation, Page};
use crate::roles::{Role, RoleAssignment};
use crate::run_command::Command;
use crate::script::Script;
use crate::seed::Account;
use crate::skus::{self, Listing};
use crate::state_file::StateFile;
use crate::subscription::{Resource, SubscriptionState, find};
use crate::templates;
use crate::timing::Timing;

/// The tenant of subscriptions that [`Control::play`](crate::Control::play) creates: Microsoft's own, as in most recordings.
pub const PLAYED_TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// The maximum number of stored tokens, including expired ones; the oldest is evicted first.
const MAX_TOKENS: usize = 20_000;

/// The sandbox that all requests share: its clock, its built-in data, its clusters and its changing state.
pub(crate) struct SandboxState {
    pub(crate) clock: Clock,
    pub(crate) catalog: Catalog,
    pub(crate) kube: KubeClusters,
    /// Notified when a long-running operation starts.
    pub(crate) operation_started: Notify,
    /// Changes when the faults are cleared.
    pub(crate) faults_cleared: watch::Sender<()>,
    file: Option<StateFile<Subscriptions>>,
    state: Mutex<State>,
    /// By region; computed at the first request.
    skus: Mutex<HashMap<String, Arc<Listing>>>,
}

/// The state that requests and the control API change.
pub(crate) struct State {
    pub(crate) tenants: HashSet<(Cloud, String)>,
    pub(crate) apps: Vec<App>,
    /// Scripted logins, which take precedence over `apps`.
    pub(crate) logins: Vec<Login>,
    pub(crate) tokens: Tokens,
    /// By lower-case ID.
    pub(crate) subscriptions: HashMap<String, Subscription>,
    pub(crate) timing: Timing,
    pub(crate) outcomes: Script<ScriptedOutcome>,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    /// The maximum number of items on a page of a list; unlimited if unset.
    pub(crate) page_size: Option<usize>,
}

/// An application in Entra.
pub(crate) struct App {
    pub(crate) cloud: Cloud,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) expired_secrets: Vec<String>,
    pub(crate) disabled: bool,
    /// If set, logins are throttled with this `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
}

/// An access token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) cloud: Cloud,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) audience: Audience,
    pub(crate) expires_ms: i64,
}

impl Token {
    /// The object ID of the application: the client ID with all bits inverted. In Azure, the two are independent.
    pub(crate) fn object_id(&self) -> Uuid {
        Uuid::try_parse(&self.client_id).map(|id| Uuid::from_u128(!id.as_u128())).unwrap_or_default()
    }
}

/// The audience of an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Azure Resource Manager.
    Management,
    /// The application with this ID.
    Application(String),
}

#[derive(Default)]
pub(crate) struct Tokens {
    by_value: HashMap<String, Token>,
    /// The values, oldest first.
    order: VecDeque<String>,
}

/// A subscription and its resources.
#[derive(Default)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// `None`: any cloud, for subscriptions of recordings.
    pub(crate) cloud: Option<Cloud>,
    pub(crate) tenant: String,
    pub(crate) state: String,
    /// By client ID; `None`: everything is allowed, for subscriptions of recordings.
    pub(crate) roles: Option<HashMap<String, Vec<RoleAssignment>>>,
    /// The tag that clusters must have.
    pub(crate) required_tag: Option<String>,
    /// If set, requests are throttled with this `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
    pub(crate) budget: BudgetState,
    pub(crate) resources: SubscriptionState,
    pub(crate) recordings: HashMap<Operation, Arc<[Page]>>,
}

/// The content of the state file: the subscriptions that differ from the seed data, by lower-case ID.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Subscriptions {
    subscriptions: BTreeMap<String, SubscriptionState>,
}

impl SandboxState {
    /// The seed data, with stored subscriptions in place of those in the seed data.
    pub(crate) fn new(
        catalog: Catalog,
        clock: Clock,
        timing: Timing,
        file: Option<StateFile<Subscriptions>>,
        stored: Subscriptions,
        kube: KubeClusters,
    ) -> Self {
        let mut state = State {
            tenants: HashSet::new(),
            apps: Vec::new(),
            logins: Vec::new(),
            tokens: Tokens::default(),
            subscriptions: HashMap::new(),
            timing,
            outcomes: Script::default(),
            faults: Faults::default(),
            log: Log::default(),
            page_size: None,
        };
        for account in &catalog.accounts {
            state.add_account(account, &catalog);
        }
        for (id, resources) in stored.subscriptions {
            if let Some(subscription) = state.subscriptions.get_mut(&id) {
                subscription.resources = resources;
            }
        }
        for subscription in state.subscriptions.values() {
            for cluster in &subscription.resources.clusters {
                declare(&kube, cluster, &subscription.tenant);
            }
        }
        let operation_started = Notify::new();
        // Operations of the previous process may still be running.
        operation_started.notify_one();
        Self {
            clock,
            catalog,
            kube,
            operation_started,
            faults_cleared: watch::Sender::default(),
            file,
            state: Mutex::new(state),
            skus: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes the operations that are due, and returns whether others are still running.
    pub(crate) fn advance(&self, state: &mut State) -> bool {
        let now_ms = self.clock.now_ms();
        let State { subscriptions, tokens, timing, .. } = state;
        let scale = timing.scale;
        let (mut any_running, mut any_executed) = (false, false);
        for Subscription { resources, tenant, .. } in subscriptions.values_mut() {
            let changes = resources.advance_to(now_ms, scale);
            for (group, name) in &changes.changed {
                if let Some(cluster) = find(&resources.clusters, group, name) {
                    declare(&self.kube, cluster, tenant);
                }
            }
            for host in &changes.deleted {
                self.kube.remove(host);
            }
            for id in &changes.commands {
                self.run_command(resources, tokens, id);
                any_executed = true;
            }
            any_running |= resources.running().next().is_some();
        }
        if any_executed {
            // A restart must not execute a command again.
            self.save(state);
        }
        any_running
    }

    /// Executes the command of a long-running operation.
    fn run_command(&self, resources: &mut SubscriptionState, tokens: &Tokens, id: &str) {
        let SubscriptionState { operations, clusters, .. } = resources;
        let Some(operation) = operations.iter_mut().find(|operation| operation.id == id) else { return };
        let (group, name) = (operation.target.group_name(), operation.target.resource_name());
        let cluster = find(clusters, group.unwrap_or_default(), name.unwrap_or_default());
        let (Some(Command::Pending(request)), Some(host)) =
            (operation.command.take(), cluster.and_then(Resource::api_host))
        else {
            return;
        };
        if operation.final_status() != Some(FinalStatus::Succeeded) {
            self.kube.delete_command_pod(&host, id);
            return;
        }
        let find_caller = |token: &str| self.entra_caller(tokens, token);
        // The context was checked when the command was accepted.
        let files = request.files().unwrap_or_default();
        let input = CommandInput { command: &request.command, files, token: &request.cluster_token };
        let result = self.kube.run_command(&host, id, &input, &find_caller);
        match result {
            Ok(output) => operation.command = Some(Command::Done(output)),
            Err(NotStarted { message }) => {
                let code = "KubernetesOperationError".to_owned();
                let error = OperationError { code, message };
                operation.outcome = Some(Outcome { status: FinalStatus::Failed, error });
            }
        }
    }

    /// The caller with a valid token for an application, such as [`KUBERNETES_APP`](crate::declare::KUBERNETES_APP).
    pub(crate) fn entra_caller(&self, tokens: &Tokens, token: &str) -> Option<EntraCaller> {
        let token = tokens.get(token).cloned()?;
        let object_id = token.object_id().to_string();
        let Audience::Application(audience) = token.audience else { return None };
        if token.expires_ms <= self.clock.now_ms() {
            return None;
        }
        let has_role = self.catalog.accounts.iter().any(|account| {
            account.role == Role::Contributor && account.client_id.eq_ignore_ascii_case(&token.client_id)
        });
        let (tenant, client_id) = (token.tenant, token.client_id);
        Some(EntraCaller { tenant, client_id, object_id, audience, has_role })
    }

    /// Stores the changed subscriptions.
    pub(crate) fn save(&self, state: &State) {
        let Some(file) = &self.file else { return };
        let touched = state.subscriptions.iter().filter(|(_, subscription)| subscription.resources.touched);
        let touched: BTreeMap<_, _> =
            touched.map(|(id, subscription)| (id, &subscription.resources)).collect();
        if let Err(error) = file.write(&json!({ "subscriptions": touched })) {
            tracing::error!(%error, "cannot save the sandbox state");
        }
    }

    /// The VM sizes of a region; `None` if no such physical region exists.
    pub(crate) fn skus(&self, cloud: Cloud, region: &str) -> Option<Arc<Listing>> {
        let region = self.catalog.region(cloud, region)?;
        let mut listings = self.skus.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = listings
            .entry(region.name.clone())
            .or_insert_with(|| Arc::new(skus::listing(&self.catalog.families, region)));
        Some(Arc::clone(listing))
    }
}

impl State {
    fn add_account(&mut self, account: &Account, catalog: &Catalog) {
        let cloud = account.environment;
        self.tenants.insert((cloud, account.tenant_id.clone()));
        self.apps.push(App {
            cloud,
            tenant: account.tenant_id.clone(),
            client_id: account.client_id.clone(),
            name: account.name.clone(),
            secrets: account.secrets.clone(),
            expired_secrets: account.expired_secrets.clone(),
            disabled: account.app_disabled,
            retry_after: account.login_retry_after,
        });
        let subscription = self
            .subscriptions
            .entry(account.subscription_id.to_ascii_lowercase())
            .or_insert_with(|| Subscription {
                id: account.subscription_id.clone(),
                display_name: format!("Sandbox ({})", account.name),
                cloud: Some(cloud),
                tenant: account.tenant_id.clone(),
                state: account.subscription_state.clone(),
                roles: Some(HashMap::new()),
                required_tag: account.required_tag.clone(),
                retry_after: account.retry_after,
                resources: templates::seed_subscription(account, catalog),
                ..Subscription::default()
            });
        if let Some(roles) = &mut subscription.roles {
            let in_groups = account.group_roles.iter().filter_map(|(group, role)| role.assign(Some(group)));
            let assigned = account.role.assign(None).into_iter().chain(in_groups).collect();
            roles.insert(account.client_id.clone(), assigned);
        }
    }

    /// The subscription; a new one belongs to every cloud and to [`PLAYED_TENANT`].
    pub(crate) fn subscription_or_new(&mut self, id: &str) -> &mut Subscription {
        self.subscriptions.entry(id.to_ascii_lowercase()).or_insert_with(|| Subscription {
            id: id.to_owned(),
            display_name: "Sandbox (recorded)".to_owned(),
            tenant: PLAYED_TENANT.to_owned(),
            state: "Enabled".to_owned(),
            ..Subscription::default()
        })
    }
}

impl Tokens {
    pub(crate) fn insert(&mut self, value: String, token: Token) {
        if self.order.len() >= MAX_TOKENS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_value.remove(&oldest);
        }
        self.order.push_back(value.clone());
        self.by_value.insert(value, token);
    }

    pub(crate) fn get(&self, value: &str) -> Option<&Token> {
        self.by_value.get(value)
    }

    /// Invalidates all tokens.
    pub(crate) fn clear(&mut self) {
        self.by_value.clear();
        self.order.clear();
    }
}
