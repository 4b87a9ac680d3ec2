//! `kubectl apply` and `kubectl delete`.

use http::Method;
use serde_json::Value;

use super::args::Args;
use super::client::{JSON, JSON_HEADERS};
use super::manifest::{Item, encode, find_resource, object_url};
use super::{Failure, Session};
use crate::kube::patch::removals;
use crate::kube::resources::Resource;
use crate::kube::value::{at, list, set, text};

const APPLY_HEADERS: (&str, &str) = ("application/apply-patch+yaml", JSON);
const STRATEGIC_HEADERS: (&str, &str) = ("application/strategic-merge-patch+json", JSON);
/// The annotation with the manifest of the last client-side apply.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl Session<'_> {
    pub(super) fn apply(&mut self, args: &Args) -> Result<(), Failure> {
        let mut failed = false;
        for item in self.items(args)? {
            let result = item.and_then(|item| {
                let outcome = if args.server_side {
                    self.apply_on_server(&item, args)
                } else {
                    self.apply_on_client(&item, args)
                };
                outcome
                    .map(|outcome| format!("{}/{} {outcome}", item.resource.qualified_singular(), item.name))
            });
            failed |= result.is_err();
            let (Ok(line) | Err(line)) = result;
            self.print(&line);
        }
        if failed { Err(Failure::Printed) } else { Ok(()) }
    }

    fn apply_on_server(&self, item: &Item, args: &Args) -> Result<&'static str, String> {
        let manager = encode(args.field_manager.as_deref().unwrap_or("kubectl"));
        let url = object_url(item.resource, &item.namespace, &item.name);
        let url = format!("{url}?fieldManager={manager}&force={}", args.force_conflicts);
        match self.client.send(Method::PATCH, &url, APPLY_HEADERS, &item.object) {
            Ok(_) => Ok("serverside-applied"),
            Err(error) => Err(error.render("")),
        }
    }

    /// Creates the object, or patches the differences from the manifest and removes fields that only the last manifest had.
    fn apply_on_client(&self, item: &Item, args: &Args) -> Result<&'static str, String> {
        let manager = encode(args.field_manager.as_deref().unwrap_or("kubectl-client-side-apply"));
        let url = object_url(item.resource, &item.namespace, &item.name);
        let mut manifest = item.object.clone();
        set(&mut manifest, &["metadata", "annotations", LAST_APPLIED], format!("{}\n", item.object));
        let live = match self.client.send(Method::GET, &url, JSON_HEADERS, &Value::Null) {
            Ok(live) => live,
            Err(error) if error.code == 404 => {
                let list_url =
                    format!("{}?fieldManager={manager}", object_url(item.resource, &item.namespace, ""));
                return match self.client.send(Method::POST, &list_url, JSON_HEADERS, &manifest) {
                    Ok(_) => Ok("created"),
                    Err(error) => Err(error.render(&format!("error when creating {:?}: ", item.file))),
                };
            }
            Err(error) => {
                let resource = item.resource;
                return Err(error.render(&format!(
                    "error when retrieving current configuration of:\nResource: \"{}, Resource={}\", GroupVersionKind: \
                     \"{}, Kind={}\"\nName: {:?}, Namespace: {:?}\nfrom server for: {:?}: ",
                    resource.api_version(),
                    resource.plural,
                    resource.api_version(),
                    resource.kind,
                    item.name,
                    item.namespace,
                    item.file
                )));
            }
        };
        let last_applied = at(&live, &["metadata", "annotations", LAST_APPLIED]).as_str().unwrap_or_default();
        let last_applied: Value = serde_json::from_str(last_applied).unwrap_or_default();
        removals(&last_applied, &item.object, &mut manifest);
        let url = format!("{url}?fieldManager={manager}");
        let patched =
            self.client.send(Method::PATCH, &url, STRATEGIC_HEADERS, &manifest).map_err(|error| {
                error.render(&format!("error when applying patch:\nto:\nfor: {:?}: ", item.file))
            })?;
        let version = "/metadata/resourceVersion";
        Ok(if text(&patched, version) == text(&live, version) { "unchanged" } else { "configured" })
    }

    pub(super) fn delete(&mut self, args: &Args) -> Result<(), Failure> {
        let mut failed = false;
        let targets: Vec<_> = if let Some(selector) = &args.selector {
            self.select_targets(args, selector)?
        } else if args.files.is_empty() {
            let named = named_objects(&args.positional)?;
            let namespace = args.namespace.as_deref().unwrap_or("default");
            let target = |(resource, name)| {
                Ok(Target { resource, namespace: namespace.to_owned(), name, context: String::new() })
            };
            named.into_iter().map(target).collect()
        } else {
            let target = |item: Item| {
                let context = format!("error when deleting {:?}: ", item.file);
                Target { resource: item.resource, namespace: item.namespace, name: item.name, context }
            };
            self.items(args)?.into_iter().map(|item| item.map(target)).collect()
        };
        for target in targets {
            let result = target.and_then(|Target { resource, namespace, name, context }| {
                match self.client.send(
                    Method::DELETE,
                    &object_url(resource, &namespace, &name),
                    JSON_HEADERS,
                    &Value::Null,
                ) {
                    Ok(_) => Ok(Some(format!("{} {name:?} deleted", resource.qualified_singular()))),
                    Err(error) if error.code == 404 && args.ignore_not_found => Ok(None),
                    Err(error) => Err(error.render(&context)),
                }
            });
            failed |= result.is_err();
            if let Some(line) = result.unwrap_or_else(Some) {
                self.print(&line);
            }
        }
        if failed { Err(Failure::Printed) } else { Ok(()) }
    }
}

