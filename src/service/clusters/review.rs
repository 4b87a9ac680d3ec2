//! The review of clusters: before they are saved, and for those who only ask.

use aks::cluster_details::ClusterDetails;
use aks::review::{Finding, Review, Severity, UnknownField};
use aks::spec::merge::{self, Mode};
use aks::spec::{AKS_CONFIG, ClusterSpec, Object};
use aks::status::State;

use super::body::{convert, no_aks_config};
use super::{Cluster, Clusters, Result};
use crate::service::Error;
use crate::service::actor::Actor;
use crate::service::credentials::InlineCredential;
use crate::service::reviews::{Asked, Existing, Patience, annotation};

/// A question about a specification.
#[derive(Debug)]
pub struct ReviewQuestion {
    /// The cluster object that would be changed; a new one is meant without.
    pub cluster_id: Option<String>,
    /// The body of the POST or PUT that is thought of.
    pub body: Object,
    /// Keys of its `aksConfig` that no field has.
    pub unknown: Vec<UnknownField>,
    /// A credential to ask Azure with instead of the one that the specification names.
    pub credential: Option<InlineCredential>,
}

/// A specification that may be saved.
pub(super) struct Admitted {
    /// The review, as it is kept.
    pub(super) review: Option<String>,
    /// The subscription for which Azure answered with the stored credential during the review.
    pub(super) answered_for: Option<String>,
}

impl Clusters {
    /// Judges a specification without saving anything.
    ///
    /// # Errors
    /// When the cluster is not the caller's to change, or the credential not the caller's to use.
    pub async fn review(&self, by: &Actor, question: ReviewQuestion) -> Result<Review> {
        let stored = match question.cluster_id.as_deref() {
            Some(id) => Some(Cluster::try_from(self.own_row(&by.caller, id).await?)?),
            None => None,
        };
        let body = match &stored {
            Some(stored) => stored.changed(question.body, Mode::Merge),
            None => merge::changed(&Object::new(), question.body, Mode::Replace),
        };
        let spec = convert(body)?;
        if !spec.body().contains_key(AKS_CONFIG) {
            return Err(no_aks_config());
        }
        let existing = stored.as_ref().map(existing);
        let asked = Asked { spec: &spec, existing: existing.as_ref(), unknown: &question.unknown };
        let sent_along = question.credential.is_some();
        let mut review = self.inner.reviews.tell(by, &asked, question.credential).await?;
        if !sent_along {
            let own_id = stored.as_ref().map_or("", |stored| stored.id.as_str());
            review.findings.splice(..0, self.taken(by, own_id, &spec).await?);
        }
        Ok(review)
    }

    /// The finding for an AKS cluster that another object stands for already.
    async fn taken(&self, by: &Actor, own_id: &str, spec: &ClusterSpec) -> Result<Option<Finding>> {
        let credential = match self.credential(&by.caller, spec.aks()).await {
            Ok(credential) => credential,
            // Whoever may use a credential only through a cluster does not make another cluster with it.
            Err(Error::NoCredential) => return Ok(None),
            Err(error) => return Err(error),
        };
        let identity = credential.identity(spec.aks());
        match self.check_identity(identity.as_deref(), own_id, spec.aks()).await {
            Err(Error::Invalid(invalid)) => Ok(Some(Finding {
                severity: Severity::Error,
                field: "aksConfig.clusterName".to_owned(),
                rule: "cluster-unique".to_owned(),
                message: invalid.message.split(": ").next().unwrap_or_default().to_owned(),
                remedy: "change the cluster object that is there, or use another clusterName".to_owned(),
                source: "docs/contract/clusters.md#validation-on-save".to_owned(),
                rests_on_azure: false,
            })),
            other => other.map(|()| None),
        }
    }

    /// Lets a new specification through.
    pub(super) async fn admit_new(
        &self,
        by: &Actor,
        spec: &ClusterSpec,
        unknown: &[UnknownField],
        patience: Patience,
    ) -> Result<Admitted> {
        let asked = Asked { spec, existing: None, unknown };
        let (review, answered_for) = self.inner.reviews.admit(by, &asked, patience).await?;
        Ok(Admitted { review: Some(text(&review)), answered_for })
    }

    /// Lets a changed specification through; `kept` is the review of the one before, which stays when nothing that is
    /// reviewed changes.
    pub(super) async fn admit_change(
        &self,
        by: &Actor,
        stored: &Cluster,
        spec: &ClusterSpec,
        unknown: &[UnknownField],
        kept: Option<String>,
        patience: Patience,
    ) -> Result<Admitted> {
        let same =
            stored.spec.aks() == spec.aks() && annotation(stored.spec.body()) == annotation(spec.body());
        if same && unknown.is_empty() && kept.is_some() {
            return Ok(Admitted { review: kept, answered_for: None });
        }
        let existing = existing(stored);
        let asked = Asked { spec, existing: Some(&existing), unknown };
        let (review, answered_for) = self.inner.reviews.admit(by, &asked, patience).await?;
        Ok(Admitted { review: Some(text(&review)), answered_for })
    }
}

/// What never became active is judged by what Azure has of it now: nothing, or what is left of a creation that failed, can
/// still be made in another way.
fn existing(stored: &Cluster) -> Existing<'_> {
    let complete = stored.state != State::Provisioning;
    let mut details = stored.status.details.clone();
    details.running_version = stored.running_version();
    Existing {
        id: &stored.id,
        stored: &stored.spec,
        applied: stored.applied.as_ref(),
        upstream: stored.status.upstream_spec.as_ref().filter(|_| complete),
        details: if complete { details } else { ClusterDetails::default() },
        named: &stored.status.named,
        created_ms: stored.created_ms,
    }
}

fn text(review: &Review) -> String {
    serde_json::json!(review).to_string()
}
