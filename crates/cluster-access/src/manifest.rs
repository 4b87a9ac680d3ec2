//! Applies the objects of the cluster agent's manifest, and deletes them. Only the kinds of that manifest are known.

use aks::registration::{INSTALLATION, NAMESPACE};
use http::StatusCode;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::Request;
use serde_json::Value;

use crate::error::Error;
use crate::kube_client::KubeClient;

const FIELD_MANAGER: &str = "norman-aks";

/// The kind whose label names the server.
const DEPLOYMENT: &str = "Deployment";
const NAMESPACE_KIND: &str = "Namespace";
const SECRET: &str = "Secret";

/// Applies the objects in their order with server-side apply. Objects of other field managers are taken over.
///
/// # Errors
/// [`Error::Foreign`] if the cluster has an agent that another server deployed: nothing is changed then.
pub(super) async fn apply(kube: &KubeClient, objects: &[Value]) -> Result<(), Error> {
    check_owner(kube, objects).await?;
    for object in objects {
        let (collection, name) = place(kube, object)?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let request = Request::new(collection).patch(&name, &params, &Patch::Apply(object));
        kube.request_text(request).await?;
    }
    Ok(())
}

/// Deletes the objects, the last one first; absent ones are skipped. The namespace stays: other programs use it too. If the
/// agent is that of another server, only the secrets are deleted, whose names are ours.
pub(super) async fn delete(kube: &KubeClient, objects: &[Value]) -> Result<(), Error> {
    let is_foreign = match check_owner(kube, objects).await {
        Err(Error::Foreign { .. }) => true,
        outcome => outcome.map(|()| false)?,
    };
    for object in objects.iter().rev() {
        match kind(object) {
            NAMESPACE_KIND => {}
            kind if is_foreign && kind != SECRET => {}
            _ => {
                let (collection, name) = place(kube, object)?;
                delete_object(kube, collection, &name).await?;
            }
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

/// Fails if the cluster has the deployment without the label of this server.
async fn check_owner(kube: &KubeClient, objects: &[Value]) -> Result<(), Error> {
    for object in objects.iter().filter(|object| kind(object) == DEPLOYMENT) {
        let (collection, name) = place(kube, object)?;
        let request = Request::new(collection).get(&name, &kube::api::GetParams::default());
        let Some(text) = none_if_not_found(kube.request_text(request).await)? else { continue };
        let live: Value = serde_json::from_str(&text).map_err(|_| kube.unreadable("its deployment"))?;
        if installation(&live).is_none() || installation(&live) != installation(object) {
            let object = format!("deployment {NAMESPACE}/{name}");
            return Err(Error::Foreign { host: kube.host.clone(), object });
        }
    }
    Ok(())
}

async fn delete_object(kube: &KubeClient, collection: String, name: &str) -> Result<(), Error> {
    let request = Request::new(collection).delete(name, &DeleteParams::default());
    none_if_not_found(kube.request_text(request).await).map(drop)
}

fn installation(object: &Value) -> Option<&str> {
    object.pointer("/metadata/labels")?.get(INSTALLATION)?.as_str()
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// The path of the collection that an object belongs to, and its name.
fn place(kube: &KubeClient, object: &Value) -> Result<(String, String), Error> {
    let collection = match kind(object) {
        NAMESPACE_KIND => "/api/v1/namespaces".to_owned(),
        "ServiceAccount" => format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
        SECRET => format!("/api/v1/namespaces/{NAMESPACE}/secrets"),
        "NetworkPolicy" => format!("/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"),
        DEPLOYMENT => format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments"),
        _ => return Err(kube.unreadable("an object of an unknown kind")),
    };
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    Ok((collection, name.to_owned()))
}

fn none_if_not_found(outcome: Result<String, Error>) -> Result<Option<String>, Error> {
    match outcome {
        Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}
