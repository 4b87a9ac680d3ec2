//! Kubernetes versions: the parser ([`Version`]), the running version of a cluster ([`running`]), and the order in which Rancher
//! lists versions ([`compare`]).

use std::cmp::Ordering;
use std::fmt;
use std::iter;

use super::arm::KubernetesVersion;

/// The support plan that is included for all clusters; `AKSLongTermSupport` is paid.
const OFFICIAL_PLAN: &str = "KubernetesOfficial";

/// A Kubernetes version: `1.33.5`, or `1.33`, a minor version without a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `1`
    pub major: u32,
    /// `33`
    pub minor: u32,
    /// `5`; `None` if the version has no patch.
    pub patch: Option<u32>,
}

impl Version {
    /// Parses `1.33.5`, `1.33` and `v1.33.5`, with optional whitespace around it. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let number = |part: &str| -> Option<u32> {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| is_number)
        };
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers?.as_slice() {
            [major, minor] => Some(Self { major: *major, minor: *minor, patch: None }),
            [major, minor, patch] => Some(Self { major: *major, minor: *minor, patch: Some(*patch) }),
            _ => None,
        }
    }

    /// Whether both versions have the same major and minor number.
    pub fn is_same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }

    /// Whether the version is definitely lower. A minor version without a patch is neither lower nor higher than its own
    /// patches.
    pub fn is_lower_than(self, other: Self) -> bool {
        let minors = (self.major, self.minor).cmp(&(other.major, other.minor));
        let patches = self.patch.zip(other.patch).map_or(Ordering::Equal, |(this, that)| this.cmp(&that));
        minors.then(patches).is_lt()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

/// The version in Azure's format: without `v` and whitespace. An invalid version is only trimmed.
pub fn canonical(text: &str) -> String {
    Version::parse(text).map_or_else(|| text.trim().to_owned(), |version| version.to_string())
}

/// Whether both strings mean the same version. A minor version without a patch matches all its patches: Azure does nothing if
/// 1.33 is requested for a cluster with 1.33.5.
pub fn is_same(one: &str, other: &str) -> bool {
    match (Version::parse(one), Version::parse(other)) {
        (Some(one), Some(other)) => {
            one.is_same_minor(other) && one.patch.zip(other.patch).is_none_or(|(one, other)| one == other)
        }
        _ => one.trim().eq_ignore_ascii_case(other.trim()),
    }
}

/// Whether a cluster or pool with the version `running` must be upgraded to run `requested`. A lower version never requires an
/// upgrade: the cluster has been upgraded in Azure since.
pub fn requires_upgrade(requested: &str, running: &str) -> bool {
    let is_lower = Version::parse(requested)
        .zip(Version::parse(running))
        .is_some_and(|(requested, running)| requested.is_lower_than(running));
    !is_lower && !is_same(requested, running)
}

/// The running version of a cluster: Azure's value (`currentKubernetesVersion`), else the value of the cluster's Kubernetes API
/// (`version.gitVersion`), else the first version in the specifications.
pub fn running<'a>(
    azure_version: Option<&str>,
    git_version: Option<&str>,
    specifications: impl IntoIterator<Item = Option<&'a str>>,
) -> Option<String> {
    let version = |text: &str| Version::parse(text).map(|version| version.to_string());
    // Builds with long-term support have a suffix: v1.30.100-akslts.
    let git_version = git_version.and_then(|text| text.split(['-', '+']).next());
    let specified =
        || specifications.into_iter().flatten().find(|text| !text.trim().is_empty()).map(canonical);
    azure_version.and_then(version).or_else(|| git_version.and_then(version)).or_else(specified)
}

/// Whether nodes of a pool are too old for a control plane.
pub fn is_too_old(pool: Version, control_plane: Version) -> bool {
    pool.major == control_plane.major
        && pool.minor.saturating_add(allowed_skew(control_plane)) < control_plane.minor
}

/// The number of minor versions by which nodes may be older than the control plane.
pub fn allowed_skew(control_plane: Version) -> u32 {
    if control_plane.minor >= 28 { 3 } else { 2 }
}

/// Whether the minor version of a version is a preview.
pub fn is_preview(offered: &[KubernetesVersion], version: &str) -> bool {
    find(offered, version).is_some_and(|minor| minor.is_preview == Some(true))
}

/// Whether a minor version is available without long-term support.
pub fn is_official(minor: &KubernetesVersion) -> bool {
    minor
        .capabilities
        .iter()
        .flat_map(|capabilities| &capabilities.support_plan)
        .any(|plan| plan == OFFICIAL_PLAN)
}

/// The entry of Azure's list that contains a version, which may be a minor version without a patch.
pub fn find<'a>(offered: &'a [KubernetesVersion], version: &str) -> Option<&'a KubernetesVersion> {
    let version = canonical(version);
    offered.iter().find(|minor| {
        minor.patch_versions.contains_key(&version) || minor.version.as_deref() == Some(version.as_str())
    })
}

/// The versions that are available without long-term support, ascending and without duplicates
/// (`docs/contract/meta-actions.md#aksversions`).
pub fn supported(offered: &[KubernetesVersion]) -> Vec<String> {
    let official = offered.iter().filter(|minor| is_official(minor));
    let mut versions: Vec<String> = official.flat_map(|minor| minor.patch_versions.keys().cloned()).collect();
    sort(&mut versions);
    versions
}

/// Compares two versions part by part. Different strings may be equal (`1.28` and `1.28.0`).
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (split_version(left), split_version(right));
    let length = left.len().max(right.len());
    let padded = |parts: Vec<String>| parts.into_iter().chain(iter::repeat_with(String::new)).take(length);
    for (left, right) in padded(left).zip(padded(right)) {
        if left == right {
            continue;
        }
        match weight(&left).cmp(&weight(&right)) {
            Ordering::Equal => {}
            ordering => return ordering,
        }
    }
    Ordering::Equal
}

