//! `cloudCredential` (`docs/contract/credentials.md#the-type-cloudcredential`). Only Azure credentials are supported.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A cloud credential.
pub static CLOUD_CREDENTIAL: Schema = Schema {
    id: "cloudCredential",
    title: "CloudCredential",
    doc: "A stored Azure credential. Its client secret is taken and never given back.",
    plural: "cloudCredentials",
    collection: Some("/v3/cloudcredentials"),
    resource_methods: &["GET", "PUT", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new(
            "annotations",
            Kind::TextMap,
            "Notes for programs; those of `cattle.io/` stay when left out.",
        )
        .non_null(),
        Field::new("azurecredentialConfig", Kind::Object(&AZURE_CREDENTIAL_CONFIG), "The service principal.")
            .non_null(),
        Field::output("created", Kind::Date, "When it was made."),
        Field::output("createdTS", Kind::Int, "When it was made, in milliseconds since 1970."),
        Field::output("creatorId", Kind::Text, "The id of the user who made it."),
        Field::new("description", Kind::Text, "Words about it."),
        Field::output("id", Kind::Text, "`cattle-global-data:cc-xxxxx`"),
        Field::new("labels", Kind::TextMap, "Labels; those of `cattle.io/` stay when left out.").non_null(),
        Field::new("name", Kind::Text, "The name that people see; the id when none is given.").non_null(),
        Field::output("uuid", Kind::Text, "Never given to another object."),
    ],
};

/// The service principal of a credential. The ID of the type in Rancher is all lower case.
pub static AZURE_CREDENTIAL_CONFIG: Schema = Schema::nested(
    "azurecredentialconfig",
    "AzureCredentialConfig",
    "An Azure service principal.",
    "azurecredentialconfigs",
    &[
        Field::new("clientId", Kind::Text, "The id of the application."),
        Field::new(
            "clientSecret",
            Kind::Password,
            "A secret of the application; the old one stays when left out.",
        ),
        Field::new(
            "environment",
            Kind::Text,
            "`AzurePublicCloud` (also meant by anything else), `AzureChinaCloud` or `AzureUSGovernmentCloud`.",
        ),
        Field::new("subscriptionId", Kind::Text, "The id of the subscription."),
        Field::new(
            "tenantId",
            Kind::Text,
            "The id of the directory; found out when it is needed and not given.",
        ),
    ],
);
