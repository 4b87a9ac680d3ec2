//! The sources of settings, in order of precedence. `parse.rs` parses the values.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::client::CLIENT_VARIABLES;
use super::error::{ConfigError, Origin, Warning};
use super::flags::Flags;
use super::settings::{self, DefaultValue, Secrecy, Setting, VARIABLE_PREFIX, most_similar};

/// The unparsed value of a setting and its origin.
#[derive(Clone)]
pub(super) struct SettingValue {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// The effective value of every setting that has one.
pub(super) struct Layers(BTreeMap<&'static str, SettingValue>);

/// A function that reads a file, which tests replace.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

impl Layers {
    /// Collects values from flags, environment, file and defaults. An empty variable is treated as unset.
    pub(super) fn collect(
        flags: &Flags,
        env: &BTreeMap<String, String>,
        read_file: ReadFile<'_>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Self(BTreeMap::new());
        for setting in settings::ALL {
            if let Some(value) = from_flag(setting, flags).or_else(|| from_variable(setting, env)) {
                layers.0.insert(setting.name, value);
            }
        }
        if let Some(SettingValue { text, origin }) = layers.get(&settings::CONFIG).cloned() {
            layers.add_file(Path::new(&text), &origin, read_file)?;
        }
        layers.read_secret(&settings::DATABASE_URL, &settings::DATABASE_URL_FILE, read_file)?;
        layers.read_secret(&settings::BOOTSTRAP_TOKEN, &settings::BOOTSTRAP_TOKEN_FILE, read_file)?;
        for setting in settings::ALL {
            if let DefaultValue::Value(text) = setting.default {
                layers.set_default(setting, || text.to_owned());
            }
        }
        Ok(layers)
    }

    /// The value of a setting, if it has one.
    pub(super) fn get(&self, setting: &Setting) -> Option<&SettingValue> {
        self.0.get(setting.name)
    }

    /// The text of a setting that has a default.
    pub(super) fn text(&self, setting: &Setting) -> &str {
        self.get(setting).map_or("", |value| value.text.as_str())
    }

    /// Sets the default of a setting, unless it has a value.
    pub(super) fn set_default(&mut self, setting: &Setting, text: impl FnOnce() -> String) {
        self.0.entry(setting.name).or_insert_with(|| SettingValue { text: text(), origin: Origin::Default });
    }

    /// Parses the value of a setting that has one.
    pub(super) fn read<T>(
        &self,
        setting: &'static Setting,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(setting) else { return Ok(None) };
        parse(&value.text).map(Some).map_err(|expected| ConfigError::Invalid {
            setting: setting.name,
            shown: match setting.secrecy {
                Secrecy::Public => format!("{:?}", value.text),
                Secrecy::Url | Secrecy::Token => "what it is set to".to_owned(),
            },
            origin: value.origin.clone(),
            expected,
        })
    }

    fn add_file(&mut self, path: &Path, origin: &Origin, read_file: ReadFile<'_>) -> Result<(), ConfigError> {
        let text = read_text(path, origin, read_file)?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: 1 + error
                .span()
                .map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count()),
            problem: error.message().to_owned(),
        })?;
        for (key, value) in table {
            let known = settings::ALL.iter().find(|setting| setting.key().as_ref() == Some(&key));
            let Some(setting) = known else {
                let suggestion = most_similar(&key, settings::ALL.iter().filter_map(|setting| setting.key()));
                return Err(ConfigError::UnknownKey { key, path: path.to_owned(), suggestion });
            };
            let kind = value.type_str();
            let Some(text) = toml_to_text(value) else {
                return Err(ConfigError::Kind { key, path: path.to_owned(), kind });
            };
            let origin = Origin::File { key, path: path.to_owned() };
            self.0.entry(setting.name).or_insert(SettingValue { text, origin });
        }
        Ok(())
    }

    /// Reads a secret from the file that the setting `file` specifies.
    fn read_secret(
        &mut self,
        direct: &'static Setting,
        file: &'static Setting,
        read_file: ReadFile<'_>,
    ) -> Result<(), ConfigError> {
        let Some(file_setting) = self.get(file).cloned() else { return Ok(()) };
        if let Some(value) = self.get(direct) {
            return Err(ConfigError::SetTwice {
                setting: direct.name,
                direct: value.origin.clone(),
                file: file_setting.origin,
            });
        }
        let path = PathBuf::from(file_setting.text);
        let text = read_text(&path, &file_setting.origin, read_file)?;
        // Editors and `echo` append a line break.
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        let origin = Origin::Content { path, named_by: Box::new(file_setting.origin) };
        self.0.insert(direct.name, SettingValue { text, origin });
        Ok(())
    }
}

/// The variables with our prefix that the agent reads.
const AGENT_VARIABLES: [&str; 1] = ["NORMAN_AKS_API_SERVER"];

