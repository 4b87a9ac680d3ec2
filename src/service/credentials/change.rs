//! The fields of a credential in a request, and their effect on the stored row (`docs/contract/norman-api.md#updates`).

use aks::plain_text::{ForbiddenCharacter, TextCheck};
use secrecy::{ExposeSecret as _, SecretString};

use crate::service::metadata::{Change, Metadata, MetadataChange};
use crate::store::CredentialRow;
pub use aks::spec::merge::Mode;

/// The credential in a create or update request.
#[derive(Clone, Debug, Default)]
pub struct CredentialChange {
    /// The display name.
    pub name: Change<String>,
    /// The description.
    pub description: Change<String>,
    /// Labels and annotations.
    pub metadata: MetadataChange,
    /// `azurecredentialConfig`, if the request has it.
    pub azure: Option<AzureChange>,
}

/// The service principal in a request. Empty strings mean "not set".
#[derive(Clone, Debug, Default)]
pub struct AzureChange {
    /// The Entra tenant.
    pub tenant_id: Change<String>,
    /// The Azure subscription.
    pub subscription_id: Change<String>,
    /// The ID of the application.
    pub client_id: Change<String>,
    /// The name of the cloud.
    pub environment: Change<String>,
    /// The secret; an empty one is ignored.
    pub client_secret: Option<SecretString>,
}

impl AzureChange {
    /// Whether no field is set.
    pub(super) fn is_empty(&self) -> bool {
        let fields = [&self.tenant_id, &self.subscription_id, &self.client_id, &self.environment];
        self.secret().is_none()
            && fields.iter().all(|change| !matches!(change, Change::Set(text) if !text.is_empty()))
    }

    fn secret(&self) -> Option<&SecretString> {
        self.client_secret.as_ref().filter(|secret| !secret.expose_secret().is_empty())
    }
}

impl CredentialChange {
    /// The new secret, if there is one.
    pub(super) fn secret(&self) -> Option<&SecretString> {
        self.azure.as_ref().and_then(AzureChange::secret)
    }

    /// Applies everything except the secret to `row`.
    pub(super) fn apply(&self, row: &mut CredentialRow, mode: Mode) {
        let name = apply_change(Some(std::mem::take(&mut row.name)), &self.name, mode);
        row.name = name.unwrap_or_default();
        row.description = apply_change(row.description.take(), &self.description, mode);
        let mut metadata = Metadata {
            labels: std::mem::take(&mut row.labels),
            annotations: std::mem::take(&mut row.annotations),
        };
        self.metadata.apply(&mut metadata, mode);
        (row.labels, row.annotations) = (metadata.labels, metadata.annotations);
        if let Some(azure) = &self.azure {
            row.tenant_id = apply_change(row.tenant_id.take(), &azure.tenant_id, mode);
            row.subscription_id = apply_change(row.subscription_id.take(), &azure.subscription_id, mode);
            row.client_id = apply_change(row.client_id.take(), &azure.client_id, mode);
            row.environment = apply_change(row.environment.take(), &azure.environment, mode);
        }
    }
}

/// Rejects characters that are not allowed in `row`, which is to be saved. Values that `before` already has are accepted.
pub(super) fn check_characters(
    row: &CredentialRow,
    before: Option<&CredentialRow>,
) -> Result<(), ForbiddenCharacter> {
    let mut check = TextCheck::new(&["annotations."]);
    let fields = |row: &CredentialRow| {
        [
            ("name", Some(row.name.clone())),
            ("description", row.description.clone()),
            ("azurecredentialConfig.tenantId", row.tenant_id.clone()),
            ("azurecredentialConfig.subscriptionId", row.subscription_id.clone()),
            ("azurecredentialConfig.clientId", row.client_id.clone()),
            ("azurecredentialConfig.environment", row.environment.clone()),
        ]
    };
    if let Some(before) = before {
        let metadata = before.labels.iter().chain(&before.annotations).flat_map(|(key, text)| [key, text]);
        metadata.for_each(|text| check.allow_stored(text));
        fields(before).iter().filter_map(|(_, text)| text.as_ref()).for_each(|text| check.allow_stored(text));
    }
    for (field, text) in fields(row) {
        check.text(field, &text.unwrap_or_default())?;
    }
    check.map("labels", &row.labels)?;
    check.map("annotations", &row.annotations)
}

