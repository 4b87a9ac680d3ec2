//! Named settings that administrators may change while the server runs, as Rancher's `/v3/settings`. What is chosen at
//! the start (flags, environment, file) is `config`; such a choice can fix a setting here.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use url::Url;

use super::{Error, Invalid, Result};
use crate::clock::Clock;
use crate::store::{self, SettingRow, Store};

/// How long values are taken from memory; a change made by another server shows after this time.
const REMEMBERED_MS: i64 = 2_000;

/// The longest value, in bytes.
const LONGEST_VALUE: usize = 64 * 1024;

/// What is known about a setting beside its value.
struct Definition {
    name: &'static str,
    default: &'static str,
    change: Change,
}

/// Who may change a setting, and to what.
#[derive(Clone, Copy)]
enum Change {
    /// Nobody: the program says what it is.
    Never,
    /// To nothing, or to an absolute http or https address without query and fragment.
    Address,
    /// To any text.
    Text,
}

const DEFINITIONS: [Definition; 5] = [
    Definition { name: "cacerts", default: "", change: Change::Text },
    Definition { name: "install-uuid", default: "", change: Change::Never },
    Definition { name: "kev2-operators", default: "", change: Change::Text },
    Definition { name: "server-url", default: "", change: Change::Address },
    Definition { name: "server-version", default: env!("CARGO_PKG_VERSION"), change: Change::Never },
];

/// A setting as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `server-url` and so on.
    pub name: &'static str,
    /// What holds now.
    pub value: String,
    /// What holds when nobody sets it.
    pub default: &'static str,
    /// Whether somebody set it.
    pub customized: bool,
    /// Whether it cannot be changed here: fixed at the start, or not ours to choose.
    pub read_only: bool,
    /// When it was set, in milliseconds since 1970.
    pub updated_ms: Option<i64>,
}

/// All settings of an installation. Clones share the memory.
#[derive(Clone)]
pub struct Settings {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    clock: Clock,
    fixed: BTreeMap<&'static str, String>,
    known: ArcSwapOption<Known>,
}

struct Known {
    read_ms: i64,
    rows: BTreeMap<String, SettingRow>,
}

impl Settings {
    /// `fixed` are values chosen at the start, by name; names that are no setting do not count.
    pub fn new(store: Store, clock: Clock, fixed: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut by_name = BTreeMap::new();
        for (name, value) in fixed {
            if let Some(definition) = DEFINITIONS.iter().find(|definition| definition.name == name) {
                by_name.insert(definition.name, value);
            }
        }
        Self { parts: Arc::new(Parts { store, clock, fixed: by_name, known: ArcSwapOption::empty() }) }
    }

    /// The value of a setting; empty for a name that is none. When the database cannot be asked, the last known value,
    /// else the default: a setting must not take the server down.
    pub async fn value(&self, name: &str) -> String {
        let known = match self.known().await {
            Ok(known) => Some(known),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    setting = name,
                    error,
                    "the setting cannot be read; the last known value holds"
                );
                self.parts.known.load_full()
            }
        };
        let rows = known.as_ref().map(|known| &known.rows);
        definition(name).map(|definition| self.setting(definition, rows).value).unwrap_or_default()
    }

    /// A setting as it stands.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a name that is none.
    pub async fn get(&self, name: &str) -> Result<Setting> {
        let definition = definition(name).ok_or_else(|| Error::NotFound { id: name.to_owned() })?;
        Ok(self.setting(definition, Some(&self.known().await?.rows)))
    }

    /// All settings, by name.
    pub async fn list(&self) -> Result<Vec<Setting>> {
        let known = self.known().await?;
        Ok(DEFINITIONS.iter().map(|definition| self.setting(definition, Some(&known.rows))).collect())
    }

    /// Sets a value.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a name that is none, [`Error::Forbidden`] for one that cannot be changed,
    /// [`Error::Invalid`] for a value that it cannot have.
    pub async fn set(&self, name: &str, value: &str) -> Result<Setting> {
        let definition = self.changeable(name)?;
        check(definition, value)?;
        let row = SettingRow {
            name: name.to_owned(),
            value: value.to_owned(),
            updated_ms: self.parts.clock.now_ms(),
        };
        store::settings::put(&self.parts.store, &row).await?;
        self.parts.known.store(None);
        self.get(name).await
    }

    /// Back to the default.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub async fn reset(&self, name: &str) -> Result<Setting> {
        self.changeable(name)?;
        store::settings::delete(&self.parts.store, name).await?;
        self.parts.known.store(None);
        self.get(name).await
    }

    fn changeable(&self, name: &str) -> Result<&'static Definition> {
        let definition = definition(name).ok_or_else(|| Error::NotFound { id: name.to_owned() })?;
        if matches!(definition.change, Change::Never) {
            return Err(Error::Forbidden(format!("the setting {name} cannot be changed")));
        }
        if self.parts.fixed.contains_key(name) {
            let reason = format!("the setting {name} was fixed when the server was started");
            return Err(Error::Forbidden(reason));
        }
        Ok(definition)
    }

    fn setting(&self, definition: &Definition, rows: Option<&BTreeMap<String, SettingRow>>) -> Setting {
        let fixed = self.parts.fixed.get(definition.name);
        let row = rows.and_then(|rows| rows.get(definition.name)).filter(|_| fixed.is_none());
        let value = fixed.or(row.map(|row| &row.value));
        Setting {
            name: definition.name,
            value: value.cloned().unwrap_or_else(|| definition.default.to_owned()),
            default: definition.default,
            customized: row.is_some(),
            read_only: fixed.is_some() || matches!(definition.change, Change::Never),
            updated_ms: row.map(|row| row.updated_ms),
        }
    }

    async fn known(&self) -> Result<Arc<Known>> {
        let now_ms = self.parts.clock.now_ms();
        if let Some(known) = self.parts.known.load_full()
            && (0..REMEMBERED_MS).contains(&(now_ms - known.read_ms))
        {
            return Ok(known);
        }
        let rows = store::settings::list(&self.parts.store).await?;
        let rows = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        let known = Arc::new(Known { read_ms: now_ms, rows });
        self.parts.known.store(Some(Arc::clone(&known)));
        Ok(known)
    }
}

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

