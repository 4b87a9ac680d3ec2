//! `POST /api/v1/aks/review`: reviews the specification of a cluster without creating or changing it.

use aks::review::{self, Review, Severity};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::norman::body::Body;
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::json;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::schemas::{Field, Kind, Schema};
use crate::api::openapi::failures::ReviewFailures;
use crate::api::state::AppState;
use crate::api::v3::schemas::AKS_CONFIG;
use crate::api::v3::unknown_fields::unknown_fields;
use crate::service::Invalid;
use crate::service::actor::Actor;
use crate::service::clusters::ReviewInput;
use crate::service::credentials::InlineCredential;

/// The schema of the request body.
static REVIEW_REQUEST: Schema = Schema::nested(
    "reviewRequest",
    "ReviewRequest",
    "A specification to be reviewed. Azure is read with the credential in the request, else with the one that \
     `azureCredentialSecret` names.",
    "reviewRequests",
    &[
        Field::new("aksConfig", Kind::Object(&AKS_CONFIG), "The specification of the AKS cluster.")
            .required(),
        Field::new(
            "annotations",
            Kind::TextMap,
            "With `norman-aks.io/review: advise`, errors that rest on Azure's responses become warnings.",
        ),
        Field::new("clientId", Kind::Text, "The application (client) ID of a credential in the request."),
        Field::new("clientSecret", Kind::Password, "Its secret."),
        Field::new(
            "clusterId",
            Kind::Text,
            "The cluster object that is to be changed: `aksConfig` is then merged as by a PUT.",
        ),
        Field::new("enableNetworkPolicy", Kind::Bool, "Project network isolation."),
        Field::new(
            "environment",
            Kind::Text,
            "`AzurePublicCloud` (also for any other value), `AzureChinaCloud` or `AzureUSGovernmentCloud`.",
        ),
        Field::new("subscriptionId", Kind::Text, "The subscription of a credential in the request."),
        Field::new("tenantId", Kind::Text, "Its directory; found from the subscription if it is missing."),
    ],
);

documented!(ReviewRequest, &REVIEW_REQUEST, Form::Input);

/// The result of a review.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewResult {
    /// Whether a POST or PUT of this specification would be rejected.
    blocked: bool,
    /// Errors first, then warnings, then advice.
    findings: Vec<ReviewFinding>,
    /// Rules that could not be checked because Azure's response is missing.
    unchecked: Vec<UncheckedRule>,
}

/// A finding about a specification.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewFinding {
    severity: ReviewSeverity,
    /// The path of the field.
    #[schema(example = "aksConfig.nodePools[1].vmSize")]
    field: String,
    /// The name of the rule.
    #[schema(example = "size-exists")]
    rule: String,
    /// One sentence that names the field.
    message: String,
    /// The remedy.
    remedy: String,
    /// The source of the rule: a page of this project's documentation, or the URL of a page of Azure's.
    source: String,
    /// Whether the finding depends on a response of Azure.
    rests_on_azure: bool,
}

/// The severity of a finding: `error` is rejected, `warning` may fail later or have an unintended effect, `advice` works but
/// could be improved.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReviewSeverity {
    Error,
    Warning,
    Advice,
}

/// A rule that could not be checked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UncheckedRule {
    /// The name of the rule.
    rule: String,
    /// The reason.
    reason: String,
}

/// Reviews the specification of a cluster, by itself and against Azure's state, without creating or changing anything.
#[utoipa::path(
    post,
    path = "/api/v1/aks/review",
    operation_id = "reviewCluster",
    tag = "Review",
    request_body = ReviewRequest,
    responses((status = 200, description = "The findings; nothing was saved", body = ReviewResult), ReviewFailures),
)]
pub(super) async fn review_cluster(
    State(state): State<AppState>,
    actor: Actor,
    Body(body): Body,
) -> Result<Response, Error> {
    let review = state.clusters.review(&actor, review_input(body)?).await?;
    Ok(json::respond(StatusCode::OK, &ReviewResult::from(review)))
}

/// Splits the body into the specification and the source of the credential.
fn review_input(body: Object) -> Result<ReviewInput, Error> {
    // Only a change of a cluster clears a field with `null`.
    let input_for = if body.contains_key("clusterId") { InputFor::Update } else { InputFor::Create };
    let unknown = unknown_fields(&body);
    let mut body = input::convert(&REVIEW_REQUEST, body, input_for)?;
    let cluster_id = input::take_text(&mut body, "clusterId");
    let mut take = |key: &str| input::take_text(&mut body, key).unwrap_or_default();
    let (client_id, secret, subscription_id) =
        (take("clientId"), take("clientSecret"), take("subscriptionId"));
    let (tenant_id, environment) = (take("tenantId"), take("environment"));
    let credential = if client_id.is_empty() && secret.is_empty() && subscription_id.is_empty() {
        None
    } else {
        let required =
            [("subscriptionId", &subscription_id), ("clientId", &client_id), ("clientSecret", &secret)];
        if let Some((key, _)) = required.into_iter().find(|(_, value)| value.is_empty()) {
            let message = format!("{key} is missing from the credential in the request");
            return Err(Invalid::field("MissingRequired", key, message).into());
        }
        let client_secret = SecretString::from(secret);
        Some(InlineCredential { tenant_id, subscription_id, client_id, client_secret, environment })
    };
    Ok(ReviewInput { cluster_id, body, unknown, credential })
}

impl From<Review> for ReviewResult {
    fn from(review: Review) -> Self {
        Self {
            blocked: review.first_error().is_some(),
            findings: review.findings.into_iter().map(ReviewFinding::from).collect(),
            unchecked: review
                .unchecked
                .into_iter()
                .map(|unchecked| UncheckedRule { rule: unchecked.rule, reason: unchecked.reason })
                .collect(),
        }
    }
}

impl From<review::Finding> for ReviewFinding {
    fn from(finding: review::Finding) -> Self {
        Self {
            severity: match finding.severity {
                Severity::Error => ReviewSeverity::Error,
                Severity::Warning => ReviewSeverity::Warning,
                Severity::Advice => ReviewSeverity::Advice,
            },
            field: finding.field,
            rule: finding.rule,
            message: finding.message,
            remedy: finding.remedy,
            source: finding.source,
            rests_on_azure: finding.rests_on_azure,
        }
    }
}