fn apply_change(old: Option<String>, change: &Change<String>, mode: Mode) -> Option<String> {
    let new = match (change, mode) {
        (Change::Set(text), _) => Some(text.clone()),
        (Change::Keep, Mode::Merge) => old,
        (Change::Keep, Mode::Replace) | (Change::Clear, _) => None,
    };
    new.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn row() -> CredentialRow {
        CredentialRow {
            id: "cc-1".to_owned(),
            name: "old".to_owned(),
            description: Some("words".to_owned()),
            labels: map(&[("cattle.io/creator", "norman"), ("mine", "1")]),
            annotations: map(&[("provisioning.cattle.io/driver", "azure"), ("mine", "1")]),
            tenant_id: Some("t".to_owned()),
            subscription_id: Some("s".to_owned()),
            client_id: Some("c".to_owned()),
            environment: Some("AzurePublicCloud".to_owned()),
            version: 1,
            ..CredentialRow::default()
        }
    }

    fn set(text: &str) -> Change<String> {
        Change::Set(text.to_owned())
    }

    #[test]
    fn merge_keeps_absent_fields_and_clears_null_and_empty_ones() {
        let mut merged = row();
        CredentialChange::default().apply(&mut merged, Mode::Merge);
        assert_eq!(merged, row());
        let azure = AzureChange { tenant_id: set(""), client_id: set("new"), ..AzureChange::default() };
        let change =
            CredentialChange { description: Change::Clear, azure: Some(azure), ..Default::default() };
        change.apply(&mut merged, Mode::Merge);
        let expected =
            CredentialRow { description: None, tenant_id: None, client_id: Some("new".to_owned()), ..row() };
        assert_eq!(merged, expected);
    }

    #[test]
    fn replace_clears_absent_fields() {
        let mut replaced = row();
        let azure = AzureChange { client_id: set("new"), ..AzureChange::default() };
        CredentialChange { azure: Some(azure), ..Default::default() }.apply(&mut replaced, Mode::Replace);
        assert_eq!((replaced.name.as_str(), replaced.description), ("", None));
        assert_eq!(replaced.labels, map(&[("cattle.io/creator", "norman")]));
        assert_eq!(replaced.annotations, map(&[("provisioning.cattle.io/driver", "azure")]));
        assert_eq!((replaced.subscription_id, replaced.environment, replaced.tenant_id), (None, None, None));
    }

    #[test]
    fn system_metadata_cannot_be_changed() {
        let mut merged = row();
        let metadata = MetadataChange {
            labels: Change::Set(map(&[("cattle.io/creator", "me"), ("yours", "2")])),
            annotations: Change::Set(map(&[("field.cattle.io/name", "x"), ("yours", "2")])),
        };
        let change = CredentialChange { metadata, ..CredentialChange::default() };
        change.apply(&mut merged, Mode::Merge);
        assert_eq!(merged.labels, map(&[("cattle.io/creator", "norman"), ("yours", "2")]));
        assert_eq!(merged.annotations, map(&[("provisioning.cattle.io/driver", "azure"), ("yours", "2")]));
        assert_eq!(merged.name, "old");
    }

    #[test]
    fn empty_secret_is_unset_and_debug_shows_no_secret() {
        let azure = |secret: &str| AzureChange {
            client_secret: Some(SecretString::from(secret)),
            ..AzureChange::default()
        };
        assert!(azure("").is_empty());
        assert!(!azure("canary").is_empty());
        assert!(!format!("{:?}", azure("canary")).contains("canary"));
    }
}
