//! The review of clusters: before they are saved, and on request.

use aks::cluster_details::ClusterDetails;
use aks::review::{Finding, Review, Severity, UnknownField};
use aks::spec::merge::{self, Mode};
use aks::spec::{AKS_CONFIG, ClusterSpec, Object};
use aks::status::State;

use super::body::{missing_aks_config, parse_spec};
use super::{Cluster, Clusters, Result};
use crate::service::Error;
use crate::service::actor::Actor;
use crate::service::credentials::InlineCredential;
use crate::service::reviews::{AccessWait, Existing, ReviewRequest, annotation};

/// A request for a review that saves nothing.
#[derive(Debug)]
pub struct ReviewInput {
    /// The cluster object that would be changed; `None` for a new one.
    pub cluster_id: Option<String>,
    /// The body of the POST or PUT to review.
    pub body: Object,
    /// Unknown keys of `aksConfig` in the body.
    pub unknown: Vec<UnknownField>,
    /// A credential to use instead of the one that the specification names.
    pub credential: Option<InlineCredential>,
}

/// A specification that may be saved.
pub(super) struct Admitted {
    /// The review, as it is stored.
    pub(super) review: Option<String>,
    /// The subscription that the review has read with the stored credential.
    pub(super) verified_subscription: Option<String>,
}

impl Clusters {
    /// Reviews a specification without saving anything.
    ///
    /// # Errors
    /// If the caller may not change the cluster, or may not use the credential.
    pub async fn review(&self, by: &Actor, input: ReviewInput) -> Result<Review> {
        let stored = match input.cluster_id.as_deref() {
            Some(id) => Some(Cluster::try_from(self.changeable_row(&by.caller, id).await?)?),
            None => None,
        };
        let body = match &stored {
            Some(stored) => stored.with_change(input.body, Mode::Merge),
            None => merge::apply_change(&Object::new(), input.body, Mode::Replace),
        };
        let spec = parse_spec(body)?;
        if !spec.body().contains_key(AKS_CONFIG) {
            return Err(missing_aks_config());
        }
        let existing = stored.as_ref().map(to_existing);
        let request = ReviewRequest { spec: &spec, existing: existing.as_ref(), unknown: &input.unknown };
        let is_inline = input.credential.is_some();
        let mut review = self.inner.reviews.review(by, &request, input.credential).await?;
        if !is_inline {
            let own_id = stored.as_ref().map_or("", |stored| stored.id.as_str());
            review.findings.splice(..0, self.taken_finding(by, own_id, &spec).await?);
        }
        Ok(review)
    }

    /// The finding for an AKS cluster that another object already manages.
    async fn taken_finding(&self, by: &Actor, own_id: &str, spec: &ClusterSpec) -> Result<Option<Finding>> {
        let credential = match self.credential(&by.caller, spec.aks()).await {
            Ok(credential) => credential,
            // A caller who may use a credential only through a cluster cannot create another cluster with it.
            Err(Error::NoCredential) => return Ok(None),
            Err(error) => return Err(error),
        };
        let aks_identity = credential.aks_identity(spec.aks());
        match self.check_aks_identity(aks_identity.as_deref(), own_id, spec.aks()).await {
            Err(Error::Invalid(invalid)) => Ok(Some(Finding {
                severity: Severity::Error,
                field: "aksConfig.clusterName".to_owned(),
                rule: "cluster-unique".to_owned(),
                message: invalid.message.split(": ").next().unwrap_or_default().to_owned(),
                remedy: "change the existing cluster object, or use another clusterName".to_owned(),
                source: "docs/contract/clusters.md#validation-on-save".to_owned(),
                rests_on_azure: false,
            })),
            other => other.map(|()| None),
        }
    }

    /// Admits a new specification.
    pub(super) async fn admit_new(
        &self,
        by: &Actor,
        spec: &ClusterSpec,
        unknown: &[UnknownField],
        access_wait: AccessWait,
    ) -> Result<Admitted> {
        let request = ReviewRequest { spec, existing: None, unknown };
        let (review, verified_subscription) = self.inner.reviews.admit(by, &request, access_wait).await?;
        Ok(Admitted { review: Some(to_json(&review)), verified_subscription })
    }

    /// Admits a changed specification. `stored_review` is kept if no reviewed field changes.
    pub(super) async fn admit_change(
        &self,
        by: &Actor,
        stored: &Cluster,
        spec: &ClusterSpec,
        unknown: &[UnknownField],
        stored_review: Option<String>,
        access_wait: AccessWait,
    ) -> Result<Admitted> {
        let is_unchanged =
            stored.spec.aks() == spec.aks() && annotation(stored.spec.body()) == annotation(spec.body());
        if is_unchanged && unknown.is_empty() && stored_review.is_some() {
            return Ok(Admitted { review: stored_review, verified_subscription: None });
        }
        let existing = to_existing(stored);
        let request = ReviewRequest { spec, existing: Some(&existing), unknown };
        let (review, verified_subscription) = self.inner.reviews.admit(by, &request, access_wait).await?;
        Ok(Admitted { review: Some(to_json(&review)), verified_subscription })
    }
}

/// The cluster before the change. A cluster that was never active is reviewed without its observed state: what a failed
/// creation left in Azure does not restrict the change.
fn to_existing(stored: &Cluster) -> Existing<'_> {
    let is_complete = stored.state != State::Provisioning;
    let mut details = stored.status.details.clone();
    details.running_version = stored.running_version();
    Existing {
        id: &stored.id,
        stored: &stored.spec,
        applied: stored.applied.as_ref(),
        upstream: stored.status.upstream_spec.as_ref().filter(|_| is_complete),
        details: if is_complete { details } else { ClusterDetails::default() },
        user_entries: &stored.status.user_entries,
        created_ms: stored.created_ms,
    }
}

fn to_json(review: &Review) -> String {
    serde_json::json!(review).to_string()
}
