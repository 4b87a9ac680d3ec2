//! The kubeconfig that Azure gives for a cluster, and the ways of signing in that it may name.
//!
//! Taken from it are the address, the authority and the sign-in of its current context. Nothing that it names is run or
//! opened: no program, no file, no proxy. That a certificate need not be checked is not believed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config as form;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::error::Error;
use super::{Access, hosts};

/// What a kubeconfig says.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// `https://<host>[:port]`
    pub endpoint: Url,
    /// The certificates that the cluster's own must lead to, PEM.
    pub ca: Vec<u8>,
    /// Who one is with it.
    pub sign_in: SignIn,
}

/// How a kubeconfig signs in.
#[derive(Clone, Debug)]
pub enum SignIn {
    /// With what it carries.
    Identity(Identity),
    /// With a token of Microsoft Entra, that has to be asked for.
    Entra {
        /// The id of the server application of AKS that the token is for.
        server_id: String,
        /// The tenant that the token is asked of.
        tenant_id: String,
    },
}

/// Who one is in a cluster.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A bearer token.
    Token(SecretString),
    /// A client certificate.
    Certificate {
        /// The chain, PEM.
        certificate: Vec<u8>,
        /// The key, PEM.
        key: SecretString,
    },
}

impl Identity {
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(other)) => one.expose_secret() == other.expose_secret(),
            (
                Self::Certificate { certificate: one, key: one_key },
                Self::Certificate { certificate: other, key: other_key },
            ) => one == other && one_key.expose_secret() == other_key.expose_secret(),
            _ => false,
        }
    }
}

impl Kubeconfig {
    /// Reads a kubeconfig.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] when something is missing; the words name it and quote nothing. [`Error::Endpoint`] when
    /// the address is not one of AKS.
    pub fn parse(text: &SecretString) -> Result<Self, Error> {
        // The parser's error is not kept: it could quote a secret.
        let config =
            form::Kubeconfig::from_yaml(text.expose_secret()).map_err(|_| broken("cannot be read"))?;
        let context = config.current_context.as_deref().unwrap_or_default();
        let context = config.contexts.iter().find(|named| named.name == context);
        let context =
            context.and_then(|named| named.context.as_ref()).ok_or(broken("has no current context"))?;
        let cluster = config.clusters.iter().find(|named| named.name == context.cluster);
        let cluster = cluster.and_then(|named| named.cluster.as_ref());
        let cluster = cluster.ok_or(broken("has no cluster for its current context"))?;
        let user = config.auth_infos.iter().find(|named| Some(&named.name) == context.user.as_ref());
        let user = user.and_then(|named| named.auth_info.as_ref());
        let user = user.ok_or(broken("has no user for its current context"))?;

        let server = cluster.server.as_deref().unwrap_or_default();
        let endpoint = Url::parse(server).map_err(|_| broken("has no address of the cluster"))?;
        hosts::check(&endpoint)?;
        let ca = cluster.certificate_authority_data.as_deref().unwrap_or_default();
        let ca = decoded(ca).ok_or(broken("has no certificate authority"))?;
        Ok(Self { endpoint, ca, sign_in: sign_in(user)? })
    }

    /// The way into the cluster with an identity that was got elsewhere, or is this kubeconfig's own.
    pub fn access(&self, identity: Identity) -> Access {
        Access { endpoint: self.endpoint.clone(), ca: self.ca.clone(), identity }
    }
}

fn broken(how: &'static str) -> Error {
    Error::Kubeconfig(how)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.trim()).ok().filter(|bytes| !bytes.is_empty())
}

/// How the user signs in. A certificate comes before a token, because it says when it ends; Azure gives administrators both.
fn sign_in(user: &form::AuthInfo) -> Result<SignIn, Error> {
    if let Some(certificate) = user.client_certificate_data.as_deref().filter(|text| !text.is_empty()) {
        let certificate = decoded(certificate).ok_or(broken("has an unreadable client certificate"))?;
        let key = user.client_key_data.as_ref().and_then(|key| decoded(key.expose_secret()));
        let key = key.and_then(|key| String::from_utf8(key).ok()).map(SecretString::from);
        let key = key.ok_or(broken("has no key for its client certificate"))?;
        return Ok(SignIn::Identity(Identity::Certificate { certificate, key }));
    }
    if let Some(token) = user.token.as_ref().filter(|token| !token.expose_secret().is_empty()) {
        return Ok(SignIn::Identity(Identity::Token(token.clone())));
    }
    if let Some(provider) = user.auth_provider.as_ref().filter(|provider| provider.name == "azure") {
        let get = |key| provider.config.get(key).map(String::as_str);
        return entra(get("apiserver-id"), get("tenant-id"));
    }
    if let Some(exec) = user.exec.as_ref().filter(|exec| is_kubelogin(exec)) {
        let arguments = exec.args.as_deref().unwrap_or_default();
        return entra(argument(arguments, "--server-id"), argument(arguments, "--tenant-id"));
    }
    Err(broken("has no sign-in that is known here"))
}

