//! The cluster to access.

use aks::spec::AksConfig;
use aks::status::ClusterStatus;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::service::clusters::Cluster;
use crate::service::credentials::bare_id;

/// The part of a cluster object that access to the cluster depends on.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `c-xxxxx`
    pub id: &'a str,
    /// The specification, with the credential, the resource group and the name in Azure.
    pub spec: &'a AksConfig,
    /// The status, with the URL and CA of clusters from an earlier version, and with whether only an agent can reach the
    /// cluster.
    pub status: &'a ClusterStatus,
}

impl<'a> From<&'a Cluster> for Target<'a> {
    fn from(cluster: &'a Cluster) -> Self {
        Self { id: &cluster.id, spec: cluster.spec.aks(), status: &cluster.status }
    }
}

impl Target<'_> {
    pub(super) fn to_owned_target(self) -> OwnedTarget {
        let or_empty = |value: Option<&String>| value.cloned().unwrap_or_default();
        let endpoint = self.status.api_endpoint.as_deref().and_then(|endpoint| endpoint.parse().ok());
        let ca = self.status.ca_cert.as_deref().and_then(|ca| BASE64_STANDARD.decode(ca).ok());
        OwnedTarget {
            id: self.id.to_owned(),
            credential_id: self.credential_id().map(str::to_owned),
            group: or_empty(self.spec.resource_group.as_ref()),
            name: or_empty(self.spec.cluster_name.as_ref()),
            endpoint: endpoint.zip(ca),
        }
    }

    pub(super) fn credential_id(&self) -> Option<&str> {
        self.spec.azure_credential_secret.as_deref().and_then(bare_id)
    }
}

/// An owned [`Target`], for tasks that outlive their request.
#[derive(Clone, Debug)]
pub(super) struct OwnedTarget {
    pub(super) id: String,
    pub(super) credential_id: Option<String>,
    pub(super) group: String,
    pub(super) name: String,
    /// The URL and CA from the status.
    pub(super) endpoint: Option<(url::Url, Vec<u8>)>,
}
