//! Programs that run as containers of pods in the sandbox's clusters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::{fmt, io};

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A program that the sandbox runs as the container of a pod.
#[derive(Clone)]
pub struct BuiltInImage {
    /// The repository without a registry, such as `norman-aks/agent`; with a tag, only that tag.
    pub image: String,
    /// The program.
    pub run: Program,
}

/// A program: it runs until its container is stopped. The sandbox restarts one that returns, with a backoff.
pub type Program = Arc<dyn Fn(Container) -> BoxFuture<'static, ()> + Send + Sync>;

/// Opens a TCP connection to a host name or address and a port.
pub type Connect = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// The container of a running program.
#[derive(Clone)]
pub struct Container {
    /// The namespace of its pod.
    pub namespace: String,
    /// The name of its pod.
    pub pod: String,
    /// The host name of the cluster's Kubernetes API.
    pub fqdn: String,
    /// The environment of its specification, and the variables that Kubernetes adds.
    pub environment: BTreeMap<String, String>,
    /// The files of mounted secrets and config maps by absolute path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Connects through the pod's network. It reaches the Kubernetes API of its own cluster, at the API's host name and at
    /// `KUBERNETES_SERVICE_HOST`, and what this machine reaches, except other clusters and cloud metadata services.
    pub connect: Connect,
    /// Adds a line to the log of the container.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
    /// Sets whether the container is ready; at its start, it is not.
    pub ready: Arc<dyn Fn(bool) + Send + Sync>,
    /// Cancelled when the container has to stop. A program that has not returned 5 s later is aborted.
    pub stop: CancellationToken,
}

impl fmt::Debug for BuiltInImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BuiltInImage").field("image", &self.image).finish_non_exhaustive()
    }
}

/// Omits the environment and files, which contain secrets.
impl fmt::Debug for Container {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, pod, fqdn, .. } = self;
        let mut debug = formatter.debug_struct("Container");
        debug.field("namespace", namespace).field("pod", pod).field("fqdn", fqdn).finish_non_exhaustive()
    }
}

/// Whether an image reference is of `image`: the same repository, regardless of the registry, and the tag of
/// `image` if it has one.
pub(crate) fn is_reference_to(reference: &str, image: &str) -> bool {
    let (repository, tag) = split_reference(reference);
    let (image, image_tag) = split_reference(image);
    repository == image && image_tag.is_none_or(|image_tag| image_tag == tag.unwrap_or("latest"))
}

/// The repository without its registry, and the tag. A digest is ignored.
fn split_reference(reference: &str) -> (&str, Option<&str>) {
    let reference = reference.split_once('@').map_or(reference, |(reference, _)| reference);
    let reference = match reference.split_once('/') {
        Some((host, rest)) if host == "localhost" || host.contains(['.', ':']) => rest,
        _ => reference,
    };
    match reference.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (reference, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_compared_without_registry_and_digest() {
        for (reference, image, expected) in [
            ("norman-aks/agent", "norman-aks/agent", true),
            ("ghcr.io/norman-aks/agent:1.2", "norman-aks/agent", true),
            ("localhost:5000/norman-aks/agent:1.2@sha256:00", "norman-aks/agent:1.2", true),
            ("norman-aks/agent", "norman-aks/agent:latest", true),
            ("norman-aks/agent:1.3", "norman-aks/agent:1.2", false),
            ("norman-aks/agents", "norman-aks/agent", false),
            ("other/norman-aks/agent", "norman-aks/agent", false),
        ] {
            assert_eq!(is_reference_to(reference, image), expected, "{reference} {image}");
        }
    }
}
