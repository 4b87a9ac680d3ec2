//! The commands that register a cluster's agent, and the manifest that they apply
//! (`docs/contract/registration.md#registration-tokens`). The server's `service::registration` creates and checks tokens.

mod agent;
mod manifest;
mod network;
mod pod;

pub use self::agent::{AGENT_NAME, Agent, INSTALLATION_LABEL, NAMESPACE, ca_checksum, installation};
pub use self::manifest::{Manifest, REVISION_ANNOTATION, to_yaml};
use super::shell;

/// The command for registering a single node, which AKS does not support: a comment in every shell, so that pasting it does
/// nothing. It is not empty, because Terraform waits for a command (`docs/contract/terraform.md#registration-token`).
pub const NODE_COMMAND: &str =
    "# nodes join an AKS cluster through its node pools: there is no command for single nodes";

/// The name of a manifest: `<token>_<clusterId>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestName<'a> {
    /// A name with both parts.
    Valid {
        /// The token.
        token: &'a str,
        /// The cluster, `c-xxxxx`.
        cluster_id: &'a str,
    },
    /// A name of this form in which the token or the cluster ID is empty.
    Incomplete,
    /// Any other name.
    Other,
}

impl<'a> ManifestName<'a> {
    /// Splits a file name at its first underscore.
    pub fn parse(file: &'a str) -> Self {
        match file.strip_suffix(".yaml").and_then(|name| name.split_once('_')) {
            None => Self::Other,
            Some(("", _) | (_, "")) => Self::Incomplete,
            Some((token, cluster_id)) => Self::Valid { token, cluster_id },
        }
    }
}

/// The commands of a registration token.
#[derive(Clone, PartialEq, Eq)]
pub struct Commands {
    /// The URL of the manifest.
    pub manifest_url: String,
    /// Applies the manifest.
    pub command: String,
    /// Applies the manifest without checking the server's certificate.
    pub insecure_command: String,
}

/// The commands for a token of a cluster; `server` is the URL of this server, without a slash at the end.
pub fn commands(server: &str, token: &str, cluster_id: &str) -> Commands {
    let manifest_url = format!("{server}/v3/import/{token}_{cluster_id}.yaml");
    let fetch = shell::command(&["curl", "--insecure", "-sfL", &manifest_url]);
    Commands {
        command: shell::command(&["kubectl", "apply", "-f", &manifest_url]),
        insecure_command: format!("{fetch} | kubectl apply -f -"),
        manifest_url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_names_split_at_the_first_underscore() {
        use ManifestName as N;
        for (file, expected) in [
            ("tok_c-1.yaml", N::Valid { token: "tok", cluster_id: "c-1" }),
            ("tok_c_1.yaml", N::Valid { token: "tok", cluster_id: "c_1" }),
            ("_c-1.yaml", N::Incomplete),
            ("tok_.yaml", N::Incomplete),
            ("_.yaml", N::Incomplete),
            ("tok.yaml", N::Other),
            ("tok_c-1", N::Other),
            ("tok_c-1.yml", N::Other),
            ("", N::Other),
        ] {
            assert_eq!(N::parse(file), expected, "{file}");
        }
    }

    #[test]
    fn commands_name_the_manifest() {
        let commands = commands("https://h", "tok", "c-1");
        assert_eq!(commands.manifest_url, "https://h/v3/import/tok_c-1.yaml");
        assert_eq!(commands.command, "kubectl apply -f https://h/v3/import/tok_c-1.yaml");
        assert_eq!(
            commands.insecure_command,
            "curl --insecure -sfL https://h/v3/import/tok_c-1.yaml | kubectl apply -f -"
        );
    }

    #[test]
    fn commands_quote_a_url_that_a_shell_would_split() {
        let url = "'https://h/a;b(c)/v3/import/tok_c-1.yaml'";
        let commands = commands("https://h/a;b(c)", "tok", "c-1");
        assert_eq!(commands.command, format!("kubectl apply -f {url}"));
        assert_eq!(commands.insecure_command, format!("curl --insecure -sfL {url} | kubectl apply -f -"));
    }
}