fn is_kubelogin(exec: &form::ExecConfig) -> bool {
    let command = exec.command.as_deref().unwrap_or_default();
    command.rsplit(['/', '\\']).next().is_some_and(|name| matches!(name, "kubelogin" | "kubelogin.exe"))
}

/// The value of an argument, written as one word (`--name=value`) or as two.
fn argument<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        match word.strip_prefix(name) {
            Some("") => return rest.next(),
            Some(value) if value.starts_with('=') => return value.get(1..),
            _ => {}
        }
    }
    None
}

fn entra(server_id: Option<&str>, tenant_id: Option<&str>) -> Result<SignIn, Error> {
    let id = |text: Option<&str>| {
        let usable = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        };
        text.filter(usable).map(str::to_owned)
    };
    let server_id = id(server_id).ok_or(broken("names no server application to get a token for"))?;
    let tenant_id = id(tenant_id).ok_or(broken("names no tenant to get a token from"))?;
    Ok(SignIn::Entra { server_id, tenant_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Azure writes it, with a user of one's own.
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
    fn address_and_authority_are_taken_from_the_current_context() {
        let config = Kubeconfig::parse(&kubeconfig("token: abc")).unwrap();
        assert_eq!(config.endpoint.as_str(), "https://a-5a4d.hcp.eastus.azmk8s.io/");
        assert_eq!(config.ca, b"-----BEGIN CERTIFICATE-----");
        let access = config.access(Identity::Token("x".into()));
        assert_eq!((access.endpoint, access.ca), (config.endpoint, config.ca));
    }

    #[test]
    fn certificate_of_an_administrator_comes_before_the_token() {
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
        let one_word = format!(
            "exec:\n  command: /usr/local/bin/kubelogin\n  args: [get-token, --server-id={SERVER}, --tenant-id=t-1]"
        );
        for user in [provider, exec, one_word] {
            let found = sign_in(&user).unwrap();
            let SignIn::Entra { server_id, tenant_id } = found else { panic!("{user}") };
            assert_eq!((server_id.as_str(), tenant_id.as_str()), (SERVER, "t-1"));
        }
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_quoted() {
        for (user, named) in [
            ("username: canary\npassword: canary", "no sign-in"),
            ("tokenFile: /etc/canary", "no sign-in"),
            ("exec:\n  command: /bin/canary\n  args: [--server-id, a, --tenant-id, b]", "no sign-in"),
            ("exec:\n  command: kubelogin\n  args: [--tenant-id, b]", "server application"),
            ("exec:\n  command: kubelogin\n  args: [--server-id, a]", "tenant"),
            (
                "exec:\n  command: kubelogin\n  args: [--server-id, \"a/canary\", --tenant-id, b]",
                "server application",
            ),
            ("auth-provider:\n  name: gcp\n  config: {}", "no sign-in"),
            ("client-certificate-data: canary!", "client certificate"),
            ("client-certificate-data: Q0VSVA==", "no key"),
            ("canary: [", "cannot be read"),
        ] {
            let text = sign_in(user).map_err(|error| format!("{error} {error:?}")).unwrap_err();
            assert!(text.contains(named) && !text.contains("canary"), "{user}: {text}");
        }
        for (from, to, named) in [
            ("current-context: a", "current-context: b", "current context"),
            ("    cluster: a", "    cluster: b", "no cluster"),
            ("    user: clusterUser_g_a", "    user: b", "no user"),
            ("certificate-authority-data", "certificate-authority", "no certificate authority"),
            ("server: https", "other: https", "no address"),
            ("azmk8s.io", "example.org", "no host name that AKS gives"),
            ("https://", "http://", "it is not https"),
        ] {
            let text = kubeconfig("token: canary").expose_secret().replace(from, to).into();
            let text = Kubeconfig::parse(&text).map_err(|error| format!("{error} {error:?}")).unwrap_err();
            assert!(text.contains(named) && !text.contains("canary"), "{to}: {text}");
        }
    }
}
