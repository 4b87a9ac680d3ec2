//! Examples of requests and responses, from `examples.json`. They use the sandbox's credentials, so that the requests on the API
//! page work with `serve --sandbox`. `failures` has the examples of errors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

/// The examples of an operation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Examples {
    pub(super) request: Option<Value>,
    pub(super) response: Option<Value>,
    /// The response as server-sent events.
    pub(super) stream: Option<Value>,
    /// The error response, if it is not in `failures`.
    pub(super) error: Option<Value>,
}

/// The contents of `examples.json`. `operations` is keyed by operation ID, `types` by the name of a `/v3` type or of an action.
/// A value of `types` has example requests by verb and, as `response`, an example object of the type or the response of the
/// action.
#[derive(Default, Deserialize)]
struct ExampleFile {
    operations: BTreeMap<String, Examples>,
    types: BTreeMap<String, BTreeMap<String, Value>>,
}

static EXAMPLES: LazyLock<ExampleFile> = LazyLock::new(|| {
    serde_json::from_str(include_str!("examples.json")).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot parse the examples of the API document");
        ExampleFile::default()
    })
});

/// The examples of an operation, by its ID.
pub(super) fn for_operation(operation_id: &str) -> Examples {
    if let Some(examples) = EXAMPLES.operations.get(operation_id) {
        return examples.clone();
    }
    examples_by_type(operation_id).unwrap_or_default()
}

/// The examples of an operation whose ID is a verb and the name of a type or action, such as `listClusters`.
fn examples_by_type(operation_id: &str) -> Option<Examples> {
    let verbs = ["list", "get", "create", "update", "post", "delete"];
    let (verb, name) = verbs.into_iter().find_map(|verb| Some((verb, operation_id.strip_prefix(verb)?)))?;
    let name = name.strip_suffix("OfCluster").unwrap_or(name);
    let name = name.strip_suffix('s').filter(|_| verb == "list").unwrap_or(name);
    let examples = EXAMPLES.types.get(name)?;
    let request = examples.get(verb).or_else(|| examples.get("update").filter(|_| verb == "post"));
    let response = examples.get("response").cloned();
    Some(Examples {
        request: request.cloned(),
        response: if verb == "list" { Some(list_of_one(name, response?)) } else { response },
        ..Examples::default()
    })
}

/// The response to a list operation of the type `title`, with `element` as its only object.
fn list_of_one(title: &str, element: Value) -> Value {
    let (first, rest) = title.split_at(1);
    let type_id = format!("{}{rest}", first.to_ascii_lowercase());
    let url = format!("https://norman.example.com/v3/{}s", title.to_ascii_lowercase());
    json!({
        "type": "collection",
        "links": {"self": url},
        "createTypes": if type_id == "schema" { json!({}) } else { json!({&*type_id: url}) },
        "actions": {},
        "pagination": {"limit": 1000, "total": 1},
        "sort": {"order": "asc", "reverse": format!("{url}?order=desc"), "links": {}},
        "filters": {},
        "resourceType": type_id,
        "data": [element],
    })
}
