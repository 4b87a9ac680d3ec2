//! What is kept between two starts, in one file that only its owner may read: it holds the private keys of all
//! clusters. It is written after changes, and an answer about a change waits for it.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::error;

use super::Kubes;
use super::cluster::KeptCluster;
use crate::authority;
use crate::files;

const NAME: &str = "sandbox-kubernetes.json";
/// The form of the file.
const VERSION: u32 = 1;

/// What was kept of the clusters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not one of this program, or of a newer version of it.
    #[error("{path} is not what this version of the sandbox keeps")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The authority of a cluster cannot be used.
    #[error("cannot use the certificate authority of a cluster")]
    Authority(#[from] authority::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    clusters: Vec<KeptCluster>,
}

/// The file; without a folder, nothing is kept.
pub(crate) struct File {
    path: Option<PathBuf>,
    /// One writer at a time; who comes later writes what is newer.
    writing: Mutex<()>,
}

impl File {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { path: folder.map(|folder| folder.join(NAME)), writing: Mutex::new(()) }
    }

    pub(crate) fn read(&self) -> Result<Vec<KeptCluster>, Error> {
        let Some(path) = &self.path else { return Ok(Vec::new()) };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Read { path: path.clone(), source }),
        };
        let unreadable = |source| Error::Unreadable { path: path.clone(), source };
        let content: Content = serde_json::from_slice(&text).map_err(unreadable)?;
        if content.version == VERSION {
            return Ok(content.clusters);
        }
        let text = format!("its version is {}, not {VERSION}", content.version);
        Err(unreadable(serde::de::Error::custom(text)))
    }
}

impl Kubes {
    /// Writes everything now.
    pub(crate) fn save(&self) {
        let file = &self.0.file;
        let Some(path) = &file.path else { return };
        let _writing = file.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = *self.0.signals.changes.borrow();
        let clusters = self.clusters().iter().map(|cluster| cluster.kept()).collect();
        let text = serde_json::to_vec(&Content { version: VERSION, clusters }).unwrap_or_default();
        if let Err(error) = files::replace(path, &text) {
            // The sandbox goes on with what it has in memory.
            error!(path = %path.display(), %error, "cannot keep the clusters");
        }
        self.0.signals.saved.send_replace(wanted);
    }

    /// Waits until everything that has changed so far is kept.
    pub(crate) async fn saved(&self) {
        if self.0.file.path.is_none() {
            return;
        }
        let wanted = *self.0.signals.changes.borrow();
        let mut saved = self.0.signals.saved.subscribe();
        // The sender lives as long as this.
        let _ = saved.wait_for(|saved| *saved >= wanted).await;
    }
}

/// Writes after changes; those that come while it writes are written together.
pub(crate) async fn run(kubes: &Kubes) {
    if kubes.0.file.path.is_none() {
        return;
    }
    let (signals, stop) = (&kubes.0.signals, &kubes.0.stop);
    let mut changes = signals.changes.subscribe();
    loop {
        let stopped = stop.is_cancelled();
        if *changes.borrow_and_update() > *signals.saved.borrow() {
            let writer = kubes.clone();
            if tokio::task::spawn_blocking(move || writer.save()).await.is_err() {
                error!("the clusters were not kept");
            }
        }
        if stopped {
            return;
        }
        tokio::select! {
            news = changes.changed() => if news.is_err() { return },
            () = stop.cancelled() => {}
        }
    }
}
