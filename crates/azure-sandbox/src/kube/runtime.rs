//! The containers that run a program: their images, logs and network. [`supervisor`] starts and stops them, [`container`]
//! reads their environment and files from the specification of the pod.

mod container;
pub(super) mod network;
pub(super) mod program_log;
pub(super) mod supervisor;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use super::value::text;
use crate::program::{BuiltInImage, Program, is_reference_to};
use network::Network;
use program_log::ProgramLog;

/// The wildcard for all images in [`Runtime::set_unpullable`].
const EVERY_IMAGE: &str = "*";

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContainerKey {
    /// The host name of the cluster.
    pub(crate) host: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) container: String,
}

impl ContainerKey {
    pub(crate) fn new(host: &str, pod: &Value, container: &str) -> Self {
        Self {
            host: host.to_owned(),
            namespace: text(pod, "/metadata/namespace").to_owned(),
            pod: text(pod, "/metadata/name").to_owned(),
            uid: text(pod, "/metadata/uid").to_owned(),
            container: container.to_owned(),
        }
    }
}

/// The behavior of the containers of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageBehavior {
    /// No program runs; the container is ready immediately.
    Ordinary,
    /// A program runs, and determines whether the container is ready.
    BuiltIn,
    /// The image cannot be pulled.
    Unpullable,
}

/// The built-in images, and the state of their containers.
pub(crate) struct Runtime {
    images: Vec<BuiltInImage>,
    settings: Mutex<Settings>,
    logs: Mutex<HashMap<ContainerKey, ContainerLogs>>,
    pub(crate) network: Arc<Network>,
    /// Notified when the supervisor has to check again which programs should run.
    pub(crate) wake: Notify,
}

struct Settings {
    /// Whether programs run.
    enabled: bool,
    unpullable: Vec<String>,
}

/// The logs of a container.
struct ContainerLogs {
    current: Arc<ProgramLog>,
    /// The log before the last restart.
    previous: Option<Arc<ProgramLog>>,
}

impl Runtime {
    pub(crate) fn new(images: Vec<BuiltInImage>) -> Self {
        Self {
            images,
            settings: Mutex::new(Settings { enabled: true, unpullable: Vec::new() }),
            logs: Mutex::default(),
            network: Arc::default(),
            wake: Notify::new(),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<ContainerKey, ContainerLogs>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.settings().enabled
    }

    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.settings().enabled = enabled;
        self.wake.notify_one();
    }

    pub(crate) fn unpullable(&self) -> Vec<String> {
        self.settings().unpullable.clone()
    }

    /// Sets the images that new pods cannot pull; `*` for all.
    pub(crate) fn set_unpullable(&self, images: Vec<String>) {
        self.settings().unpullable = images;
    }

    pub(crate) fn image_behavior(&self, reference: &str) -> ImageBehavior {
        let is_unpullable = |image: &String| image == EVERY_IMAGE || is_reference_to(reference, image);
        if self.settings().unpullable.iter().any(is_unpullable) {
            ImageBehavior::Unpullable
        } else if self.program(reference).is_some() {
            ImageBehavior::BuiltIn
        } else {
            ImageBehavior::Ordinary
        }
    }

    /// The program of an image reference; `None` if the image is not built in.
    fn program(&self, reference: &str) -> Option<&Program> {
        self.images.iter().find(|image| is_reference_to(reference, &image.image)).map(|image| &image.run)
    }

    /// The log of a container: the current one, or the one before its last restart.
    pub(crate) fn program_log(&self, key: &ContainerKey, previous: bool) -> Option<Arc<ProgramLog>> {
        let all_logs = self.logs();
        let logs = all_logs.get(key)?;
        if previous { logs.previous.clone() } else { Some(Arc::clone(&logs.current)) }
    }

    /// Starts a new log for a container that starts.
    fn start_log(&self, key: &ContainerKey) -> Arc<ProgramLog> {
        let current = Arc::new(ProgramLog::default());
        let mut all_logs = self.logs();
        let previous = all_logs.remove(key).map(|logs| logs.current);
        all_logs.insert(key.clone(), ContainerLogs { current: Arc::clone(&current), previous });
        current
    }

    /// Deletes the logs of containers that do not exist.
    fn retain_logs(&self, exists: impl Fn(&ContainerKey) -> bool) {
        self.logs().retain(|key, _| exists(key));
    }
}
