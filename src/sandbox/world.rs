//! What the sandbox remembers: directories, tokens, subscriptions, faults, played pages, seen requests. One
//! lock over all of it; nothing waits while it is held.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::value::RawValue;

use super::clouds::Cloud;
use super::data::Catalog;
use super::faults::Faults;
use super::kube::Kubes;
use super::log::Log;
use super::play::{Login, Operation, Page};
use super::seed::Account;
use super::skus::{self, Listing};
use crate::clock::Clock;

/// Tokens that are remembered, expired ones included; the oldest is forgotten first.
const TOKENS: usize = 20_000;

/// The whole sandbox.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) catalog: Catalog,
    pub(super) kubes: Kubes,
    /// Where they are served, once they are.
    pub(super) kubernetes_address: OnceLock<SocketAddr>,
    state: Mutex<State>,
    /// Made when a region is first asked for.
    skus: Mutex<HashMap<String, Arc<Listing>>>,
}

/// What requests and the control API change.
pub(super) struct State {
    pub(super) tenants: HashSet<(Cloud, String)>,
    pub(super) apps: Vec<App>,
    /// What [`super::Control::login`] added; asked before `apps`.
    pub(super) logins: Vec<Login>,
    pub(super) tokens: Tokens,
    /// By id in lower case.
    pub(super) subscriptions: HashMap<String, Subscription>,
    pub(super) faults: Faults,
    pub(super) log: Log,
    /// Items on one page of a list; all of them when unset.
    pub(super) page_size: Option<usize>,
}

/// An application of a directory.
pub(super) struct App {
    pub(super) cloud: Cloud,
    pub(super) tenant: String,
    pub(super) client_id: String,
    pub(super) name: String,
    pub(super) secrets: Vec<String>,
    pub(super) expired_secrets: Vec<String>,
    pub(super) disabled: bool,
    pub(super) retry_after: Option<u32>,
}

/// What an access token stands for.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) cloud: Cloud,
    pub(super) tenant: String,
    pub(super) client_id: String,
    pub(super) audience: Audience,
    pub(super) expires_ms: i64,
}

/// For whom an access token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Azure Resource Manager.
    Management,
    /// The application of that id.
    Application(String),
}

#[derive(Default)]
pub(super) struct Tokens {
    by_text: HashMap<String, Token>,
    order: VecDeque<String>,
}

/// A subscription and what is in it.
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) display_name: String,
    /// `None`: in whichever cloud it is asked for (played ones).
    pub(super) cloud: Option<Cloud>,
    pub(super) tenant: String,
    pub(super) state: String,
    /// Clients with a role; `None`: everybody who can log in (played ones).
    pub(super) readers: Option<HashSet<String>>,
    pub(super) unregistered: Vec<String>,
    pub(super) retry_after: Option<u32>,
    pub(super) networks: Vec<Resource>,
    pub(super) clusters: Vec<Resource>,
    pub(super) played: HashMap<Operation, Arc<[Page]>>,
}

/// Something in a resource group, as the JSON that Azure answers with.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) text: String,
}

impl World {
    pub(super) fn new(catalog: Catalog, clock: Clock, kubes: Kubes) -> Self {
        let mut state = State {
            tenants: HashSet::new(),
            apps: Vec::new(),
            logins: Vec::new(),
            tokens: Tokens::default(),
            subscriptions: HashMap::new(),
            faults: Faults::default(),
            log: Log::default(),
            page_size: None,
        };
        for account in &catalog.accounts {
            state.add(account, &catalog);
        }
        let kubernetes_address = OnceLock::new();
        Self { clock, catalog, kubes, kubernetes_address, state: Mutex::new(state), skus: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `region` (its name) offers; `None` when there is no such physical region.
    pub(super) fn skus(&self, cloud: Cloud, region: &str) -> Option<Arc<Listing>> {
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
        let subscription =
            self.subscriptions.entry(account.subscription_id.to_ascii_lowercase()).or_insert_with(|| {
                let all = if account.resources {
                    (&*catalog.networks, &*catalog.clusters)
                } else {
                    (&[][..], &[][..])
                };
                Subscription {
                    id: account.subscription_id.clone(),
                    display_name: format!("Sandbox ({})", account.name),
                    cloud: Some(cloud),
                    tenant: account.tenant_id.clone(),
                    state: account.subscription_state.clone(),
                    readers: Some(HashSet::new()),
                    unregistered: account.unregistered.clone(),
                    retry_after: account.retry_after,
                    networks: all.0.iter().filter_map(|text| resource(text, account)).collect(),
                    clusters: all.1.iter().filter_map(|text| resource(text, account)).collect(),
                    played: HashMap::new(),
                }
            });
        if let Some(readers) = subscription.readers.as_mut().filter(|_| account.role) {
            readers.insert(account.client_id.clone());
        }
    }

    /// The subscription, made in every cloud and in `tenant` if there is none.
    pub(super) fn subscription_or_new(&mut self, id: &str, tenant: &str) -> &mut Subscription {
        self.subscriptions.entry(id.to_ascii_lowercase()).or_insert_with(|| Subscription {
            id: id.to_owned(),
            display_name: "Sandbox (played)".to_owned(),
            cloud: None,
            tenant: tenant.to_owned(),
            state: "Enabled".to_owned(),
            readers: None,
            unregistered: Vec::new(),
            retry_after: None,
            networks: Vec::new(),
            clusters: Vec::new(),
            played: HashMap::new(),
        })
    }
}

impl Tokens {
    pub(super) fn insert(&mut self, text: String, token: Token) {
        if self.order.len() >= TOKENS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_text.remove(&oldest);
        }
        self.order.push_back(text.clone());
        self.by_text.insert(text, token);
    }

    pub(super) fn get(&self, text: &str) -> Option<&Token> {
        self.by_text.get(text)
    }

    /// Makes every token unknown, as when keys are replaced.
    pub(super) fn clear(&mut self) {
        self.by_text.clear();
        self.order.clear();
    }
}

/// Fills in a template; group and name are taken from its id.
fn resource(template: &RawValue, account: &Account) -> Option<Resource> {
    #[derive(serde::Deserialize)]
    struct Id {
        id: String,
        name: String,
    }
    let (here, elsewhere) = match account.environment {
        Cloud::Public => ("eastus", "westeurope"),
        Cloud::China => ("chinanorth3", "chinaeast2"),
        Cloud::UsGovernment => ("usgovvirginia", "usgovarizona"),
    };
    let text = template
        .get()
        .replace("{subscription}", &account.subscription_id)
        .replace("{tenant}", &account.tenant_id)
        .replace("{location}", here)
        .replace("{other_location}", elsewhere);
    let Id { id, name } = serde_json::from_str(&text).ok()?;
    let group = id.split('/').nth(4)?.to_owned();
    Some(Resource { group, name, text })
}
