//! Settings as text: the effective values for `check`, and the table of all settings for docs/settings.md.

use std::collections::BTreeMap;

use url::Url;

use super::error::Origin;
use super::layers::Layers;
use super::settings::{self, Secrecy, Section, Setting};

/// An effective setting, or a variable that a library reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    pub name: String,
    pub value: String,
    pub origin: Origin,
}

/// The variables that libraries read.
const LIBRARY_VARIABLES: [&str; 9] = [
    "RUST_LOG",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

const MASK: &str = "****";

pub(super) fn effective_settings(
    layers: &Layers,
    env: &BTreeMap<String, String>,
    sandbox: bool,
) -> Vec<EffectiveSetting> {
    let settings = settings::ALL.iter().filter(|setting| sandbox || setting.section != Section::Sandbox);
    let library_variables = LIBRARY_VARIABLES.into_iter().filter_map(|name| {
        let value = mask_url(env.get(name).filter(|value| !value.is_empty())?);
        Some(EffectiveSetting { name: name.to_owned(), value, origin: Origin::Variable(name.to_owned()) })
    });
    settings.map(|setting| effective_setting(setting, layers)).chain(library_variables).collect()
}

fn effective_setting(setting: &Setting, layers: &Layers) -> EffectiveSetting {
    let name = setting.name.to_owned();
    let Some(configured) = layers.get(setting) else {
        return EffectiveSetting {
            name,
            value: setting.default.as_str().to_owned(),
            origin: Origin::Default,
        };
    };
    let value = match setting.secrecy {
        Secrecy::Public => configured.text.clone(),
        Secrecy::Url => mask_url(&configured.text),
        Secrecy::Token => configured
            .text
            .split_once(':')
            .map_or_else(|| MASK.to_owned(), |(public, _)| format!("{public}:{MASK}")),
    };
    EffectiveSetting { name, value, origin: configured.origin.clone() }
}

/// Masks the passwords of a URL, including those in its query. Text that is not a URL is masked entirely if it contains `@`.
pub(super) fn mask_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return if text.contains('@') { MASK.to_owned() } else { text.to_owned() };
    };
    let mut is_masked = false;
    if url.password().is_some() {
        if url.set_password(Some(MASK)).is_err() {
            return MASK.to_owned();
        }
        is_masked = true;
    }
    let is_secret = |key: &str| key.to_ascii_lowercase().contains("password");
    if url.query_pairs().any(|(key, _)| is_secret(&key)) {
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(pairs.iter().map(|(key, value)| (key, if is_secret(key) { MASK } else { value })));
        is_masked = true;
    }
    // The text of a URL without secrets is returned unchanged, because `Url` would encode `sqlite:./a b.db`.
    if is_masked { url.into() } else { text.to_owned() }
}

/// The table of all settings in docs/settings.md, as Markdown.
pub fn settings_table_markdown() -> String {
    let mut table =
        String::from("| Flag | Variable | TOML key | Default | Description |\n|---|---|---|---|---|\n");
    let as_code = |name: Option<String>| name.map_or_else(|| "—".to_owned(), |name| format!("`{name}`"));
    for setting in settings::ALL {
        let cells = [
            as_code(setting.flag()),
            as_code(Some(setting.variable())),
            as_code(setting.key()),
            setting.default.as_str().to_owned(),
            setting.help.replace('|', "\\|"),
        ];
        for part in ["| ", &cells.join(" | "), " |\n"] {
            table.push_str(part);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, expected) in [
            ("postgres://u:p@h:5432/d", "postgres://u:****@h:5432/d"),
            ("postgres://u:p%40q@h/d?sslmode=require", "postgres://u:****@h/d?sslmode=require"),
            ("postgres://h/d?user=u&password=p", "postgres://h/d?user=u&password=****"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("sqlite:./a b.db", "sqlite:./a b.db"),
            ("postgres://u:p@[h/d", "****"),
            ("http://u:p@proxy:3128", "http://u:****@proxy:3128/"),
            ("localhost,10.0.0.0/8", "localhost,10.0.0.0/8"),
        ] {
            assert_eq!(mask_url(text), expected, "{text}");
        }
    }

    #[test]
    fn table_has_one_row_per_setting() {
        let table = settings_table_markdown();
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(rows.len(), settings::ALL.len() + 2);
        for row in rows {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        }
    }
}
