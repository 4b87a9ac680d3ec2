//! The shapes of Azure's answers, as far as anybody here reads them.
//!
//! Every field may be missing, `null` or of the wrong kind: it is then `None` or empty, and the rest of the
//! list is still read. Null elements of lists, and elements of the wrong kind, are skipped. Unknown fields
//! are ignored. Whether an answer makes sense is not decided here.

mod kubernetes_version;
mod lenient;
mod location;
mod managed_cluster;
mod virtual_network;
mod vm_size;
mod vm_sku;

pub use kubernetes_version::{Capabilities, KubernetesVersion, PatchVersion};
pub use lenient::Maybe;
pub use location::{Location, Metadata, ZoneMapping};
pub use managed_cluster::{ManagedCluster, ManagedClusterProperties};
pub use virtual_network::{Subnet, SubnetProperties, VirtualNetwork, VirtualNetworkProperties};
pub use vm_size::VmSize;
pub use vm_sku::VmSku;
