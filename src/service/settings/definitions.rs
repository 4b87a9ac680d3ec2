//! The definitions of the settings: name, default, and valid values.

use aks::plain_text::{self, Lines};
use aks::provision::agent;
use aks::{image, system_namespaces};
use base64::Engine as _;
use url::Url;

use crate::service::{Invalid, Result};

/// The maximum length of a value, in bytes.
const MAX_VALUE_LEN: usize = 64 * 1024;

/// The version of Rancher whose API this server implements; clients adapt their requests to it.
const RANCHER_VERSION: &str = "v2.12.1";

const YEAR_MINUTES: u64 = 365 * 24 * 60;

/// The definition of a setting.
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    kind: Kind,
}

/// The valid values of a setting. An empty value always restores the default.
#[derive(Clone, Copy)]
enum Kind {
    /// None but the default, which the program sets.
    ReadOnly,
    /// An absolute http or https URL without query and fragment.
    Url,
    /// Certificates in PEM.
    Certificates,
    /// The mode of the agent: `auto`, `always` or `never`.
    Agent,
    /// A container image reference.
    Image,
    /// An integer in a range, inclusive.
    Number(u64, u64),
    /// Names of namespaces, separated by commas.
    Namespaces,
    /// The enabled providers: `[{"name":"aks","active":true}]`.
    Operators,
    /// Whether errors that depend on Azure's data reject a cluster: `enforce` or `advise`.
    Review,
    /// A range of Kubernetes versions: `>=v1.30.x <=v1.34.x`.
    VersionRange,
}

/// Every setting, sorted by name.
pub(super) const DEFINITIONS: [Definition; 14] = [
    // The default of the annotation `norman-aks.io/agent`.
    Definition { name: "agent", default: "auto", kind: Kind::Agent },
    // No default: the administrator must set an image that clusters can pull.
    Definition { name: "agent-image", default: "", kind: Kind::Image },
    // Seconds.
    Definition { name: "aks-refresh", default: "300", kind: Kind::Number(1, YEAR_MINUTES * 60) },
    Definition { name: "cacerts", default: "", kind: Kind::Certificates },
    // The default of the annotation `norman-aks.io/review`.
    Definition { name: "cluster-review", default: "enforce", kind: Kind::Review },
    Definition { name: "install-uuid", default: "", kind: Kind::ReadOnly },
    // The default version of RKE clusters, which this server does not create; clients read it when they start.
    Definition { name: "k8s-version", default: "", kind: Kind::ReadOnly },
    Definition {
        name: "kev2-operators",
        default: r#"[{"name":"aks","active":true}]"#,
        kind: Kind::Operators,
    },
    // 30 days; 0 for tokens that do not expire.
    Definition {
        name: "kubeconfig-default-token-ttl-minutes",
        default: "43200",
        kind: Kind::Number(0, 100 * YEAR_MINUTES),
    },
    Definition { name: "server-url", default: "", kind: Kind::Url },
    Definition { name: "server-version", default: RANCHER_VERSION, kind: Kind::ReadOnly },
    // Cluster members never have access to these namespaces.
    Definition { name: "system-namespaces", default: system_namespaces::DEFAULT, kind: Kind::Namespaces },
    Definition { name: "ui-k8s-default-version-range", default: ">=v1.30.x", kind: Kind::VersionRange },
    Definition { name: "ui-k8s-supported-versions-range", default: ">=v1.30.x", kind: Kind::VersionRange },
];

/// The definition of the named setting.
pub(super) fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

impl Definition {
    /// Whether administrators may change the setting.
    pub(super) fn is_changeable(&self) -> bool {
        !matches!(self.kind, Kind::ReadOnly)
    }

