//! Named settings that administrators may change while the server runs, as Rancher's `/v3/settings`. The startup options
//! (flags, environment, file) are in `config`; they can fix a setting.

mod definitions;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use clock::Clock;

use self::definitions::{DEFINITIONS, Definition, definition};
use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::error::{AdministratorTask, ForbiddenReason};
use super::{Error, Result};
use crate::store::{self, SettingRow, Store};

/// The TTL of cached values: a change by another server takes effect after at most this time.
const CACHE_TTL_MS: i64 = 2_000;

/// The type of object in the audit log.
const OBJECT_TYPE: &str = "setting";

/// The interval at which clusters are refreshed, in seconds.
const AKS_REFRESH: &str = "aks-refresh";

/// A setting with its current value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `server-url` and so on.
    pub name: &'static str,
    /// The current value.
    pub value: String,
    /// The default.
    pub default: String,
    /// Whether an administrator set the value.
    pub customized: bool,
    /// The source of the value.
    pub source: Source,
    /// Whether the setting cannot be changed.
    pub read_only: bool,
    /// The time at which the value was set, in milliseconds since 1970.
    pub updated_ms: Option<i64>,
}

/// The source of the value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default.
    Default,
    /// An administrator set it.
    Database,
    /// A startup option.
    Start,
}

/// All settings of an installation. Clones share the cache.
#[derive(Clone)]
pub struct Settings {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    audit_log: AuditLog,
    clock: Clock,
    /// Values from startup options.
    fixed: BTreeMap<&'static str, String>,
    /// Defaults that are decided at startup.
    defaults: RwLock<BTreeMap<&'static str, String>>,
    cache: ArcSwapOption<CachedRows>,
}

struct CachedRows {
    read_ms: i64,
    rows: BTreeMap<String, SettingRow>,
}

impl Settings {
    /// The settings of this database. `fixed` are values from startup options, by name; unknown names are ignored.
    pub fn new(
        store: Store,
        audit_log: AuditLog,
        clock: Clock,
        fixed: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut fixed_by_name = BTreeMap::new();
        for (name, value) in fixed {
            if let Some(definition) = DEFINITIONS.iter().find(|definition| definition.name == name) {
                fixed_by_name.insert(definition.name, value);
            }
        }
        let (defaults, cache) = (RwLock::default(), ArcSwapOption::empty());
        Self { inner: Arc::new(Inner { store, audit_log, clock, fixed: fixed_by_name, defaults, cache }) }
    }

    /// Sets a default that is decided at startup; unknown names are ignored.
    pub fn set_default(&self, name: &str, value: String) {
        if let Some(definition) = definition(name) {
            let mut defaults = self.inner.defaults.write().unwrap_or_else(PoisonError::into_inner);
            defaults.insert(definition.name, value);
        }
    }

