//! The keys that identify a cluster, which never change.

use super::case::Case;
use super::changes::Text;
use super::rule::Fault;
use crate::regions;
use crate::spec::{AksConfig, given};

/// The keys that identify a cluster. The region can be corrected until Azure has the cluster.
pub(super) fn identity(case: &Case<'_>) -> Vec<Fault> {
    const KEYS: [(&str, Text); 2] =
        [("clusterName", |it| it.cluster_name.as_ref()), ("resourceGroup", |it| it.resource_group.as_ref())];
    let Some(stored) = case.stored() else { return Vec::new() };
    let fault = |key: &str, old: &str| {
        let message = format!("{key} is {old:?} and cannot be changed");
        Fault::new(format!("aksConfig.{key}"), message, "make another cluster instead")
    };
    let texts = KEYS.into_iter().filter_map(|(key, read)| {
        let (old, new) = (given(read(stored))?, given(read(case.said))?);
        (!old.eq_ignore_ascii_case(new)).then(|| fault(key, old))
    });
    let region = |config: &AksConfig| given(config.resource_location.as_ref()).map(regions::normalised);
    let (was, is) = (region(stored), region(case.said));
    let moved = case.current.is_some()
        && was.is_some()
        && is.is_some()
        && was != is
        && is.as_deref() != case.azure_region();
    let moved = moved.then(|| fault("resourceLocation", &was.unwrap_or_default()));
    let (was, is) = (stored.imported == Some(true), case.said.imported == Some(true));
    let imported = (was != is).then(|| fault("imported", if was { "true" } else { "false" }));
    texts.chain(moved).chain(imported).collect()
}
