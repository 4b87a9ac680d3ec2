//! Rules about Kubernetes versions.

use crate::review::Read;
use crate::review::tests::example::{Change, Example, boxed, change, examples};
use crate::review::tests::review_input::{ReviewInput, long_term_support, running_version};

fn user_pool_version(input: &mut ReviewInput) {
    input.details.pool_versions.insert("user".to_owned(), "1.32.7".to_owned());
}

pub(in crate::review::tests) fn versions() -> Vec<Example> {
    examples! {
        "version-form", create, [
            "kubernetesVersion" [{"kubernetesVersion": "1.32.7-rc1"}],
            "nodePools[1].orchestratorVersion" [{"[1].orchestratorVersion": "latest"}]
        ], [{"kubernetesVersion": "1.32"} {"kubernetesVersion": " v1.32.7"} {"[1].orchestratorVersion": ""}];
        "version-not-lowered", update, ["kubernetesVersion" [{"kubernetesVersion": "1.32.6"} {"kubernetesVersion": "1.31"}]],
            [{"kubernetesVersion": "1.32"} {"kubernetesVersion": "1.33.3"}];
        "version-one-minor", update, ["kubernetesVersion" [{"kubernetesVersion": "1.34.1"}]], [
            {"kubernetesVersion": "1.33.9"}
            [{"kubernetesVersion": "1.34.1"} (|input| input.azure.own_targets = vec!["1.34.1".to_owned()])]
        ];
        "pool-version-skew", create, ["nodePools[1].orchestratorVersion" [
            {"[1].orchestratorVersion": "1.33.3"}
            {"[1].orchestratorVersion": "1.32.9"}
            {"[1].orchestratorVersion": "1.28.5"}
            {"kubernetesVersion": "1.27.3", "[0].orchestratorVersion": "1.27.3", "[1].orchestratorVersion": "1.24.9"}
        ]], [
            {"[1].orchestratorVersion": "1.29.5"}
            {"[1].orchestratorVersion": "1.32"}
            {"kubernetesVersion": "1.27.3", "[0].orchestratorVersion": "1.27.3", "[1].orchestratorVersion": "1.25.9"}
        ];
        "pool-version-not-lowered", update, ["nodePools[1].orchestratorVersion" [{"[1].orchestratorVersion": "1.32.6"}]],
            [{"[1].orchestratorVersion": ""}];
        "version-offered", create, ["kubernetesVersion" [{"kubernetesVersion": "1.32.8"} {"kubernetesVersion": "1.30.101"}]],
            [{"kubernetesVersion": "1.32"}];
        // An unchanged version is accepted even after Azure has retired it.
        "version-offered", update, ["kubernetesVersion" [{"kubernetesVersion": "1.33.4"}]],
            [[{"[1].orchestratorVersion": "1.31.0"} (|input| input.azure.versions = Read::Known(vec![]))]];
        "version-reachable", update, ["kubernetesVersion" [{"kubernetesVersion": "1.33.99"}]],
            [{"kubernetesVersion": "1.32.9"} {"kubernetesVersion": "1.33"}];
        "pool-version-offered", create, ["nodePools[1].orchestratorVersion" [{"[1].orchestratorVersion": "1.32.1"}]],
            [{"[1].orchestratorVersion": ""}];
        // The running version is compared, not the requested one.
        "version-not-lowered", update, ["kubernetesVersion" [[(running_version("1.32.9")) {"kubernetesVersion": "1.32.8"}]]],
            [[(running_version("1.32.9")) {"kubernetesVersion": "1.32"}]];
        "pool-version-not-lowered", update, ["nodePools[1].orchestratorVersion" [
            [(user_pool_version) {"azure:[1].orchestratorVersion": "1.32", "[1].orchestratorVersion": "1.32.6"}]
        ]], [[(user_pool_version) {"[1].orchestratorVersion": "1.32"}]];
        // Versions with only long-term support are available only to clusters that have it.
        "version-offered", update, [], [[(long_term_support) {"kubernetesVersion": "1.30.101"}]];
        "pool-version-offered", update, ["nodePools[1].orchestratorVersion" [{"[1].name": "older", "[1].orchestratorVersion": "1.30.101"}]],
            [[(long_term_support) {"[1].name": "older", "[1].orchestratorVersion": "1.30.101"}]];
        "version-one-minor", update, [], [[(long_term_support) {"kubernetesVersion": "1.32.7"}]];
        // The targets of a retired version are unknown without the cluster's own profile, so they are accepted.
        "version-reachable", update, ["kubernetesVersion" [[(long_term_support) {"kubernetesVersion": "1.31.1"}]]],
            [[(running_version("1.32.1")) {"kubernetesVersion": "1.33.3"}]];
        "version-preview", create, ["kubernetesVersion" [{"kubernetesVersion": "1.34.1"}]], [];
    }
}
