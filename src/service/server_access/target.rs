//! The cluster that access is wanted to.

use aks::spec::AksConfig;
use aks::status::ClusterStatus;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::service::clusters::Cluster;
use crate::service::credentials::bare_id;

/// A cluster, as far as access to it depends on the object.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `c-xxxxx`
    pub id: &'a str,
    /// Names the credential, the resource group and the cluster in Azure.
    pub spec: &'a AksConfig,
    /// Has the address and authority of clusters of an earlier version, and whether only an agent reaches the cluster.
    pub status: &'a ClusterStatus,
}

impl<'a> From<&'a Cluster> for Target<'a> {
    fn from(cluster: &'a Cluster) -> Self {
        Self { id: &cluster.id, spec: cluster.spec.aks(), status: &cluster.status }
    }
}

impl Target<'_> {
    pub(super) fn to_place(self) -> Place {
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let endpoint = self.status.api_endpoint.as_deref().and_then(|endpoint| endpoint.parse().ok());
        let ca = self.status.ca_cert.as_deref().and_then(|ca| BASE64_STANDARD.decode(ca).ok());
        Place {
            id: self.id.to_owned(),
            credential_id: self.credential_id().map(str::to_owned),
            group: text(self.spec.resource_group.as_ref()),
            name: text(self.spec.cluster_name.as_ref()),
            known: endpoint.zip(ca),
        }
    }

    pub(super) fn credential_id(&self) -> Option<&str> {
        self.spec.azure_credential_secret.as_deref().and_then(bare_id)
    }
}

/// The same, for work that outlives the request that it was started for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) credential_id: Option<String>,
    pub(super) group: String,
    pub(super) name: String,
    /// Address and authority, as the status has them.
    pub(super) known: Option<(url::Url, Vec<u8>)>,
}
