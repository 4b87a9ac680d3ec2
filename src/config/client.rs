//! The settings of commands that send requests to a running server: its URL, the token, and the credential to use.
//! Without a token, the settings are those of the sandbox in the data directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;

use super::error::{ConfigError, Origin};
use super::layers::ReadFile;
use super::{SANDBOX_DATA_DIR, parse, settings};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// The name of a sandbox's file for scripts.
const SANDBOX_FILE: &str = "sandbox.json";

const SERVER: &str = "NORMAN_AKS_SERVER";
const TOKEN: &str = "NORMAN_AKS_TOKEN";
const TOKEN_FILE: &str = "NORMAN_AKS_TOKEN_FILE";
const CREDENTIAL: &str = "NORMAN_AKS_CREDENTIAL";
const CA_FILE: &str = "NORMAN_AKS_CA_FILE";

/// The variables that only commands with [`ClientConfig`] read.
pub const CLIENT_VARIABLES: [&str; 5] = [SERVER, TOKEN, TOKEN_FILE, CREDENTIAL, CA_FILE];

/// The flags for the server. There is none for the token itself, because other users can read the list of processes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub struct ClientFlags {
    /// URL of the server [default: http://127.0.0.1:8080] [env: NORMAN_AKS_SERVER]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File that contains the token, if it is not in NORMAN_AKS_TOKEN [env: NORMAN_AKS_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate authorities of the server (PEM), in place of those of the system [env: NORMAN_AKS_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A server, and the credential to use.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `https://host[:port][/path]` without a trailing slash.
    pub server: String,
    pub token: SecretString,
    /// The ID of a stored credential.
    pub credential: Option<String>,
    /// The region of the sandbox.
    pub region: Option<String>,
    /// Certificate authorities in PEM; `None`: those of the system.
    pub authorities: Option<String>,
    /// The file of the sandbox from which these settings were read.
    pub sandbox_file: Option<PathBuf>,
}

/// The fields of a sandbox's file that these commands use.
#[derive(Deserialize)]
struct SandboxFile {
    api_url: String,
    token_key: String,
    credential_id: String,
    location: Option<String>,
}

impl ClientConfig {
    /// Combines flags, environment and, if neither names a token or a server, the file of the sandbox in `data_dir` (by default
    /// the variable `NORMAN_AKS_DATA_DIR`, then `./norman-aks-sandbox-data`). `read_file` reads the files.
    ///
    /// # Errors
    /// A missing or invalid setting, or a file that cannot be read.
    pub fn load(
        flags: &ClientFlags,
        credential: Option<String>,
        data_dir: Option<&Path>,
        env: &BTreeMap<String, String>,
        read_file: ReadFile<'_>,
    ) -> Result<Self, ConfigError> {
        let sources = ValueSources { env, read_file };
        let server = sources.value(flags.server.as_deref(), "server", SERVER);
        let token = sources.token(flags)?;
        let credential = credential.or_else(|| sources.variable(CREDENTIAL).map(|(value, _)| value));
        let authorities = sources.read_named_file(flags.ca_file.as_deref(), "ca-file", CA_FILE)?;
        let Some(token) = token else {
            let file = sources.data_dir(data_dir).join(SANDBOX_FILE);
            return match sources.sandbox(&file)? {
                Some(sandbox) if server.is_none() => Ok(Self {
                    server: sandbox.api_url,
                    token: sandbox.token_key.into(),
                    credential: credential.or(Some(sandbox.credential_id)),
                    region: sandbox.location,
                    authorities,
                    sandbox_file: Some(file),
                }),
                _ => Err(ConfigError::NoToken { file }),
            };
        };
        let (server, origin) = server.unwrap_or_else(|| (DEFAULT_SERVER.to_owned(), Origin::Default));
        let server = parse::server_url(&server).map_err(|expected| ConfigError::Invalid {
            setting: "server",
            // The URL may contain a password.
            shown: None,
            origin,
            expected,
        })?;
        Ok(Self { server, token, credential, region: None, authorities, sandbox_file: None })
    }

