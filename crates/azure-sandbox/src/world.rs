//! What the sandbox remembers: directories, tokens, subscriptions, faults, played pages, seen requests. One
//! lock over all of it; nothing waits while it is held.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use clock::Clock;
use tokio::sync::{Notify, watch};

use super::clouds::Cloud;
use super::data::Catalog;
use super::declare::{declare_all, declare_one};
use super::endings::Endings;
use super::faults::Faults;
use super::holdings::Holdings;
use super::keep::Keeper;
use super::kube::Kubes;
use super::log::Log;
use super::play::{Login, Operation, Page};
use super::seed::{Account, Role};
use super::skus::{self, Listing};
use super::stock;
use super::times::Times;

/// Tokens that are remembered, expired ones included; the oldest is forgotten first.
const TOKENS: usize = 20_000;

/// The whole sandbox.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) catalog: Catalog,
    pub(crate) kubes: Kubes,
    /// Where they are served, once they are.
    pub(crate) kubernetes_address: OnceLock<SocketAddr>,
    /// Rung when a long operation begins.
    pub(crate) begun: Notify,
    /// Changes when all trouble is ended.
    pub(crate) calm: watch::Sender<()>,
    keeper: Option<Keeper>,
    state: Mutex<State>,
    /// Made when a region is first asked for.
    skus: Mutex<HashMap<String, Arc<Listing>>>,
}

/// What requests and the control API change.
pub(crate) struct State {
    pub(crate) tenants: HashSet<(Cloud, String)>,
    pub(crate) apps: Vec<App>,
    /// What [`super::Control::login`] added; asked before `apps`.
    pub(crate) logins: Vec<Login>,
    pub(crate) tokens: Tokens,
    /// By id in lower case.
    pub(crate) subscriptions: HashMap<String, Subscription>,
    pub(crate) times: Times,
    pub(crate) endings: Endings,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    /// Items on one page of a list; all of them when unset.
    pub(crate) page_size: Option<usize>,
}

/// An application of a directory.
pub(crate) struct App {
    pub(crate) cloud: Cloud,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) expired_secrets: Vec<String>,
    pub(crate) disabled: bool,
    pub(crate) retry_after: Option<u32>,
}

/// What an access token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) cloud: Cloud,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) audience: Audience,
    pub(crate) expires_ms: i64,
}

/// For whom an access token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Azure Resource Manager.
    Management,
    /// The application of that id.
    Application(String),
}

#[derive(Default)]
pub(crate) struct Tokens {
    by_text: HashMap<String, Token>,
    order: VecDeque<String>,
}

/// A subscription and what is in it.
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// `None`: in whichever cloud it is asked for (played ones).
    pub(crate) cloud: Option<Cloud>,
    pub(crate) tenant: String,
    pub(crate) state: String,
    /// By client; `None`: everybody who can log in may do everything (played ones).
    pub(crate) roles: Option<HashMap<String, Role>>,
    /// Clusters have to have this tag.
    pub(crate) required_tag: Option<String>,
    pub(crate) retry_after: Option<u32>,
    pub(crate) holdings: Holdings,
    pub(crate) played: HashMap<Operation, Arc<[Page]>>,
}

impl World {
    /// The seeded world, with what an earlier one has left in place of what was seeded.
    pub(crate) fn new(
        catalog: Catalog,
        clock: Clock,
        times: Times,
        keeper: Option<Keeper>,
        kept: BTreeMap<String, Holdings>,
        kubes: Kubes,
    ) -> Self {
        let mut state = State {
            tenants: HashSet::new(),
            apps: Vec::new(),
            logins: Vec::new(),
            tokens: Tokens::default(),
            subscriptions: HashMap::new(),
            times,
            endings: Endings::default(),
            faults: Faults::default(),
            log: Log::default(),
            page_size: None,
        };
        for account in &catalog.accounts {
            state.add(account, &catalog);
        }
        for (id, holdings) in kept {
            if let Some(subscription) = state.subscriptions.get_mut(&id) {
                subscription.holdings = holdings;
            }
        }
        for subscription in state.subscriptions.values() {
            declare_all(&kubes, &subscription.holdings, &subscription.tenant);
        }
        let (begun, state, skus) = (Notify::new(), Mutex::new(state), Mutex::default());
        let calm = watch::Sender::default();
        // There may be operations of an earlier start to go on with.
        begun.notify_one();
        let kubernetes_address = OnceLock::new();
        Self { clock, catalog, kubes, kubernetes_address, begun, calm, keeper, state, skus }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings everything up to the present, and says whether anything is still under way.
    pub(crate) fn settle(&self, state: &mut State) -> bool {
        let now_ms = self.clock.now_ms();
        let State { subscriptions, times, .. } = state;
        let mut under_way = false;
        for Subscription { holdings, tenant, .. } in subscriptions.values_mut() {
            let changes = holdings.settle(now_ms, times);
            for (group, name) in &changes.changed {
                declare_one(&self.kubes, holdings, tenant, group, name);
            }
            for host in &changes.gone {
                self.kubes.forget(host);
            }
            under_way |= holdings.running().next().is_some();
        }
        under_way
    }

    /// Writes down what requests have changed.
    pub(crate) fn keep(&self, state: &State) {
        let Some(keeper) = &self.keeper else { return };
        let touched = state.subscriptions.iter().filter(|(_, subscription)| subscription.holdings.touched);
        if let Err(error) = keeper.write(touched.map(|(id, subscription)| (id, &subscription.holdings))) {
            tracing::error!(%error, "the state of the sandbox cannot be written down; a restart will not find it");
        }
    }

    /// What `region` (its name) offers; `None` when there is no such physical region.
    pub(crate) fn skus(&self, cloud: Cloud, region: &str) -> Option<Arc<Listing>> {
        let region = self.catalog.region(cloud, region)?;
        let mut known = self.skus.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = known
            .entry(region.name.clone())
            .or_insert_with(|| Arc::new(skus::listing(&self.catalog.families, region)));
        Some(Arc::clone(listing))
    }
}

impl State {
    fn add(&mut self, account: &Account, catalog: &Catalog) {
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
                holdings: stock::seeded(account, catalog),
                played: HashMap::new(),
            });
        if let Some(roles) = &mut subscription.roles {
            roles.insert(account.client_id.clone(), account.role);
        }
    }

    /// The subscription, made in every cloud and in `tenant` if there is none.
    pub(crate) fn subscription_or_new(&mut self, id: &str, tenant: &str) -> &mut Subscription {
        self.subscriptions.entry(id.to_ascii_lowercase()).or_insert_with(|| Subscription {
            id: id.to_owned(),
            display_name: "Sandbox (played)".to_owned(),
            cloud: None,
            tenant: tenant.to_owned(),
            state: "Enabled".to_owned(),
            roles: None,
            required_tag: None,
            retry_after: None,
            holdings: Holdings::default(),
            played: HashMap::new(),
        })
    }
}

impl Tokens {
    pub(crate) fn insert(&mut self, text: String, token: Token) {
        if self.order.len() >= TOKENS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_text.remove(&oldest);
        }
        self.order.push_back(text.clone());
        self.by_text.insert(text, token);
    }

    pub(crate) fn get(&self, text: &str) -> Option<&Token> {
        self.by_text.get(text)
    }

    /// Makes every token unknown, as when keys are replaced.
    pub(crate) fn clear(&mut self) {
        self.by_text.clear();
        self.order.clear();
    }
}