    /// The value of a setting; empty for an unknown name. If the database fails, the last cached value or the default is
    /// used, so that a setting never takes the server down.
    pub async fn value(&self, name: &str) -> String {
        let cached = match self.cached_rows().await {
            Ok(cached) => Some(cached),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(setting = name, error, "cannot read setting; using its last known value");
                self.inner.cache.load_full()
            }
        };
        let rows = cached.as_ref().map(|cached| &cached.rows);
        definition(name).map(|definition| self.setting(definition, rows).value).unwrap_or_default()
    }

    /// A setting with its current value.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown name.
    pub async fn get(&self, name: &str) -> Result<Setting> {
        let definition = definition(name).ok_or_else(|| Error::NotFound { id: name.to_owned() })?;
        Ok(self.setting(definition, Some(&self.cached_rows().await?.rows)))
    }

    /// All settings, by name.
    pub async fn list(&self) -> Result<Vec<Setting>> {
        let cached = self.cached_rows().await?;
        Ok(DEFINITIONS.iter().map(|definition| self.setting(definition, Some(&cached.rows))).collect())
    }

    /// Sets a value on behalf of an administrator; an empty one restores the default.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown name, [`Error::Forbidden`] for a setting that cannot be changed, and for callers who
    /// are not administrators, [`Error::Invalid`] for an invalid value.
    pub async fn change(&self, by: &Actor, name: &str, value: &str) -> Result<Setting> {
        let result = if by.caller.admin {
            self.set_value(by, name, value).await
        } else {
            // The error for an unknown setting is `NotFound`, because everyone may read settings.
            self.get(name).await.and_then(|_| Err(AdministratorTask::Settings.into()))
        };
        self.inner.audit_log.record_failure(by, Action::Update, OBJECT_TYPE, name, result).await
    }

    async fn set_value(&self, by: &Actor, name: &str, value: &str) -> Result<Setting> {
        let definition = definition(name).ok_or_else(|| Error::NotFound { id: name.to_owned() })?;
        let (store, now_ms) = (&self.inner.store, self.inner.clock.now_ms());
        let audit = by.audit(Action::Update, OBJECT_TYPE, name, now_ms);
        if let Some(reason) = self.fixed_reason(definition) {
            // Terraform resets a setting before removing it from the state. An error would block every later apply and destroy.
            let setting = self.get(name).await?;
            if value.is_empty() || value == setting.value {
                store::audit::insert(store, &audit).await?;
                return Ok(setting);
            }
            return Err(Error::Forbidden(reason));
        }
        definition.check(value)?;
        if !value.is_empty() {
            let row = SettingRow { name: name.to_owned(), value: value.to_owned(), updated_ms: now_ms };
            store::settings::put(store, &row, &audit).await?;
        } else if !store::settings::delete(store, name, &audit).await? {
            store::audit::insert(store, &audit).await?;
        }
        self.inner.cache.store(None);
        let setting = self.get(name).await?;
        if name == AKS_REFRESH {
            // Scheduled runs use the old interval: those after `latest_ms` are moved back to it, so that they run earlier.
            let interval_ms = setting.value.parse::<i64>().unwrap_or_default().saturating_mul(1_000);
            let latest_ms = self.inner.clock.now_ms().saturating_add(interval_ms);
            store::clusters::wake_all(&self.inner.store, latest_ms).await?;
        }
        Ok(setting)
    }

    /// The reason why a setting cannot be changed; `None` if it can.
    fn fixed_reason(&self, definition: &Definition) -> Option<ForbiddenReason> {
        let name = definition.name;
        if !definition.is_changeable() {
            return Some(ForbiddenReason::FixedSetting { name });
        }
        self.inner.fixed.contains_key(name).then_some(ForbiddenReason::SettingFixedAtStart { name })
    }

    fn setting(&self, definition: &Definition, rows: Option<&BTreeMap<String, SettingRow>>) -> Setting {
        let fixed = self.inner.fixed.get(definition.name);
        let row = rows.and_then(|rows| rows.get(definition.name)).filter(|_| fixed.is_none());
        let default = {
            let defaults = self.inner.defaults.read().unwrap_or_else(PoisonError::into_inner);
            defaults.get(definition.name).cloned().unwrap_or_else(|| definition.default.to_owned())
        };
        let value = fixed.or(row.map(|row| &row.value));
        Setting {
            name: definition.name,
            value: value.unwrap_or(&default).clone(),
            default,
            customized: row.is_some(),
            source: match (fixed, row) {
                (Some(_), _) => Source::Start,
                (None, Some(_)) => Source::Database,
                (None, None) => Source::Default,
            },
            read_only: fixed.is_some() || !definition.is_changeable(),
            updated_ms: row.map(|row| row.updated_ms),
        }
    }

    async fn cached_rows(&self) -> Result<Arc<CachedRows>> {
        let now_ms = self.inner.clock.now_ms();
        if let Some(cached) = self.inner.cache.load_full()
            && (0..CACHE_TTL_MS).contains(&(now_ms - cached.read_ms))
        {
            return Ok(cached);
        }
        let rows = store::settings::list(&self.inner.store).await?;
        let rows = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        let cached = Arc::new(CachedRows { read_ms: now_ms, rows });
        self.inner.cache.store(Some(Arc::clone(&cached)));
        Ok(cached)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::audit;
    use super::*;

    struct TestContext {
        store: Store,
        audit_log: AuditLog,
        clock: Clock,
        _directory: tempfile::TempDir,
    }

    impl TestContext {
        fn settings(&self, fixed: &[(&str, &str)]) -> Settings {
            let fixed: Vec<_> =
                fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Settings::new(self.store.clone(), self.audit_log.clone(), self.clock.clone(), fixed)
        }
    }

    fn server_actor() -> Actor {
        Actor::server()
    }

    async fn context() -> TestContext {
        let directory = tempfile::tempdir().expect("directory");
        let url = store::sqlite_url(&directory.path().join("aks.db"));
        let store = Store::connect(&url, &store::Options::default()).await.expect("open");
        store.migrate().await.expect("migrate");
        let clock = Clock::manual(1_000_000);
        let audit_log = AuditLog::start(store.clone(), clock.clone(), &audit::Options::default());
        TestContext { store, audit_log, clock, _directory: directory }
    }

    #[tokio::test]
    async fn startup_default_applies_until_a_value_is_set() {
        let context = context().await;
        let settings = context.settings(&[]);
        settings.set_default("agent-image", "norman-aks:1".to_owned());
        let before = settings.get("agent-image").await.expect("get");
        assert_eq!((before.value.as_str(), before.default.as_str()), ("norman-aks:1", "norman-aks:1"));
        assert_eq!((before.source, before.customized), (Source::Default, false));
        settings.set_value(&server_actor(), "agent-image", "mine/agent:2").await.expect("set");
        assert_eq!(settings.value("agent-image").await, "mine/agent:2");
        assert_eq!(settings.set_value(&server_actor(), "agent-image", "").await.expect("reset"), before);
    }

    #[tokio::test]
    async fn setting_fixed_at_start_cannot_be_changed() {
        let context = context().await;
        context
            .settings(&[])
            .set_value(&server_actor(), "server-url", "https://stored.example.org")
            .await
            .expect("set");
        let settings = context.settings(&[
            ("server-url", "https://fixed.example.org"),
            ("install-uuid", "id"),
            ("nonsense", "x"),
        ]);
        let setting = settings.get("server-url").await.expect("get");
        assert!(setting.read_only && !setting.customized && setting.source == Source::Start);
        assert_eq!(setting.value, "https://fixed.example.org");
        assert_eq!(settings.value("install-uuid").await, "id");
        for name in ["server-url", "install-uuid", "server-version"] {
            assert!(
                matches!(settings.set_value(&server_actor(), name, "other").await, Err(Error::Forbidden(_))),
                "{name}"
            );
            // Terraform resets a setting before removing it from the state.
            let reset = settings.set_value(&server_actor(), name, "").await.expect("reset");
            assert_eq!(reset.value, settings.value(name).await, "{name}");
        }
        for outcome in
            [settings.get("nonsense").await, settings.set_value(&server_actor(), "nonsense", "").await]
        {
            assert!(matches!(outcome, Err(Error::NotFound { .. })));
        }
    }

    #[tokio::test]
    async fn change_by_another_server_takes_effect_within_two_seconds() {
        const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let context = context().await;
        let (first, second) = (context.settings(&[]), context.settings(&[]));
        assert_eq!(second.value("cacerts").await, "");
        first.set_value(&server_actor(), "cacerts", PEM).await.expect("set");
        context.clock.advance(Duration::from_secs(2));
        assert_eq!(second.value("cacerts").await, PEM);
        context.store.close().await;
        context.clock.advance(Duration::from_secs(2));
        assert_eq!(second.value("cacerts").await, PEM, "the last cached value, without a database");
        assert!(second.get("cacerts").await.is_err());
    }
}