    /// The ID of the credential to use.
    ///
    /// # Errors
    /// If no credential is specified.
    pub fn credential(&self) -> Result<&str, ConfigError> {
        self.credential.as_deref().ok_or(ConfigError::NoCredential)
    }

    /// The region of the flag, otherwise that of the sandbox.
    ///
    /// # Errors
    /// If no region is specified.
    pub fn region(&self, flag: Option<String>) -> Result<String, ConfigError> {
        flag.or_else(|| self.region.clone()).ok_or(ConfigError::NoRegion)
    }
}

/// The environment, and the function that reads files.
struct ValueSources<'a> {
    env: &'a BTreeMap<String, String>,
    read_file: ReadFile<'a>,
}

impl ValueSources<'_> {
    fn variable(&self, name: &str) -> Option<(String, Origin)> {
        let value = self.env.get(name).filter(|value| !value.is_empty())?;
        Some((value.clone(), Origin::Variable(name.to_owned())))
    }

    fn value(&self, flag: Option<&str>, name: &str, variable: &str) -> Option<(String, Origin)> {
        let from_flag = flag.map(|value| (value.to_owned(), Origin::Flag(format!("--{name}"))));
        from_flag.or_else(|| self.variable(variable))
    }

    /// Reads the file that a flag or variable specifies.
    fn read_named_file(
        &self,
        flag: Option<&Path>,
        name: &str,
        variable: &str,
    ) -> Result<Option<String>, ConfigError> {
        let flag_text = flag.map(|path| path.to_string_lossy().into_owned());
        let Some((path, origin)) = self.value(flag_text.as_deref(), name, variable) else { return Ok(None) };
        let path = PathBuf::from(path);
        let content = (self.read_file)(&path);
        content.map(Some).map_err(|source| ConfigError::Unreadable { path, origin, source })
    }

    /// The token. A flag overrides the environment.
    fn token(&self, flags: &ClientFlags) -> Result<Option<SecretString>, ConfigError> {
        let direct = self.variable(TOKEN).filter(|_| flags.token_file.is_none());
        if let (Some((_, direct)), Some((_, file))) = (&direct, self.variable(TOKEN_FILE)) {
            return Err(ConfigError::SetTwice { setting: "token", direct: direct.clone(), file });
        }
        let text = match direct {
            Some((text, _)) => Some(text),
            None => self.read_named_file(flags.token_file.as_deref(), "token-file", TOKEN_FILE)?,
        };
        // Editors and `echo` append a line break.
        let token = text.map(|text| SecretString::from(text.trim_end_matches(['\r', '\n'])));
        Ok(token)
    }

    fn data_dir(&self, flag: Option<&Path>) -> PathBuf {
        let variable = || self.variable(&settings::DATA_DIR.variable()).map(|(value, _)| value.into());
        flag.map(Path::to_owned).or_else(variable).unwrap_or_else(|| format!("./{SANDBOX_DATA_DIR}").into())
    }

    /// The file of the sandbox; `None` if it does not exist.
    fn sandbox(&self, path: &Path) -> Result<Option<SandboxFile>, ConfigError> {
        let text = match (self.read_file)(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let origin = Origin::Default;
                return Err(ConfigError::Unreadable { path: path.to_owned(), origin, source });
            }
        };
        let invalid = |_| ConfigError::SandboxFile { path: path.to_owned() };
        serde_json::from_str(&text).map(Some).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use secrecy::ExposeSecret as _;

    use super::*;

    const SANDBOX: &str = r#"{"api_url":"http://127.0.0.1:1234","token_key":"token-sandbox:canary",
        "credential_id":"cattle-global-data:cc-sand","location":"eastus","ca_file":"/x"}"#;

    fn load(flags: &ClientFlags, env: &[(&str, &str)]) -> Result<ClientConfig, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let read_file = |path: &Path| match path.to_str() {
            Some("token") => Ok("token-file:canary\n".to_owned()),
            Some("ca.pem") => Ok("PEM".to_owned()),
            Some("./norman-aks-sandbox-data/sandbox.json" | "other/sandbox.json") => Ok(SANDBOX.to_owned()),
            Some("broken/sandbox.json") => Ok("{\"token_key\": \"canary\"".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        ClientConfig::load(flags, None, None, &env, &read_file)
    }

    #[test]
    fn sandbox_is_used_without_token_and_server() {
        let no_flags = ClientFlags::default();
        for env in [&[][..], &[("NORMAN_AKS_DATA_DIR", "other")]] {
            let config = load(&no_flags, env).unwrap();
            assert_eq!(config.server, "http://127.0.0.1:1234");
            assert_eq!(config.token.expose_secret(), "token-sandbox:canary");
            assert_eq!(config.credential().unwrap(), "cattle-global-data:cc-sand");
            assert_eq!(config.region(None).unwrap(), "eastus");
            assert_eq!(config.region(Some("westus".to_owned())).unwrap(), "westus");
            assert!(config.sandbox_file.is_some());
        }
        let config = load(&no_flags, &[("NORMAN_AKS_CREDENTIAL", "cc-mine")]).unwrap();
        assert_eq!(config.credential().unwrap(), "cc-mine");
        // The token of the sandbox is not used for another server.
        let error = load(&no_flags, &[("NORMAN_AKS_SERVER", "https://aks.example.org")]).unwrap_err();
        assert!(matches!(error, ConfigError::NoToken { .. }), "{error}");
        let error = load(&no_flags, &[("NORMAN_AKS_DATA_DIR", "nowhere")]).unwrap_err().to_string();
        assert!(error.contains("NORMAN_AKS_TOKEN") && error.contains("nowhere/sandbox.json"), "{error}");
        let error = load(&no_flags, &[("NORMAN_AKS_DATA_DIR", "broken")]).unwrap_err();
        assert!(!format!("{error:?}{error}").contains("canary"), "{error:?}");
    }

    #[test]
    fn flags_override_environment() {
        let flags = ClientFlags {
            server: Some("https://aks.example.org/".to_owned()),
            token_file: Some("token".into()),
            ca_file: Some("ca.pem".into()),
        };
        let env = [("NORMAN_AKS_SERVER", "http://x"), ("NORMAN_AKS_TOKEN", "token-env:canary")];
        let config = load(&flags, &env).unwrap();
        assert_eq!(config.server, "https://aks.example.org");
        assert_eq!(config.token.expose_secret(), "token-file:canary");
        assert_eq!(config.authorities.as_deref(), Some("PEM"));
        assert!(config.credential().is_err() && config.region(None).is_err());
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
        let config = load(&ClientFlags::default(), &[("NORMAN_AKS_TOKEN", "token-env:canary")]).unwrap();
        assert_eq!(
            (config.server.as_str(), config.token.expose_secret()),
            (DEFAULT_SERVER, "token-env:canary")
        );
    }

    #[test]
    fn invalid_settings_are_named_without_their_values() {
        for (env, expected) in [
            (
                &[("NORMAN_AKS_TOKEN", "t:canary"), ("NORMAN_AKS_TOKEN_FILE", "token")][..],
                "token is set twice",
            ),
            (
                &[("NORMAN_AKS_TOKEN_FILE", "missing")],
                "cannot read missing, named by variable NORMAN_AKS_TOKEN_FILE",
            ),
            (
                &[("NORMAN_AKS_TOKEN", "t:x"), ("NORMAN_AKS_SERVER", "http://u:canary@h")],
                "the value of server (variable NORMAN_AKS_SERVER) is invalid; it must be",
            ),
            (&[("NORMAN_AKS_TOKEN", "t:x"), ("NORMAN_AKS_CA_FILE", "missing")], "NORMAN_AKS_CA_FILE"),
        ] {
            let error = load(&ClientFlags::default(), env).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{env:?}: {error}");
        }
    }
}
