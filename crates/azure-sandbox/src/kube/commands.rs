//! Commands that Azure runs inside a cluster: the pod that represents a command, and its execution.
//!
//! The program of the pod is [`super::kubectl`], with the rights of the user that [`authn::user_of_command`] determines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::authn;
use super::clusters::KubeClusters;
use super::kubectl::{self, Client, Output};
use super::resources::{NAMESPACES, PODS};
use super::user::{EntraCaller, User};
use super::value::text;
use super::write::{self, Context, ObjectRef};

/// The namespace of the pods of commands.
const NAMESPACE: &str = "aks-command";
const IMAGE: &str = "mcr.microsoft.com/aks/command/runtime:master.240227.1";
/// The maximum length of the output in bytes, as in Azure.
const MAX_LOGS_LEN: usize = 512 << 10;

/// A command with the files in its working directory, and an Entra token, which may be empty.
pub(crate) struct CommandInput<'a> {
    pub(crate) command: &'a str,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) token: &'a str,
}

/// The error of a command whose pod was not scheduled.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) message: String,
}

fn pod_name(id: &str) -> String {
    format!("command-{}", id.replace('-', ""))
}

impl KubeClusters {
    pub(crate) fn exists(&self, host: &str) -> bool {
        self.find_declared(host).is_some()
    }

    /// Creates the pod of a command.
    pub(crate) fn create_command_pod(&self, host: &str, id: &str) {
        let (Some(cluster), now, name) = (self.cluster(host), self.now(), pod_name(id)) else { return };
        let user = User::administrator();
        let context = Context { user: &user, now: &now, dry_run: false };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "containers": [{"name": "command", "image": IMAGE}], "restartPolicy": "Never",
            "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]}});
        let target = |resource, namespace, name| ObjectRef { resource, namespace, name, subresource: "" };
        // Fails if the namespace exists. This is a separate change, because the controllers then create the default service
        // account that the pod needs.
        let _ = cluster.change(&now, |state| {
            write::create(state, &context, &target(&NAMESPACES, "", NAMESPACE), namespace)
        });
        let created = cluster
            .change(&now, |state| write::create(state, &context, &target(&PODS, NAMESPACE, &name), pod));
        if let Err(error) = created {
            tracing::warn!(host, error = error.message, "cannot create the pod of a command");
        }
    }

    /// Deletes the pod of a command, and returns whether it was scheduled.
    pub(crate) fn delete_command_pod(&self, host: &str, id: &str) -> bool {
        let (Some(cluster), name) = (self.cluster(host), pod_name(id)) else { return false };
        let pod = cluster.change(&self.now(), |state| state.remove(&PODS, NAMESPACE, &name));
        pod.is_some_and(|pod| !text(&pod, "/spec/nodeName").is_empty())
    }

    /// Deletes the pod of a command, and executes the command if the pod was scheduled.
    pub(crate) fn run_command(
        &self,
        host: &str,
        id: &str,
        input: &CommandInput<'_>,
        entra_lookup: &dyn Fn(&str) -> Option<EntraCaller>,
    ) -> Result<Output, NotStarted> {
        let is_scheduled = self.delete_command_pod(host, id);
        let cluster = self.cluster(host).filter(|cluster| is_scheduled && cluster.state().declared.running);
        let Some(cluster) = cluster else {
            let message = format!(
                "Failed to run command due to cluster perf issue, container {} in {NAMESPACE} namespace did not start \
                 within 30s on your cluster, retry may helps. If issue persist, you may need to tune your cluster with \
                 better performance (larger node/paid tier).",
                pod_name(id)
            );
            return Err(NotStarted { message });
        };
        let Ok(user) = authn::user_of_command(&cluster, input.token, entra_lookup) else {
            let logs = "error: You must be logged in to the server (Unauthorized)\n".to_owned();
            return Ok(Output { exit_code: 1, logs });
        };
        let client = Client { kube: self.clone(), cluster: Arc::clone(&cluster), user };
        let mut output = kubectl::run(&client, &input.files, input.command);
        let truncated_len = output.logs.floor_char_boundary(MAX_LOGS_LEN);
        output.logs.truncate(truncated_len);
        Ok(output)
    }
}