fn check(definition: &Definition, value: &str) -> Result<()> {
    let refuse = |message: &str| Err(Invalid::field("InvalidFormat", "value", message).into());
    if value.len() > LONGEST_VALUE || value.contains('\0') {
        return refuse("a value has at most 65536 bytes and no NUL");
    }
    let address = Url::parse(value).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if matches!(definition.change, Change::Address) && !value.is_empty() && address.is_none() {
        return refuse(
            "it must be an address such as https://aks.example.org, without user, query or fragment",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn bench() -> (Store, Clock, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("folder");
        let url = store::sqlite_url(&folder.path().join("aks.db"));
        let store = Store::connect(&url, &store::Options::default()).await.expect("open");
        store.migrate().await.expect("migrate");
        (store, Clock::manual(1_000_000), folder)
    }

    #[tokio::test]
    async fn a_setting_has_its_default_until_somebody_sets_it() {
        let (store, clock, _folder) = bench().await;
        let settings = Settings::new(store, clock, []);
        let before = settings.get("server-url").await.expect("get");
        assert_eq!((before.value.as_str(), before.customized, before.updated_ms), ("", false, None));
        let after = settings.set("server-url", "https://aks.example.org").await.expect("set");
        assert_eq!(settings.get("server-url").await.expect("get"), after);
        assert_eq!(settings.value("server-url").await, "https://aks.example.org");
        assert!(after.customized && !after.read_only && after.updated_ms == Some(1_000_000));
        assert_eq!(settings.reset("server-url").await.expect("reset"), before);
        assert_eq!(settings.value("server-version").await, env!("CARGO_PKG_VERSION"));
        let names: Vec<_> = settings.list().await.expect("list").iter().map(|setting| setting.name).collect();
        assert_eq!(names, ["cacerts", "install-uuid", "kev2-operators", "server-url", "server-version"]);
    }

    #[tokio::test]
    async fn what_the_start_fixed_holds_and_cannot_be_changed() {
        let (store, clock, _folder) = bench().await;
        let other = Settings::new(store.clone(), clock.clone(), []);
        other.set("server-url", "https://stored.example.org").await.expect("set");
        let fixed = [("server-url", "https://fixed.example.org"), ("install-uuid", "id"), ("nonsense", "x")];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::new(store, clock, fixed);
        let setting = settings.get("server-url").await.expect("get");
        assert!(setting.read_only && !setting.customized);
        assert_eq!(setting.value, "https://fixed.example.org");
        assert_eq!(settings.value("install-uuid").await, "id");
        for name in ["server-url", "install-uuid", "server-version"] {
            assert!(matches!(settings.set(name, "").await, Err(Error::Forbidden(_))), "{name}");
            assert!(matches!(settings.reset(name).await, Err(Error::Forbidden(_))), "{name}");
        }
        for outcome in [settings.get("nonsense").await, settings.set("nonsense", "").await] {
            assert!(matches!(outcome, Err(Error::NotFound { .. })));
        }
    }

    #[tokio::test]
    async fn a_change_by_another_server_shows_within_two_seconds() {
        let (store, clock, _folder) = bench().await;
        let (one, two) = (
            Settings::new(store.clone(), clock.clone(), []),
            Settings::new(store.clone(), clock.clone(), []),
        );
        assert_eq!(two.value("cacerts").await, "");
        one.set("cacerts", "pem").await.expect("set");
        clock.advance(Duration::from_secs(2));
        assert_eq!(two.value("cacerts").await, "pem");
        store.close().await;
        clock.advance(Duration::from_secs(2));
        assert_eq!(two.value("cacerts").await, "pem", "the last known value, without a database");
        assert!(two.get("cacerts").await.is_err());
    }

    #[tokio::test]
    async fn only_an_address_can_be_the_servers_address() {
        let (store, clock, _folder) = bench().await;
        let settings = Settings::new(store, clock, []);
        for good in ["", "https://aks.example.org", "http://10.0.0.1:8080/prefix"] {
            settings.set("server-url", good).await.expect(good);
        }
        for bad in
            ["aks.example.org", "ftp://x", "https://", "https://u:p@x", "https://x?a", "https://x#a", "x\0"]
        {
            assert!(matches!(settings.set("server-url", bad).await, Err(Error::Invalid(_))), "{bad}");
        }
    }
}