    /// Checks a new value.
    ///
    /// # Errors
    /// [`Invalid`] with the code `InvalidFormat` and the valid values.
    pub(super) fn check(&self, value: &str) -> Result<()> {
        let reject = |message: String| Err(Invalid::field("InvalidFormat", "value", message).into());
        if value.len() > MAX_VALUE_LEN {
            return reject(format!("a value must have at most {MAX_VALUE_LEN} bytes"));
        }
        let lines = match self.kind {
            Kind::Certificates | Kind::Operators => Lines::Many,
            _ => Lines::One,
        };
        plain_text::check("value", value, lines)?;
        let name = self.name;
        match self.kind {
            _ if value.is_empty() => Ok(()),
            Kind::ReadOnly => reject(format!("{name} cannot be changed")),
            Kind::Url if is_server_url(value) => Ok(()),
            Kind::Url => reject(format!(
                "{name} must be a URL such as https://aks.example.org, without user, query or fragment"
            )),
            Kind::Certificates if are_certificates(value) => Ok(()),
            Kind::Certificates => {
                reject(format!("{name} must contain certificates in PEM, and nothing else"))
            }
            Kind::Agent if value.parse::<agent::Mode>().is_ok() => Ok(()),
            Kind::Agent => reject(format!("{name} must be auto, always or never")),
            Kind::Image => {
                image::check(value).or_else(|error| reject(format!("{name} must be an image: {error}")))
            }
            Kind::Number(min, max) => match value.parse::<u64>() {
                Ok(number) if (min..=max).contains(&number) && !value.starts_with('+') => Ok(()),
                _ => reject(format!("{name} must be a whole number from {min} to {max}")),
            },
            Kind::Namespaces => match system_namespaces::invalid_name(value) {
                None => Ok(()),
                Some(invalid) => reject(format!(
                    "{name} contains {invalid:?}, which is not the name of a namespace; use lower-case letters, digits and \
                     hyphens, with commas between the names"
                )),
            },
            Kind::Operators if are_operators(value) => Ok(()),
            Kind::Operators => {
                reject(format!(r#"{name} must be a list such as [{{"name":"aks","active":true}}], or {{}}"#))
            }
            Kind::Review if ["enforce", "advise"].contains(&value) => Ok(()),
            Kind::Review => reject(format!("{name} must be enforce or advise")),
            Kind::VersionRange if is_version_range(value) => Ok(()),
            Kind::VersionRange => {
                reject(format!("{name} must be a range of versions such as >=v1.30.x <=v1.34.x"))
            }
        }
    }
}

fn is_server_url(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Whether the value consists of PEM blocks. The certificates in them are parsed only when they are used.
fn are_certificates(value: &str) -> bool {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = value.trim();
    while !rest.is_empty() {
        let Some((body, next)) = rest.strip_prefix(BEGIN).and_then(|rest| rest.split_once(END)) else {
            return false;
        };
        let body: String = body.split_ascii_whitespace().collect();
        if body.is_empty() || base64::engine::general_purpose::STANDARD.decode(body).is_err() {
            return false;
        }
        rest = next.trim_start();
    }
    true
}

fn are_operators(value: &str) -> bool {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only parsed to validate the value")]
    struct Operator {
        name: String,
        active: bool,
    }
    value == "{}" || serde_json::from_str::<Vec<Operator>>(value).is_ok()
}

/// Whether the dashboard's library can parse the value as a range: comparisons separated by whitespace, alternatives by `||`.
fn is_version_range(value: &str) -> bool {
    let is_version_part = |part: &str| {
        matches!(part, "x" | "X" | "*") || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_comparison = |comparison: &str| {
        let version = comparison.trim_start_matches(['<', '>', '=', '~', '^']);
        let version = version.strip_prefix('v').unwrap_or(version);
        comparison.len() - version.len() <= 3
            && (1..=3).contains(&version.split('.').count())
            && version.split('.').all(is_version_part)
    };
    value.split("||").all(|range| {
        let mut comparisons = range.split_whitespace().peekable();
        comparisons.peek().is_some() && comparisons.all(is_comparison)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aks::spec::rules;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn settings_are_sorted_and_defaults_are_valid() {
        assert!(DEFINITIONS.is_sorted_by_key(|definition| definition.name));
        for definition in &DEFINITIONS {
            if definition.is_changeable() {
                definition.check(definition.default).expect(definition.name);
            }
            definition.check("").expect(definition.name);
        }
        let operators = definition("kev2-operators").expect("there").default;
        assert!(rules::is_operator_active(operators));
    }

    #[test]
    fn settings_reject_invalid_values() {
        let two = format!("{PEM}{PEM}");
        for (name, valid, invalid) in [
            ("agent", &["auto", "always", "never"][..], &["on", "Auto", "true"][..]),
            ("agent-image", &["mine/agent:1"][..], &["no image", "A"][..]),
            ("aks-refresh", &["1", "300"], &["0", "-1", "+1", "1.5", "5m", "31536001"]),
            ("cacerts", &[PEM, &two], &["pem", "-----BEGIN CERTIFICATE-----\n", &PEM[1..], "x\0"]),
            ("cluster-review", &["enforce", "advise"], &["off", "Advise", "true"]),
            ("install-uuid", &[], &["x"]),
            ("k8s-version", &[], &["v1.31.8"]),
            (
                "kev2-operators",
                &["{}", "[]", r#"[{"name":"aks","active":false}]"#],
                &["aks", r#"[{"name":"aks"}]"#, r#"{"aks":true}"#],
            ),
            ("kubeconfig-default-token-ttl-minutes", &["0", "43200"], &["-1", "x"]),
            (
                "server-url",
                &["https://aks.example.org", "http://10.0.0.1:8080/prefix"],
                &["aks.example.org", "ftp://x", "https://", "https://u:p@x", "https://x?a", "https://x#a"],
            ),
            ("server-version", &[], &["v2.13.0"]),
            ("system-namespaces", &["kube-system", "a, b-c,"], &["A", "a b", "a;b", "-a", "a/b"]),
            (
                "ui-k8s-supported-versions-range",
                &[">=v1.30.x <=v1.34.x", "1.31", "~1.30.1 || ^v1.32", "*"],
                &["newest", ">=", ">=v1.x.y", "1.2.3.4", "||", "<script>"],
            ),
        ] {
            let definition = definition(name).expect(name);
            for value in valid {
                definition.check(value).expect(value);
            }
            for value in invalid {
                let error = definition.check(value).expect_err(value).to_string();
                assert!(error.contains(name) || value.contains('\0'), "{error}");
            }
        }
    }

    #[test]
    fn settings_reject_control_characters() {
        for (name, value) in [
            ("agent-image", "mine/agent:1\n"),
            ("cacerts", &format!("{PEM}\u{1b}")),
            ("kev2-operators", "[]\u{2028}"),
            // The URL parser would drop line breaks and tabs.
            ("server-url", "https://aks.example.org/\nx"),
            ("server-url", "https://aks.exa\tmple.org"),
            ("ui-k8s-supported-versions-range", ">=v1.30.x\n<=v1.34.x"),
        ] {
            let error = definition(name).expect(name).check(value).expect_err(value);
            let crate::service::Error::Invalid(invalid) = error else { panic!("{error}") };
            assert_eq!(
                (invalid.code, invalid.field.as_deref()),
                ("InvalidCharacters", Some("value")),
                "{name}"
            );
        }
    }
}
