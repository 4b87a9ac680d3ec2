//! The sources of settings, in order of precedence. `parse.rs` parses the values.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::flags::Flags;
use super::settings::{self, DefaultValue, Secrecy, Setting, most_similar};

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

    /// The text of a setting that always has a value.
    pub(super) fn text(&self, setting: &Setting) -> &str {
        self.get(setting).map_or("", |value| value.text.as_str())
    }

    /// Sets the default of a setting, unless it has a value.
    pub(super) fn set_default(&mut self, setting: &Setting, text: impl FnOnce() -> String) {
        self.0.entry(setting.name).or_insert_with(|| SettingValue { text: text(), origin: Origin::Default });
    }

    /// Parses the value of a setting; `None` if it has no value.
    pub(super) fn read<T>(
        &self,
        setting: &'static Setting,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(setting) else { return Ok(None) };
        parse(&value.text).map(Some).map_err(|expected| ConfigError::Invalid {
            setting: setting.name,
            shown: match setting.secrecy {
                Secrecy::Public => Some(format!("{:?}", value.text)),
                Secrecy::Url | Secrecy::Token => None,
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
                .map_or(0, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()),
            problem: error.message().to_owned(),
        })?;
        for (key, value) in table {
            let setting = settings::ALL.iter().find(|setting| setting.key().as_ref() == Some(&key));
            let Some(setting) = setting else {
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

    /// Reads the value of `setting`, which may be secret, from the file that `file_setting` specifies.
    fn read_secret(
        &mut self,
        setting: &'static Setting,
        file_setting: &'static Setting,
        read_file: ReadFile<'_>,
    ) -> Result<(), ConfigError> {
        let Some(file_value) = self.get(file_setting).cloned() else { return Ok(()) };
        if let Some(direct_value) = self.get(setting) {
            return Err(ConfigError::SetTwice {
                setting: setting.name,
                direct: direct_value.origin.clone(),
                file: file_value.origin,
            });
        }
        let path = PathBuf::from(file_value.text);
        let text = read_text(&path, &file_value.origin, read_file)?;
        // Editors and `echo` append a line break.
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        let origin = Origin::Content { path, named_by: Box::new(file_value.origin) };
        self.0.insert(setting.name, SettingValue { text, origin });
        Ok(())
    }
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
