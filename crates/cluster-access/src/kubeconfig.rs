//! Parses kubeconfigs of Azure: the endpoint, the certificate authority and the sign-in of the current context.
//!
//! Commands, files and proxies in a kubeconfig are not used, and `insecure-skip-tls-verify` is ignored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config as kube_config;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::access::{Access, Identity};
use crate::error::Error;
use crate::hosts;

/// A kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// `https://<host>[:port]`
    pub endpoint: Url,
    /// The cluster's certificate authorities, PEM.
    pub ca: Vec<u8>,
    /// The sign-in of the user.
    pub sign_in: SignIn,
}

/// The sign-in of a kubeconfig.
#[derive(Clone, Debug)]
pub enum SignIn {
    /// An identity that the kubeconfig contains.
    Identity(Identity),
    /// A token of Microsoft Entra, which must be requested.
    Entra {
        /// The ID of AKS's server application, the audience of the token.
        server_id: String,
        /// The tenant that issues the token.
        tenant_id: String,
    },
}

impl Kubeconfig {
    /// Parses a kubeconfig.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] names the missing or invalid part and quotes nothing. [`Error::Endpoint`] if the URL is not one of
    /// AKS.
    pub fn parse(text: &SecretString) -> Result<Self, Error> {
        // The parser's error could quote a secret.
        let config = kube_config::Kubeconfig::from_yaml(text.expose_secret())
            .map_err(|_| invalid("cannot be read"))?;
        let context_name = config.current_context.as_deref().unwrap_or_default();
        let context = config.contexts.iter().find(|named| named.name == context_name);
        let context =
            context.and_then(|named| named.context.as_ref()).ok_or(invalid("has no current context"))?;
        let cluster = config.clusters.iter().find(|named| named.name == context.cluster);
        let cluster = cluster.and_then(|named| named.cluster.as_ref());
        let cluster = cluster.ok_or(invalid("has no cluster for its current context"))?;
        let user = config.auth_infos.iter().find(|named| Some(&named.name) == context.user.as_ref());
        let user = user.and_then(|named| named.auth_info.as_ref());
        let user = user.ok_or(invalid("has no user for its current context"))?;

        let server = cluster.server.as_deref().unwrap_or_default();
        let endpoint = Url::parse(server).map_err(|_| invalid("has no valid URL of the cluster"))?;
        hosts::check_endpoint(&endpoint).map_err(|reason| Error::endpoint(&endpoint, reason))?;
        let ca = cluster.certificate_authority_data.as_deref().unwrap_or_default();
        let ca = decode_base64(ca).ok_or(invalid("has no certificate authority"))?;
        Ok(Self { endpoint, ca, sign_in: sign_in(user)? })
    }

    /// Access to the cluster `cluster_id` with an identity.
    pub fn access(&self, cluster_id: &str, identity: Identity) -> Access {
        Access {
            cluster_id: cluster_id.to_owned(),
            endpoint: self.endpoint.clone(),
            ca: self.ca.clone(),
            identity,
        }
    }
}

fn invalid(reason: &'static str) -> Error {
    Error::Kubeconfig(reason)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.trim()).ok().filter(|bytes| !bytes.is_empty())
}

/// The sign-in of a user. A certificate is preferred to a token, because its expiry can be read. Kubeconfigs of
/// administrators contain both.
fn sign_in(user: &kube_config::AuthInfo) -> Result<SignIn, Error> {
    if let Some(certificate) = user.client_certificate_data.as_deref().filter(|text| !text.is_empty()) {
        let certificate = decode_base64(certificate).ok_or(invalid("has an invalid client certificate"))?;
        let key = user.client_key_data.as_ref().and_then(|key| decode_base64(key.expose_secret()));
        let key = key.and_then(|key| String::from_utf8(key).ok()).map(SecretString::from);
        let key = key.ok_or(invalid("has no key for its client certificate"))?;
        return Ok(SignIn::Identity(Identity::Certificate { certificate, key }));
    }
    if let Some(token) = user.token.as_ref().filter(|token| !token.expose_secret().is_empty()) {
        return Ok(SignIn::Identity(Identity::Token(token.clone())));
    }
    if let Some(provider) = user.auth_provider.as_ref().filter(|provider| provider.name == "azure") {
        let parameter = |key| provider.config.get(key).map(String::as_str);
        return entra_sign_in(parameter("apiserver-id"), parameter("tenant-id"));
    }
    if let Some(exec) = user.exec.as_ref().filter(|exec| is_kubelogin(exec)) {
        let arguments = exec.args.as_deref().unwrap_or_default();
        return entra_sign_in(
            argument_value(arguments, "--server-id"),
            argument_value(arguments, "--tenant-id"),
        );
    }
    Err(invalid("has no supported sign-in"))
}

fn is_kubelogin(exec: &kube_config::ExecConfig) -> bool {
    let command = exec.command.as_deref().unwrap_or_default();
    command.rsplit(['/', '\\']).next().is_some_and(|name| matches!(name, "kubelogin" | "kubelogin.exe"))
}

/// The value of an argument, in the form `--name=value` or `--name value`.
fn argument_value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut remaining = arguments.iter().map(String::as_str);
    while let Some(argument) = remaining.next() {
        match argument.strip_prefix(name) {
            Some("") => return remaining.next(),
            Some(value) if value.starts_with('=') => return value.get(1..),
            _ => {}
        }
    }
    None
}

