//! The order of Kubernetes versions, as Rancher compares them (contract, section 9).

use std::cmp::Ordering;
use std::iter;

use super::arm::KubernetesVersion;

/// The plan under which a version is offered to everybody; the other one is paid for.
const OFFICIAL: &str = "KubernetesOfficial";

/// The versions that are offered to everybody, ascending and without repetition (contract, section 8.4).
pub fn supported(offered: &[KubernetesVersion]) -> Vec<String> {
    let is_official = |minor: &&KubernetesVersion| {
        minor.capabilities.iter().flat_map(|it| &it.support_plan).any(|plan| plan == OFFICIAL)
    };
    let official = offered.iter().filter(is_official);
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