/// Warnings about variables with our prefix that no setting reads.
pub fn unknown_variables(env: &BTreeMap<String, String>) -> Vec<Warning> {
    let known: Vec<_> = settings::ALL.iter().map(|setting| setting.variable()).collect();
    // The common prefix would make all names similar.
    let without_prefix = |name: &str| name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_owned();
    let suggest =
        |name: &str| most_similar(&without_prefix(name), known.iter().map(|known| without_prefix(known)));
    env.iter()
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) && !known.contains(name))
        .filter(|(name, _)| !AGENT_VARIABLES.contains(&name.as_str()))
        .filter(|(name, _)| !CLIENT_VARIABLES.contains(&name.as_str()))
        .filter(|(name, value)| !is_injected(name, value))
        .map(|(name, _)| Warning::UnknownVariable {
            name: name.clone(),
            suggestion: suggest(name).map(|suggestion| format!("{VARIABLE_PREFIX}{suggestion}")),
        })
        .collect()
}

/// Whether Kubernetes (or a Docker link) set this variable for a Service whose name starts with ours:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT[_NAME]`, `…_PORT=tcp://…`, `…_PORT_8080_TCP[_ADDR|_PORT|_PROTO]`.
fn is_injected(name: &str, value: &str) -> bool {
    // The rest starts with an underscore, for the Service `norman-aks` and for others such as `norman-aks-metrics`.
    let Some(rest) = name.strip_prefix(VARIABLE_PREFIX.trim_end_matches('_')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if rest.ends_with("_SERVICE_HOST") {
        return true;
    }
    if rest.ends_with("_SERVICE_PORT") || rest.contains("_SERVICE_PORT_") {
        return is_number(value);
    }
    if rest.ends_with("_PORT") && is_link {
        return true;
    }
    rest.match_indices("_PORT_").any(|(at, found)| {
        let mut words = rest.get(at + found.len()..).unwrap_or_default().split('_');
        words.next().is_some_and(is_number)
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(words.next(), None | Some("ADDR" | "PORT" | "PROTO"))
            && words.next().is_none()
    })
}

fn from_flag(setting: &Setting, flags: &Flags) -> Option<SettingValue> {
    let text = flags.get(setting)?.to_owned();
    Some(SettingValue { text, origin: Origin::Flag(setting.flag()?) })
}

fn from_variable(setting: &Setting, env: &BTreeMap<String, String>) -> Option<SettingValue> {
    let name = setting.variable();
    let text = env.get(&name).filter(|text| !text.is_empty())?.clone();
    Some(SettingValue { text, origin: Origin::Variable(name) })
}

fn read_text(path: &Path, origin: &Origin, read_file: ReadFile<'_>) -> Result<String, ConfigError> {
    read_file(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        origin: origin.clone(),
        source,
    })
}

/// Converts a TOML value to the text that a flag would have.
fn toml_to_text(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(boolean) => Some(boolean.to_string()),
        toml::Value::Array(entries) => {
            let texts: Option<Vec<_>> = entries.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injected_variables_are_recognized() {
        for (name, value, injected) in [
            ("NORMAN_AKS_PORT", "tcp://10.0.0.1:8080", true),
            ("NORMAN_AKS_PORT", "8080", false),
            ("NORMAN_AKS_SERVICE_HOST", "10.0.0.1", true),
            ("NORMAN_AKS_SERVICE_PORT", "8080", true),
            ("NORMAN_AKS_SERVICE_PORT_HTTP", "8080", true),
            ("NORMAN_AKS_SERVICE_PORT_HTTP", "x", false),
            ("NORMAN_AKS_PORT_8080_TCP", "tcp://10.0.0.1:8080", true),
            ("NORMAN_AKS_PORT_8080_TCP_ADDR", "10.0.0.1", true),
            ("NORMAN_AKS_PORT_8080_TCP_PORT", "8080", true),
            ("NORMAN_AKS_PORT_8080_TCP_PROTO", "tcp", true),
            ("NORMAN_AKS_PORT_8080_TCP_OTHER", "x", false),
            ("NORMAN_AKS_PORT_LISTEN", "x", false),
            ("NORMAN_AKS_METRICS_SERVICE_HOST", "10.0.0.1", true),
            ("NORMAN_AKS_METRICS_PORT", "udp://10.0.0.1:9090", true),
            ("NORMAN_AKS_METRICS_PORT_9090_UDP", "udp://10.0.0.1:9090", true),
            ("NORMAN_AKS_LISTEN_PORT", "8080", false),
            ("NORMAN_AKS_LISTENS", "x", false),
        ] {
            assert_eq!(is_injected(name, value), injected, "{name}={value}");
        }
    }

    #[test]
    fn no_setting_looks_injected() {
        for setting in settings::ALL {
            for value in ["tcp://10.0.0.1:8080", "8080"] {
                assert!(!is_injected(&setting.variable(), value), "{}", setting.name);
            }
        }
    }
}
