//! What patches have to know about the types: which lists are told apart by keys, which are sets, and what is one
//! piece. Kubernetes has it in the schema of every type; here the names of the fields tell.

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// In one piece.
    Atomic,
    /// Texts, each of them at most once.
    Set,
    /// Objects that are told apart by these keys; a key may have a default.
    Keyed(&'static [(&'static str, Option<&'static str>)]),
}

const NAME: List = List::Keyed(&[("name", None)]);
const TYPE: List = List::Keyed(&[("type", None)]);
const TCP: Option<&str> = Some("TCP");

/// The list at that path: names of fields from the root on, elements of lists left out.
pub(crate) fn list(path: &[&str]) -> List {
    let (last, above) = path.split_last().map_or(("", Default::default()), |(last, above)| (*last, above));
    let parent = above.last().copied().unwrap_or_default();
    match (parent, last) {
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets"
            | "resourceClaims",
        )
        // The secrets of a service account.
        | ("", "secrets") => NAME,
        (_, "volumeMounts") => List::Keyed(&[("mountPath", None)]),
        (_, "volumeDevices") => List::Keyed(&[("devicePath", None)]),
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
            List::Keyed(&[("containerPort", None), ("protocol", TCP)])
        }
        ("spec", "ports") => List::Keyed(&[("port", None), ("protocol", TCP)]),
        (_, "conditions") | ("status", "addresses") => TYPE,
        ("metadata", "ownerReferences") => List::Keyed(&[("uid", None)]),
        ("metadata", "finalizers") | ("spec", "podCIDRs") => List::Set,
        (_, "hostAliases") | ("status", "podIPs") => List::Keyed(&[("ip", None)]),
        (_, "topologySpreadConstraints") => {
            List::Keyed(&[("topologyKey", None), ("whenUnsatisfiable", None)])
        }
        _ => List::Atomic,
    }
}

/// Whether the object at that path is one piece for server-side apply.
pub(crate) fn is_whole(path: &[&str]) -> bool {
    path.len() > 1
        && matches!(
            path.last(),
            Some(
                &"selector"
                    | &"labelSelector"
                    | &"namespaceSelector"
                    | &"nodeSelector"
                    | &"roleRef"
                    | &"secretKeyRef"
                    | &"configMapKeyRef"
                    | &"fieldRef"
                    | &"resourceFieldRef"
                    | &"involvedObject"
            )
        )
        || path == ["roleRef"]
        || path == ["involvedObject"]
}

/// The key by which a strategic merge patch tells the elements of a list apart.
pub(crate) fn merge_key(path: &[&str]) -> Option<&'static str> {
    match (list(path), path) {
        (List::Keyed(keys), _) => keys.first().map(|(key, _)| *key),
        (_, ["spec", "taints"]) => Some("key"),
        _ => None,
    }
}
