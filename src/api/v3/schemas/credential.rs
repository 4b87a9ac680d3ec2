//! `cloudCredential` (`docs/contract/credentials.md#the-type-cloudcredential`). Only Azure credentials are supported.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A cloud credential.
pub static CLOUD_CREDENTIAL: Schema = Schema {
    id: "cloudCredential",
    title: "CloudCredential",
    doc: "A stored Azure credential. Responses never contain its client secret.",
    plural: "cloudCredentials",
    collection: Some("/v3/cloudcredentials"),
    resource_methods: &["GET", "PUT", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new("annotations", Kind::TextMap, "Annotations; missing ones of `cattle.io/` are kept.")
            .non_null(),
        Field::new("azurecredentialConfig", Kind::Object(&AZURE_CREDENTIAL_CONFIG), "The service principal.")
            .non_null(),
        Field::output("created", Kind::Date, "The creation time."),
        Field::output("createdTS", Kind::Int, "The creation time in milliseconds since 1970."),
        Field::output("creatorId", Kind::Text, "The ID of the user who created it."),
        Field::new("description", Kind::Text, "A description."),
        Field::output("id", Kind::Text, "`cattle-global-data:cc-xxxxx`"),
        Field::new("labels", Kind::TextMap, "Labels; missing ones of `cattle.io/` are kept.").non_null(),
        Field::new("name", Kind::Text, "The display name; the ID if it is missing.").non_null(),
        Field::output("uuid", Kind::Text, "The UUID, unique among all objects."),
    ],
};

/// The service principal of a credential. The ID of the type in Rancher is all lower case.
pub static AZURE_CREDENTIAL_CONFIG: Schema = Schema::nested(
    "azurecredentialconfig",
    "AzureCredentialConfig",
    "An Azure service principal.",
    "azurecredentialconfigs",
    &[
        Field::new("clientId", Kind::Text, "The application (client) ID."),
        Field::new(
            "clientSecret",
            Kind::Password,
            "A secret of the application; the stored one is kept if it is missing.",
        ),
        Field::new(
            "environment",
            Kind::Text,
            "`AzurePublicCloud` (also for any other value), `AzureChinaCloud` or `AzureUSGovernmentCloud`.",
        ),
        Field::new("subscriptionId", Kind::Text, "The ID of the subscription."),
        Field::new(
            "tenantId",
            Kind::Text,
            "The directory (tenant) ID; found from the subscription if it is missing.",
        ),
    ],
);