fn entra_sign_in(server_id: Option<&str>, tenant_id: Option<&str>) -> Result<SignIn, Error> {
    let valid_id = |text: Option<&str>| {
        let is_valid = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        };
        text.filter(is_valid).map(str::to_owned)
    };
    let server_id = valid_id(server_id).ok_or(invalid("has no valid server application ID"))?;
    let tenant_id = valid_id(tenant_id).ok_or(invalid("has no valid tenant ID"))?;
    Ok(SignIn::Entra { server_id, tenant_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kubeconfig in Azure's format with the given user.
    fn kubeconfig(user: &str) -> SecretString {
        let ca = BASE64_STANDARD.encode("-----BEGIN CERTIFICATE-----");
        let user: String = user.lines().flat_map(|line| ["    ", line, "\n"]).collect();
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    \
             server: https://a-5a4d.hcp.eastus.azmk8s.io:443\n  name: a\ncontexts:\n- context:\n    cluster: a\n    \
             user: clusterUser_g_a\n  name: a\ncurrent-context: a\nkind: Config\npreferences: {{}}\nusers:\n\
             - name: clusterUser_g_a\n  user:\n{user}"
        )
        .into()
    }

    fn sign_in(user: &str) -> Result<SignIn, Error> {
        Kubeconfig::parse(&kubeconfig(user)).map(|config| config.sign_in)
    }

    const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

    #[test]
    fn endpoint_and_authority_are_read_from_the_kubeconfig() {
        let config = Kubeconfig::parse(&kubeconfig("token: abc")).unwrap();
        assert_eq!(config.endpoint.as_str(), "https://a-5a4d.hcp.eastus.azmk8s.io/");
        assert_eq!(config.ca, b"-----BEGIN CERTIFICATE-----");
        let access = config.access("c-1", Identity::Token("x".into()));
        assert_eq!((access.endpoint, access.ca), (config.endpoint, config.ca));
    }

    #[test]
    fn certificate_is_preferred_to_the_token() {
        let both = "client-certificate-data: Q0VSVA==\nclient-key-data: S0VZ\ntoken: abc";
        let Ok(SignIn::Identity(Identity::Certificate { certificate, key })) = sign_in(both) else {
            panic!()
        };
        assert_eq!((certificate.as_slice(), key.expose_secret()), (b"CERT".as_slice(), "KEY"));
        let token = "client-certificate-data: \"\"\ntoken: abc";
        assert!(
            matches!(sign_in(token), Ok(SignIn::Identity(Identity::Token(t))) if t.expose_secret() == "abc")
        );
    }

    #[test]
    fn both_forms_of_a_sign_in_with_entra_are_read() {
        let provider = format!(
            "auth-provider:\n  name: azure\n  config:\n    apiserver-id: {SERVER}\n    client-id: c\n    \
             config-mode: \"1\"\n    environment: AzurePublicCloud\n    tenant-id: t-1"
        );
        let exec = format!(
            "exec:\n  apiVersion: client.authentication.k8s.io/v1beta1\n  command: kubelogin\n  args:\n  - get-token\n  \
             - --environment\n  - AzurePublicCloud\n  - --server-id\n  - {SERVER}\n  - --client-id\n  - c\n  \
             - --tenant-id\n  - t-1\n  - --login\n  - devicecode\n  env: null\n  provideClusterInfo: false"
        );
        let joined_arguments = format!(
            "exec:\n  command: /usr/local/bin/kubelogin\n  args: [get-token, --server-id={SERVER}, --tenant-id=t-1]"
        );
        for user in [provider, exec, joined_arguments] {
            let SignIn::Entra { server_id, tenant_id } = sign_in(&user).unwrap() else { panic!("{user}") };
            assert_eq!((server_id.as_str(), tenant_id.as_str()), (SERVER, "t-1"));
        }
    }

    #[test]
    fn errors_name_the_missing_part_and_quote_nothing() {
        for (user, expected) in [
            ("username: canary\npassword: canary", "no supported sign-in"),
            ("tokenFile: /etc/canary", "no supported sign-in"),
            (
                "exec:\n  command: /bin/canary\n  args: [--server-id, a, --tenant-id, b]",
                "no supported sign-in",
            ),
            ("exec:\n  command: kubelogin\n  args: [--tenant-id, b]", "no valid server application ID"),
            ("exec:\n  command: kubelogin\n  args: [--server-id, a]", "no valid tenant ID"),
            (
                "exec:\n  command: kubelogin\n  args: [--server-id, \"a/canary\", --tenant-id, b]",
                "no valid server application ID",
            ),
            ("auth-provider:\n  name: gcp\n  config: {}", "no supported sign-in"),
            ("client-certificate-data: canary!", "invalid client certificate"),
            ("client-certificate-data: Q0VSVA==", "no key"),
            ("canary: [", "cannot be read"),
        ] {
            let text = sign_in(user).map_err(|error| format!("{error} {error:?}")).unwrap_err();
            assert!(text.contains(expected) && !text.contains("canary"), "{user}: {text}");
        }
        for (from, to, expected) in [
            ("current-context: a", "current-context: b", "current context"),
            ("    cluster: a", "    cluster: b", "no cluster"),
            ("    user: clusterUser_g_a", "    user: b", "no user"),
            ("certificate-authority-data", "certificate-authority", "no certificate authority"),
            ("server: https", "other: https", "no valid URL"),
            ("azmk8s.io", "example.org", "the host name is not one that AKS assigns"),
            ("https://", "http://", "its scheme is not https"),
        ] {
            let changed = kubeconfig("token: canary").expose_secret().replace(from, to).into();
            let text = Kubeconfig::parse(&changed).map_err(|error| format!("{error} {error:?}")).unwrap_err();
            assert!(text.contains(expected) && !text.contains("canary"), "{to}: {text}");
        }
    }
}