/// Sorts ascending and removes duplicates; equal versions are sorted as strings.
pub fn sort(versions: &mut Vec<String>) {
    versions.sort_by(|a, b| compare(a, b).then_with(|| a.cmp(b)));
    versions.dedup();
}

/// Splits `1.28.0-rc.1+x` into `1`, `28`, `0`, `rc`, `1`, `x`. Separators become dots, and every run of characters that are
/// neither digits nor dots is surrounded by dots; consecutive dots are one separator.
fn split_version(version: &str) -> Vec<String> {
    let mut dotted = String::with_capacity(version.len() + 4);
    let mut in_word = false;
    for c in version.chars().map(|c| if matches!(c, '_' | '-' | '+') { '.' } else { c }) {
        let is_word_char = c != '.' && !c.is_ascii_digit();
        if is_word_char != in_word {
            push_dot(&mut dotted);
        }
        in_word = is_word_char;
        if c == '.' { push_dot(&mut dotted) } else { dotted.push(c) }
    }
    if in_word {
        push_dot(&mut dotted);
    }
    dotted.split('.').map(str::to_owned).collect()
}

fn push_dot(text: &mut String) {
    if !text.ends_with('.') {
        text.push('.');
    }
}

/// The weight of a part. Words that mark a pre-release have a negative weight.
fn weight(part: &str) -> i128 {
    match part {
        "" => 0,
        "dev" => -6,
        "alpha" | "a" => -5,
        "beta" | "b" => -4,
        "RC" | "rc" => -3,
        "#" => -2,
        "p" | "pl" => 1,
        number if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().unwrap_or(i128::MAX),
        // `SNAPSHOT`, `preview`, `v` and all other words.
        _ => -7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_version_are_equal() {
        for text in ["1.33.5", "v1.33.5", "V1.33.5", " 1.33.5 ", "\u{a0}v1.33.5\n"] {
            assert_eq!(canonical(text), "1.33.5", "{text:?}");
            assert!(is_same(text, "1.33.5") && is_same("1.33", text), "{text:?}");
            assert!(
                !requires_upgrade(text, "v1.33.5")
                    && requires_upgrade(text, "1.33.4")
                    && requires_upgrade(text, "1.32.9"),
                "{text:?}"
            );
        }
        for bad in ["", "1", "1.33.5.1", "1..5", "1.33.x", "1.+33", "1.33.5-rc1", "vv1.33.5", "1. 33.5"] {
            assert_eq!(Version::parse(bad), None, "{bad:?}");
        }
        assert!(is_same("latest ", "Latest") && !is_same("latest", "1.33"));
    }

    #[test]
    fn lower_version_requires_no_upgrade() {
        for (requested, running, expected) in [
            ("1.33", "1.33.6", false),
            ("1.33.6", "1.33", false),
            ("1.33.3", "1.33.6", false),
            ("1.32", "1.33.6", false),
            ("1.33.7", "1.33.6", true),
            ("1.34", "1.33.6", true),
            ("1.33.10", "1.33.9", true),
        ] {
            assert_eq!(requires_upgrade(requested, running), expected, "{requested} {running}");
        }
    }

    #[test]
    fn running_version_prefers_azure_then_api_then_specification() {
        let running_version =
            |current, git, specs: [Option<&str>; 2]| running(current, git, specs).unwrap_or_default();
        assert_eq!(running_version(Some("1.33.6"), Some("v1.33.5"), [Some("1.33"), None]), "1.33.6");
        assert_eq!(running_version(None, Some("v1.33.5"), [Some("1.33"), None]), "1.33.5");
        assert_eq!(running_version(Some(""), Some("v1.30.100-akslts"), [Some("1.30"), None]), "1.30.100");
        assert_eq!(running_version(None, None, [Some(" v1.33 "), Some("1.32")]), "1.33");
        assert_eq!(running_version(None, None, [Some(""), Some("1.32")]), "1.32");
        assert_eq!(running_version(None, None, [None, None]), "");
    }

    #[test]
    fn versions_compare_as_rancher_compares_them() {
        use Ordering::{Equal, Greater, Less};
        for (left, right, expected) in [
            ("1.9.0", "1.10.0", Less),
            ("1.28.0-preview", "1.28.0", Less),
            ("1.28", "1.28.0", Equal),
            ("1.28.0-rc.1", "1.28.0", Less),
            ("1.28.0-alpha", "1.28.0-beta", Less),
            ("1.28.0_dev", "1.28.0+alpha", Less),
            ("1.28.0SNAPSHOT", "1.28.0", Less),
            ("1.28.0pl1", "1.28.0", Greater),
            ("1.31.0-preview.1", "1.31.0", Less),
            ("1.28.0", "1.28.0", Equal),
            ("v1.2.3", "1.2.3", Less),
            ("", "1", Less),
            ("1..2", "1.2", Equal),
            ("99999999999999999999999999999999999999999", "1", Greater),
        ] {
            assert_eq!(compare(left, right), expected, "{left} {right}");
            assert_eq!(compare(right, left), expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn sorting_is_by_number_and_without_repetition() {
        let mut versions: Vec<String> =
            ["1.10.1", "1.9.9", "1.9.11", "1.10.1", "1.31.0", "1.31.0-preview.1"].map(str::to_owned).into();
        sort(&mut versions);
        assert_eq!(versions, ["1.9.9", "1.9.11", "1.10.1", "1.31.0-preview.1", "1.31.0"]);
    }
}
