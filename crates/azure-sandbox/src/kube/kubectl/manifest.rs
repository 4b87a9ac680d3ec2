//! The objects in the manifest files of a command.

use serde_json::Value;

use super::args::Args;
use super::{Failure, Session};
use crate::kube::resources::{self, Resource};
use crate::kube::value::{list, set, text};

/// An object in a manifest file.
pub(super) struct Item {
    pub(super) file: String,
    pub(super) resource: &'static Resource,
    /// Empty for types without namespaces.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) object: Value,
}

impl Session<'_> {
    /// The objects in the files of `-f`, in order. An inner error concerns only one object.
    pub(super) fn items(&self, args: &Args) -> Result<Vec<Result<Item, String>>, Failure> {
        if args.files.is_empty() {
            return Err(Failure::error("must specify one of -f and -k"));
        }
        let mut items = Vec::new();
        for path in &args.files {
            let file = path.strip_prefix("./").unwrap_or(path);
            let content = self.files.get(file);
            let content =
                content.ok_or_else(|| Failure::error(format!("the path {path:?} does not exist")))?;
            let content = String::from_utf8_lossy(content);
            let documents: Vec<Value> = serde_saphyr::from_multiple(&content)
                .map_err(|error| Failure::error(format!("error parsing {path}: {error}")))?;
            for document in documents.into_iter().filter(|document| !document.is_null()) {
                if text(&document, "/kind") == "List" {
                    let elements = list(&document, "/items").iter().cloned();
                    items.extend(elements.map(|object| parse_item(file, object, args)));
                } else {
                    items.push(parse_item(file, document, args));
                }
            }
        }
        if items.is_empty() {
            return Err(Failure::error("no objects passed to kubectl"));
        }
        Ok(items)
    }
}

fn parse_item(file: &str, mut object: Value, args: &Args) -> Result<Item, String> {
    let (kind, version) = (text(&object, "/kind").to_owned(), text(&object, "/apiVersion").to_owned());
    let name = text(&object, "/metadata/name").to_owned();
    let object_namespace = text(&object, "/metadata/namespace").to_owned();
    let Some(resource) = resources::for_object(&object).filter(|resource| resource.stored) else {
        return Err(format!(
            "error: resource mapping not found for name: {name:?} namespace: {object_namespace:?} from {file:?}: no matches for \
             kind {kind:?} in version {version:?}\nensure CRDs are installed first"
        ));
    };
    let mut namespace = String::new();
    if resource.namespaced {
        let requested = args.namespace.as_deref().unwrap_or_default();
        if !object_namespace.is_empty() && !requested.is_empty() && object_namespace != requested {
            return Err(format!(
                "error: the namespace from the provided object {object_namespace:?} does not match the namespace {requested:?}. You \
                 must pass '--namespace={object_namespace}' to perform this operation."
            ));
        }
        let mut names = [object_namespace.as_str(), requested, "default"].into_iter();
        names.find(|name| !name.is_empty()).unwrap_or_default().clone_into(&mut namespace);
        set(&mut object, &["metadata", "namespace"], namespace.as_str());
    }
    Ok(Item { file: file.to_owned(), resource, namespace, name, object })
}

/// The URL of an object, or of the list of its type if `name` is empty.
pub(super) fn object_url(resource: &Resource, namespace: &str, name: &str) -> String {
    let version = resources::VERSION;
    let base = if resource.group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{}/{version}", resource.group)
    };
    let namespace_path = if namespace.is_empty() || !resource.namespaced {
        String::new()
    } else {
        format!("/namespaces/{}", encode(namespace))
    };
    let name = if name.is_empty() { String::new() } else { format!("/{}", encode(name)) };
    format!("{base}{namespace_path}/{}{name}", resource.plural)
}

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn encode(part: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(part, RESERVED)
}

/// Finds a type by a name that `kubectl get` accepts: plural, singular or short, optionally with its group.
pub(super) fn find_resource(word: &str) -> Option<&'static Resource> {
    let word = word.to_ascii_lowercase();
    let (name, group) =
        word.split_once('.').map_or((word.as_str(), None), |(name, group)| (name, Some(group)));
    resources::ALL.into_iter().filter(|resource| resource.stored).find(|resource| {
        let is_named =
            resource.plural == name || resource.singular == name || resource.short_names.contains(&name);
        is_named && group.is_none_or(|group| group == resource.group)
    })
}
