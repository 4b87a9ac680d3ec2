//! Applies and deletes the objects of the cluster agent's manifest. Supports only the kinds of that manifest.

use aks::registration::{INSTALLATION_LABEL, NAMESPACE};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::Request;
use serde_json::Value;

use crate::error::Error;
use crate::kube_client::{FIELD_MANAGER, KubeClient, none_if_not_found};

/// The kind of the object whose label identifies the installation that deployed the agent.
const DEPLOYMENT: &str = "Deployment";
const NAMESPACE_KIND: &str = "Namespace";

/// The kinds of the objects in the namespace, in the order of their deletion. The deployment is last, because the requests may
/// pass through the agent itself.
const DELETED_KINDS: [&str; 4] = ["Secret", "NetworkPolicy", "ServiceAccount", DEPLOYMENT];

/// Applies the objects in their order with server-side apply. Takes over fields of other field managers.
///
/// # Errors
/// [`Error::ForeignObject`] if the cluster has an agent that another server deployed; nothing is changed then.
pub(super) async fn apply(kube: &KubeClient, objects: &[Value]) -> Result<(), Error> {
    check_installation(kube, objects).await?;
    for object in objects {
        let (collection, name) = (collection_path(kube, kind(object))?, name(object));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let request = Request::new(collection).patch(name, &params, &Patch::Apply(object));
        kube.request_text(request).await?;
    }
    Ok(())
}

/// Deletes the objects of an installation, by their label. The namespace remains: other programs use it too, and Kubernetes has
/// no request that deletes a namespace only if it is empty.
pub(super) async fn delete(kube: &KubeClient, installation: &str) -> Result<(), Error> {
    let by_installation = ListParams::default().labels(&format!("{INSTALLATION_LABEL}={installation}"));
    for kind in DELETED_KINDS {
        let collection = collection_path(kube, kind)?;
        // Without the content of secrets.
        let request = Request::new(collection.as_str()).list_metadata(&by_installation);
        let text = kube.request_text(request).await?;
        let list: Value = serde_json::from_str(&text).map_err(|_| kube.unreadable("the list is not JSON"))?;
        for object in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            delete_object(kube, collection.clone(), name(object)).await?;
        }
    }
    Ok(())
}

/// Deletes secrets of earlier manifests; absent ones are skipped.
pub(super) async fn delete_secrets(kube: &KubeClient, names: &[String]) -> Result<(), Error> {
    for name in names {
        delete_object(kube, format!("/api/v1/namespaces/{NAMESPACE}/secrets"), name).await?;
    }
    Ok(())
}

/// Fails if the cluster has the deployment without the label of this installation.
async fn check_installation(kube: &KubeClient, objects: &[Value]) -> Result<(), Error> {
    for object in objects.iter().filter(|object| kind(object) == DEPLOYMENT) {
        let (collection, name) = (collection_path(kube, kind(object))?, name(object));
        let request = Request::new(collection).get(name, &kube::api::GetParams::default());
        let Some(text) = none_if_not_found(kube.request_text(request).await)? else { continue };
        let existing: Value =
            serde_json::from_str(&text).map_err(|_| kube.unreadable("the deployment is not JSON"))?;
        if installation_label(&existing).is_none()
            || installation_label(&existing) != installation_label(object)
        {
            let object = format!("deployment {NAMESPACE}/{name}");
            return Err(Error::ForeignObject { host: kube.host.clone(), object });
        }
    }
    Ok(())
}

async fn delete_object(kube: &KubeClient, collection: String, name: &str) -> Result<(), Error> {
    let request = Request::new(collection).delete(name, &DeleteParams::default());
    none_if_not_found(kube.request_text(request).await).map(drop)
}

fn installation_label(object: &Value) -> Option<&str> {
    object.pointer("/metadata/labels")?.get(INSTALLATION_LABEL)?.as_str()
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// The path of the collection of a kind.
fn collection_path(kube: &KubeClient, kind: &str) -> Result<String, Error> {
    Ok(match kind {
        NAMESPACE_KIND => "/api/v1/namespaces".to_owned(),
        "ServiceAccount" => format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
        "Secret" => format!("/api/v1/namespaces/{NAMESPACE}/secrets"),
        "NetworkPolicy" => format!("/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"),
        DEPLOYMENT => format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments"),
        _ => return Err(kube.unreadable("an object of an unknown kind")),
    })
}
