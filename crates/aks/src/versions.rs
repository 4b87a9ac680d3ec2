//! Kubernetes versions: the one parser ([`Version`]), the version that a cluster runs ([`running`]), and the order in which
//! Rancher lists version texts ([`compare`]).

use std::cmp::Ordering;
use std::fmt;
use std::iter;

use super::arm::KubernetesVersion;

/// The plan under which a version is offered to everybody; the other one is paid for.
const OFFICIAL: &str = "KubernetesOfficial";

/// A Kubernetes version: `1.33.5`, or `1.33`, a minor version alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `1`
    pub major: u32,
    /// `33`
    pub minor: u32,
    /// `5`; `None` for a minor version alone.
    pub patch: Option<u32>,
}

impl Version {
    /// Reads `1.33.5`, `1.33` and `v1.33.5`, with or without whitespace around it. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let number = |part: &str| -> Option<u32> {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        };
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers?.as_slice() {
            [major, minor] => Some(Self { major: *major, minor: *minor, patch: None }),
            [major, minor, patch] => Some(Self { major: *major, minor: *minor, patch: Some(*patch) }),
            _ => None,
        }
    }

    /// Whether both are of one minor version.
    pub fn is_same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }

    /// Whether it is certainly lower; a minor version alone is not lower than its own patches, nor they than it.
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

/// The version as Azure writes it: without `v` and whitespace. A text that is no version is only trimmed.
pub fn canonical(text: &str) -> String {
    Version::parse(text).map_or_else(|| text.trim().to_owned(), |version| version.to_string())
}

/// Whether both texts name one version. A minor version alone is every patch of it: Azure does nothing when a cluster of
/// 1.33.5 is asked for 1.33.
pub fn is_same(one: &str, other: &str) -> bool {
    match (Version::parse(one), Version::parse(other)) {
        (Some(one), Some(other)) => {
            one.is_same_minor(other) && one.patch.zip(other.patch).is_none_or(|(one, other)| one == other)
        }
        _ => one.trim().eq_ignore_ascii_case(other.trim()),
    }
}

/// Whether a cluster or pool of the version `running` has to change to get to `wanted`. Nothing leads to a lower version:
/// then Azure, or someone else, has upgraded it since.
pub fn differs(wanted: &str, running: &str) -> bool {
    let lower = Version::parse(wanted)
        .zip(Version::parse(running))
        .is_some_and(|(wanted, running)| wanted.is_lower_than(running));
    !lower && !is_same(wanted, running)
}

/// The version that a cluster runs: what Azure says (`currentKubernetesVersion`), else what its Kubernetes API says
/// (`version.gitVersion`), else the first of the specifications that names one.
pub fn running<'a>(
    current: Option<&str>,
    git: Option<&str>,
    specifications: impl IntoIterator<Item = Option<&'a str>>,
) -> Option<String> {
    let version = |text: &str| Version::parse(text).map(|version| version.to_string());
    // Builds with long-term support append to it: v1.30.100-akslts.
    let git = git.and_then(|text| text.split(['-', '+']).next());
    let stated = || specifications.into_iter().flatten().find(|text| !text.trim().is_empty()).map(canonical);
    current.and_then(version).or_else(|| git.and_then(version)).or_else(stated)
}

/// Whether nodes of the version `pool` are too old for a control plane of the version `plane`.
pub fn is_too_old(pool: Version, plane: Version) -> bool {
    pool.major == plane.major && pool.minor.saturating_add(allowed_skew(plane)) < plane.minor
}

/// The number of minor versions by which nodes may be behind the control plane.
pub fn allowed_skew(plane: Version) -> u32 {
    if plane.minor >= 28 { 3 } else { 2 }
}

/// Whether a version belongs to a minor version that is a preview.
pub fn is_preview(offered: &[KubernetesVersion], version: &str) -> bool {
    find(offered, version).is_some_and(|minor| minor.is_preview == Some(true))
}

/// Whether a minor version is offered to everybody, and not only with long-term support.
pub fn is_official(minor: &KubernetesVersion) -> bool {
    minor.capabilities.iter().flat_map(|it| &it.support_plan).any(|plan| plan == OFFICIAL)
}

/// The minor version that lists a version: a patch, or the minor version alone.
pub fn find<'a>(offered: &'a [KubernetesVersion], version: &str) -> Option<&'a KubernetesVersion> {
    let version = canonical(version);
    offered.iter().find(|minor| {
        minor.patch_versions.contains_key(&version) || minor.version.as_deref() == Some(version.as_str())
    })
}

