//! The Kubernetes versions of a region for `/api/v1/kubernetes-versions`: minor versions with their patches, support plans and
//! upgrades. Unlike `aksVersions`, it includes previews and versions that need long-term support, and marks them.

use crate::arm::KubernetesVersion;
use crate::versions;

/// A minor version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinorVersion {
    /// `1.33`
    pub version: String,
    /// Whether it is a preview, without support by Azure.
    pub is_preview: bool,
    /// Whether new clusters get it by default; not every region has a default.
    pub is_default: bool,
    /// The support plans, as in Azure: `KubernetesOfficial`, `AKSLongTermSupport`. Sorted.
    pub support_plans: Vec<String>,
    /// Whether only clusters with long-term support can use it.
    pub needs_long_term_support: bool,
    /// Ascending.
    pub patches: Vec<PatchVersion>,
}

/// A patch version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchVersion {
    /// `1.33.5`
    pub version: String,
    /// The versions that Azure upgrades to in one step, ascending; some may need long-term support.
    pub upgrades: Vec<String>,
}

/// The versions of a region, ascending. Minor versions without a name or without patches are omitted.
pub fn minor_versions(offered: &[KubernetesVersion]) -> Vec<MinorVersion> {
    let mut minors: Vec<MinorVersion> = offered.iter().filter_map(minor_version).collect();
    minors.sort_by(|a, b| versions::compare(&a.version, &b.version));
    minors
}

fn minor_version(minor: &KubernetesVersion) -> Option<MinorVersion> {
    let version = minor.version.clone().filter(|version| !version.is_empty())?;
    let mut plans: Vec<String> =
        minor.capabilities.iter().flat_map(|capabilities| capabilities.support_plan.clone()).collect();
    plans.sort_unstable();
    plans.dedup();
    let mut patches: Vec<PatchVersion> = minor
        .patch_versions
        .iter()
        .map(|(version, patch)| {
            let mut upgrades = patch.upgrades.clone();
            versions::sort(&mut upgrades);
            PatchVersion { version: version.clone(), upgrades }
        })
        .collect();
    patches.sort_by(|a, b| versions::compare(&a.version, &b.version));
    (!patches.is_empty()).then(|| MinorVersion {
        version,
        is_preview: minor.is_preview == Some(true),
        is_default: minor.is_default == Some(true),
        needs_long_term_support: !versions::is_official(minor),
        support_plans: plans,
        patches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_sorted_and_marked() {
        let json = r#"[
            {"version":"1.34","isPreview":true,"capabilities":{"supportPlan":["KubernetesOfficial"]},"patchVersions":{"1.34.0":null}},
            {"version":"1.9","isDefault":true,"capabilities":{"supportPlan":["KubernetesOfficial","AKSLongTermSupport","KubernetesOfficial"]},
                "patchVersions":{"1.9.10":{"upgrades":["1.34.0","1.10.2","1.10.10"]},"1.9.9":{"upgrades":["1.9.10"]}}},
            {"version":"1.10","capabilities":{"supportPlan":["AKSLongTermSupport"]},"patchVersions":{"1.10.2":{}}},
            {"version":"1.11"}, {"patchVersions":{"1.12.1":{}}}]"#;
        let minors = minor_versions(&serde_json::from_str::<Vec<KubernetesVersion>>(json).unwrap());
        let names: Vec<_> = minors.iter().map(|minor| minor.version.as_str()).collect();
        assert_eq!(names, ["1.9", "1.10", "1.34"]);
        let [old, long_term, preview] = minors.as_slice() else { panic!("{minors:?}") };
        assert_eq!(old.support_plans, ["AKSLongTermSupport", "KubernetesOfficial"]);
        assert!(old.is_default && !old.is_preview && !old.needs_long_term_support);
        let patches: Vec<_> = old.patches.iter().map(|patch| patch.version.as_str()).collect();
        assert_eq!(patches, ["1.9.9", "1.9.10"]);
        assert_eq!(old.patches[1].upgrades, ["1.10.2", "1.10.10", "1.34.0"]);
        assert!(long_term.needs_long_term_support && !long_term.is_preview && !long_term.is_default);
        assert!(
            preview.is_preview && !preview.needs_long_term_support && preview.patches[0].upgrades.is_empty()
        );
    }
}