/// An object to delete.
struct Target {
    resource: &'static Resource,
    namespace: String,
    name: String,
    /// The prefix of the error message.
    context: String,
}

impl Session<'_> {
    /// The objects that `deployments,secrets --selector a=b` selects.
    fn select_targets(&self, args: &Args, selector: &str) -> Result<Vec<Result<Target, String>>, Failure> {
        let [types] = args.positional.as_slice() else {
            return Err(Failure::error("name cannot be provided when a selector is specified"));
        };
        let namespace = args.namespace();
        let mut targets = Vec::new();
        for type_name in types.split(',') {
            let resource = find_resource(type_name).ok_or_else(|| unknown_type(type_name))?;
            let url = format!("{}?labelSelector={}", object_url(resource, namespace, ""), encode(selector));
            match self.client.send(Method::GET, &url, JSON_HEADERS, &Value::Null) {
                Ok(response) => targets.extend(list(&response, "/items").iter().map(|object| {
                    let [name, namespace] =
                        ["/metadata/name", "/metadata/namespace"].map(|key| text(object, key).to_owned());
                    Ok(Target { resource, namespace, name, context: String::new() })
                })),
                Err(error) => targets.push(Err(error.render(""))),
            }
        }
        Ok(targets)
    }
}

pub(super) fn unknown_type(name: &str) -> Failure {
    Failure::error(format!("the server doesn't have a resource type {name:?}"))
}

/// The objects that `pods/a deployments/b` or `pods a b` names.
pub(super) fn named_objects(words: &[String]) -> Result<Vec<(&'static Resource, String)>, Failure> {
    let (first, rest) = words
        .split_first()
        .ok_or_else(|| Failure::error("You must provide one or more resources by argument or filename."))?;
    if first.contains('/') {
        let objects = words.iter().map(|word| {
            let (kind, name) = word.split_once('/').ok_or_else(|| {
                Failure::error("there is no need to specify a resource type as a separate argument when passing arguments in resource/name form")
            })?;
            Ok((find_resource(kind).ok_or_else(|| unknown_type(kind))?, name.to_owned()))
        });
        return objects.collect();
    }
    let resource = find_resource(first).ok_or_else(|| unknown_type(first))?;
    if rest.is_empty() {
        return Err(Failure::error("resource(s) were provided, but no name was specified"));
    }
    Ok(rest.iter().map(|name| (resource, name.clone())).collect())
}
