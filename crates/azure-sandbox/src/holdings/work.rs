//! One long operation: what it does, to what, since when, and how it is to end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::endings::Final;
use crate::json;
use crate::times::Times;

/// What a long operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// Makes a cluster.
    CreateCluster,
    /// Changes a cluster.
    UpdateCluster,
    /// Brings a cluster to another Kubernetes version.
    UpgradeCluster,
    /// Replaces the tags of a cluster.
    TagCluster,
    /// Ends a cluster.
    DeleteCluster,
    /// Starts a stopped cluster.
    StartCluster,
    /// Stops a cluster.
    StopCluster,
    /// Ends what else goes on in a cluster.
    AbortCluster,
    /// Makes a pool.
    CreatePool,
    /// Changes a pool.
    UpdatePool,
    /// Gives a pool more or fewer nodes.
    ScalePool,
    /// Brings a pool to another Kubernetes version.
    UpgradePool,
    /// Ends a pool.
    DeletePool,
    /// Ends a resource group and everything in it.
    DeleteGroup,
    /// Makes a workspace.
    CreateWorkspace,
    /// Makes or changes a network.
    WriteNetwork,
    /// Ends a network.
    DeleteNetwork,
    /// Makes or changes a subnet.
    WriteSubnet,
    /// Ends a subnet.
    DeleteSubnet,
    /// Registers a resource provider.
    RegisterProvider,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) deed: Deed,
    /// Empty for what is in none.
    pub(crate) group: String,
    /// The resource.
    pub(crate) name: String,
    /// The pool or subnet in it.
    #[serde(default)]
    pub(crate) part: Option<String>,
    pub(crate) region: String,
    pub(crate) started_ms: i64,
    /// Before the scale.
    pub(crate) lasts_ms: u64,
    /// How it is to end, if not well.
    #[serde(default)]
    pub(crate) wanted: Option<Wanted>,
    #[serde(default)]
    pub(crate) ended_ms: Option<i64>,
    /// The Kubernetes versions that it brings: of the cluster under "", of pools under their names.
    #[serde(default)]
    pub(crate) versions: BTreeMap<String, String>,
    /// What the signed address ends with.
    pub(crate) signature: String,
}

/// The end that was decided for an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) status: Final,
    pub(crate) trouble: Trouble,
}

/// What an operation says went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Deed {
    /// The resource provider that does it.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Self::DeleteGroup | Self::RegisterProvider => "Microsoft.Resources",
            Self::CreateWorkspace => "Microsoft.OperationalInsights",
            Self::WriteNetwork | Self::DeleteNetwork | Self::WriteSubnet | Self::DeleteSubnet => {
                "Microsoft.Network"
            }
            _ => "Microsoft.ContainerService",
        }
    }

    /// Whether it is about a cluster or its pools.
    pub(crate) fn is_on_cluster(self) -> bool {
        self.provider() == "Microsoft.ContainerService"
    }

    pub(crate) fn is_deletion(self) -> bool {
        matches!(
            self,
            Self::DeleteCluster
                | Self::DeletePool
                | Self::DeleteGroup
                | Self::DeleteNetwork
                | Self::DeleteSubnet
        )
    }
}

impl Work {
    pub(crate) fn new(deed: Deed, group: &str, name: &str, region: &str) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            deed,
            group: group.to_owned(),
            name: name.to_owned(),
            part: None,
            region: region.to_owned(),
            started_ms: 0,
            lasts_ms: 0,
            wanted: None,
            ended_ms: None,
            versions: BTreeMap::new(),
            signature: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
        }
    }

    #[must_use]
    pub(crate) fn on(mut self, part: &str) -> Self {
        self.part = Some(part.to_owned());
        self
    }

    /// When it ends by itself.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "minutes, not eons")]
    pub(crate) fn due_ms(&self, times: &Times) -> i64 {
        self.started_ms.saturating_add((self.lasts_ms as f64 * times.scale) as i64)
    }

    pub(crate) fn is_of(&self, group: &str, name: &str) -> bool {
        self.group.eq_ignore_ascii_case(group) && self.name.eq_ignore_ascii_case(name)
    }

    /// How it ended; `None` while it goes on.
    pub(crate) fn end(&self) -> Option<Final> {
        self.ended_ms?;
        Some(self.wanted.as_ref().map_or(Final::Succeeded, |wanted| wanted.status))
    }

    /// Ends it before its time.
    pub(crate) fn interrupt(&mut self, now_ms: i64, status: Final, code: &str, message: &str) {
        let trouble = Trouble { code: code.to_owned(), message: message.to_owned() };
        self.wanted = Some(Wanted { status, trouble });
        self.ended_ms = Some(now_ms);
    }

    /// What a poll answers.
    pub(crate) fn json(&self) -> Value {
        let status = match self.end() {
            None => "InProgress",
            Some(Final::Succeeded) => "Succeeded",
            Some(Final::Failed) => "Failed",
            Some(Final::Canceled) => "Canceled",
        };
        let mut body = json!({"status": status});
        // Networks tell neither name nor times.
        if self.deed.provider() != "Microsoft.Network" {
            // The service writes the id of an operation with the bytes of its first groups the other way round.
            let id = Uuid::try_parse(&self.id).unwrap_or_default();
            json::set(&mut body, "/name", Uuid::from_bytes_le(*id.as_bytes()).to_string());
            json::set(&mut body, "/startTime", date(self.started_ms));
            if let Some(ended) = self.ended_ms {
                json::set(&mut body, "/endTime", date(ended));
            }
        }
        if let Some(error) = self.error() {
            json::set(&mut body, "/error", error);
        }
        body
    }

    /// The trouble as Azure writes it: at the end, or on the way when it is overcome.
    pub(crate) fn error(&self) -> Option<Value> {
        let wanted = self.wanted.as_ref()?;
        let shown = self.ended_ms.is_some() || wanted.status == Final::Succeeded;
        let Trouble { code, message } = &wanted.trouble;
        (shown && !code.is_empty()).then(|| json!({"code": code, "message": message}))
    }
}

/// A moment as Azure writes it.
pub(crate) fn date(at_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default()
}