/// The versions that are offered to everybody, ascending and without repetition
/// (`docs/contract/meta-actions.md#aksversions`).
pub fn supported(offered: &[KubernetesVersion]) -> Vec<String> {
    let official = offered.iter().filter(|minor| is_official(minor));
    let mut versions: Vec<String> = official.flat_map(|minor| minor.patch_versions.keys().cloned()).collect();
    sort(&mut versions);
    versions
}

/// Compares two version texts part by part; texts that differ may be equal (`1.28` and `1.28.0`).
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (parts(left), parts(right));
    let length = left.len().max(right.len());
    let padded = |parts: Vec<String>| parts.into_iter().chain(iter::repeat_with(String::new)).take(length);
    for (left, right) in padded(left).zip(padded(right)) {
        if left == right {
            continue;
        }
        match weight(&left).cmp(&weight(&right)) {
            Ordering::Equal => {}
            decided => return decided,
        }
    }
    Ordering::Equal
}

/// Sorts ascending and drops repeated texts; versions of equal weight keep the order of their texts.
pub fn sort(versions: &mut Vec<String>) {
    versions.sort_by(|a, b| compare(a, b).then_with(|| a.cmp(b)));
    versions.dedup();
}

/// `1.28.0-rc.1+x` as `1`, `28`, `0`, `rc`, `1`, `x`: separators become dots, and a dot stands on both sides of
/// every run of characters that are neither digit nor dot; dots in a row count once.
fn parts(version: &str) -> Vec<String> {
    let mut dotted = String::with_capacity(version.len() + 4);
    let mut inside = false;
    for c in version.chars().map(|c| if matches!(c, '_' | '-' | '+') { '.' } else { c }) {
        let wordy = c != '.' && !c.is_ascii_digit();
        if wordy != inside {
            push_dot(&mut dotted);
        }
        inside = wordy;
        if c == '.' { push_dot(&mut dotted) } else { dotted.push(c) }
    }
    if inside {
        push_dot(&mut dotted);
    }
    dotted.split('.').map(str::to_owned).collect()
}

fn push_dot(text: &mut String) {
    if !text.ends_with('.') {
        text.push('.');
    }
}

/// What a part weighs; words before a release weigh less than nothing.
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
        // `SNAPSHOT`, `preview`, `v` and every other word.
        _ => -7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_version_is_the_same_version() {
        for text in ["1.33.5", "v1.33.5", "V1.33.5", " 1.33.5 ", "\u{a0}v1.33.5\n"] {
            assert_eq!(canonical(text), "1.33.5", "{text:?}");
            assert!(is_same(text, "1.33.5") && is_same("1.33", text), "{text:?}");
            assert!(
                !differs(text, "v1.33.5") && differs(text, "1.33.4") && differs(text, "1.32.9"),
                "{text:?}"
            );
        }
        for bad in ["", "1", "1.33.5.1", "1..5", "1.33.x", "1.+33", "1.33.5-rc1", "vv1.33.5", "1. 33.5"] {
            assert_eq!(Version::parse(bad), None, "{bad:?}");
        }
        assert!(is_same("latest ", "Latest") && !is_same("latest", "1.33"));
    }

    #[test]
    fn nothing_has_to_change_towards_a_lower_version() {
        for (wanted, running, expected) in [
            ("1.33", "1.33.6", false),
            ("1.33.6", "1.33", false),
            ("1.33.3", "1.33.6", false),
            ("1.32", "1.33.6", false),
            ("1.33.7", "1.33.6", true),
            ("1.34", "1.33.6", true),
            ("1.33.10", "1.33.9", true),
        ] {
            assert_eq!(differs(wanted, running), expected, "{wanted} {running}");
        }
    }

    #[test]
    fn the_running_version_is_azures_then_the_clusters_own() {
        let all = |current, git, specs: [Option<&str>; 2]| running(current, git, specs).unwrap_or_default();
        assert_eq!(all(Some("1.33.6"), Some("v1.33.5"), [Some("1.33"), None]), "1.33.6");
        assert_eq!(all(None, Some("v1.33.5"), [Some("1.33"), None]), "1.33.5");
        assert_eq!(all(Some(""), Some("v1.30.100-akslts"), [Some("1.30"), None]), "1.30.100");
        assert_eq!(all(None, None, [Some(" v1.33 "), Some("1.32")]), "1.33");
        assert_eq!(all(None, None, [Some(""), Some("1.32")]), "1.32");
        assert_eq!(all(None, None, [None, None]), "");
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
