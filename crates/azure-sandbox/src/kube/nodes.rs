//! The nodes of a cluster, created from the pools that Resource Manager declares.

use super::value::FieldAccess as _;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::declared::{Declared, DeclaredPool};
use super::resources::NODES;
use super::storage::State;
use super::value::{Now, at, hash, list, remove, set, text};

/// The label with the name of the pool of a node.
const POOL_LABEL: &str = "kubernetes.azure.com/agentpool";

/// Stores the declaration of a cluster, and creates, updates and deletes nodes accordingly. `sizes` has vCPUs and memory (GiB)
/// by lower-case VM size.
pub(crate) fn update(state: &mut State, declared: Declared, sizes: &HashMap<String, (u32, f64)>, now: &Now) {
    let old = std::mem::replace(&mut state.declared, declared);
    let declared = state.declared.clone();
    let mut declared_names = BTreeSet::new();
    for pool in &declared.pools {
        for index in 0..pool.count {
            let name = node_name(&declared.fqdn, &pool.name, index);
            let existing = state.get(&NODES, "", &name).map(|node| (**node).clone());
            let old_labels = old.pools.iter().find(|old| old.name == pool.name).map(|old| &old.labels);
            let mut node = existing.unwrap_or_else(|| NODES.new_object("", &name, now));
            for key in old_labels.into_iter().flat_map(|labels| labels.keys()) {
                remove(&mut node, "/metadata/labels", key);
            }
            set_spec(&mut node, &declared, pool, index);
            set_status(&mut node, &declared, pool, sizes, now);
            if at(&node, &["status", "addresses"]).is_null() {
                let address = free_address(state);
                let addresses = json!([{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]);
                set(&mut node, &["status", "addresses"], addresses);
            }
            state.put(&NODES, node);
            declared_names.insert(name);
        }
    }
    for node in state.all(&NODES) {
        let name = text(&node, "/metadata/name");
        if !declared_names.contains(name) && !at(&node, &["metadata", "labels", POOL_LABEL]).is_null() {
            state.remove(&NODES, "", name);
        }
    }
}

/// The name of a scale set instance: `aks-<pool>-<eight digits>-vmss<index>`, with the index as six base-36 digits.
fn node_name(fqdn: &str, pool: &str, index: u32) -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let (mut remaining, mut suffix) = (index, String::new());
    for _ in 0..6 {
        let digit =
            usize::try_from(remaining % 36).ok().and_then(|value| digits.get(value)).copied().unwrap_or(b'0');
        suffix.insert(0, digit.into());
        remaining /= 36;
    }
    format!("{}{suffix}", scale_set_name(fqdn, pool))
}

fn scale_set_name(fqdn: &str, pool: &str) -> String {
    format!("aks-{pool}-{:08}-vmss", hash(fqdn) % 100_000_000)
}

/// The region in a host name such as `x.hcp.eastus.azmk8s.io` or `x.y.privatelink.eastus.azmk8s.io`.
fn region(fqdn: &str) -> &str {
    let mut parts = fqdn.split('.').skip_while(|part| !["hcp", "privatelink", "private"].contains(part));
    parts.nth(1).unwrap_or("eastus")
}

/// Sets labels, taints and the provider ID.
fn set_spec(node: &mut Value, declared: &Declared, pool: &DeclaredPool, index: u32) {
    let region = region(&declared.fqdn);
    let zone = match pool.zones.len() {
        0 => "0".to_owned(),
        count => {
            let zone = usize::try_from(index).ok().and_then(|index| pool.zones.get(index % count));
            format!("{region}-{}", zone.map(String::as_str).unwrap_or_default())
        }
    };
    let name = text(node, "/metadata/name").to_owned();
    let size = pool.vm_size.as_str();
    let mode = pool.mode.to_ascii_lowercase();
    for (key, value) in [
        ("agentpool", pool.name.as_str()),
        (POOL_LABEL, &pool.name),
        ("kubernetes.azure.com/mode", &mode),
        ("kubernetes.azure.com/cluster", declared.fqdn.split('.').next().unwrap_or_default()),
        ("kubernetes.azure.com/os-sku", "Ubuntu"),
        ("kubernetes.azure.com/role", "agent"),
        ("kubernetes.azure.com/storageprofile", "managed"),
        ("kubernetes.azure.com/storagetier", "Premium_LRS"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", &name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/role", "agent"),
        ("node-role.kubernetes.io/agent", ""),
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/instance-type", size),
        ("beta.kubernetes.io/os", "linux"),
        ("node.kubernetes.io/instance-type", size),
        ("failure-domain.beta.kubernetes.io/region", region),
        ("failure-domain.beta.kubernetes.io/zone", &zone),
        ("topology.kubernetes.io/region", region),
        ("topology.kubernetes.io/zone", &zone),
    ] {
        set(node, &["metadata", "labels", key], value);
    }
    for (key, value) in &pool.labels {
        set(node, &["metadata", "labels", key], value.as_str());
    }
    let taints: Vec<_> = pool.taints.iter().filter_map(|text| parse_taint(text)).collect();
    if taints.is_empty() {
        remove(node, "/spec", "taints");
    } else {
        set(node, &["spec", "taints"], taints);
    }
    let provider_id = format!(
        "azure:///virtualMachineScaleSets/{}/virtualMachines/{index}",
        scale_set_name(&declared.fqdn, &pool.name)
    );
    set(node, &["spec", "providerID"], provider_id);
}

/// Parses `key=value:Effect` or `key:Effect`.
fn parse_taint(text: &str) -> Option<Value> {
    let (name, effect) = text.rsplit_once(':')?;
    let mut taint = json!({"effect": effect});
    match name.split_once('=') {
        Some((key, value)) => {
            *taint.field_mut("key") = key.into();
            *taint.field_mut("value") = value.into();
        }
        None => *taint.field_mut("key") = name.into(),
    }
    Some(taint)
}

/// Sets capacity, versions and conditions.
fn set_status(
    node: &mut Value,
    declared: &Declared,
    pool: &DeclaredPool,
    sizes: &HashMap<String, (u32, f64)>,
    now: &Now,
) {
    let (cores, gibibytes) = sizes.get(&pool.vm_size.to_ascii_lowercase()).copied().unwrap_or((2, 8.0));
    let disk_gib = if pool.os_disk_gb == 0 { 128 } else { pool.os_disk_gb };
    let resources = |cpu: String, memory: String, disk: String| {
        json!({"cpu": cpu, "memory": memory, "ephemeral-storage": disk, "pods": "110",
            "hugepages-1Gi": "0", "hugepages-2Mi": "0"})
    };
    let memory_kib = kibibytes(gibibytes);
    let capacity =
        resources(cores.to_string(), format!("{memory_kib}Ki"), format!("{}Ki", u64::from(disk_gib) << 20));
    // AKS reserves about 0.1 vCPUs, a fifth of the memory and a tenth of the disk.
    let allocatable = resources(
        format!("{}m", cores * 1_000 - 100),
        format!("{}Ki", memory_kib - memory_kib / 5),
        (u64::from(disk_gib) * 1_073_741_824 / 10 * 9).to_string(),
    );
    set(node, &["status", "capacity"], capacity);
    set(node, &["status", "allocatable"], allocatable);
    let version = format!("v{}", pool.version(&declared.kubernetes_version));
    let machine_id = format!("{:032x}", hash(text(node, "/metadata/uid")));
    set(
        node,
        &["status", "nodeInfo"],
        json!({"architecture": "amd64", "operatingSystem": "linux", "osImage": "Ubuntu 22.04.5 LTS",
            "kernelVersion": "5.15.0-1092-azure", "containerRuntimeVersion": "containerd://1.7.27-1",
            "kubeletVersion": version, "kubeProxyVersion": version, "machineID": machine_id, "systemUUID": machine_id,
            "bootID": machine_id}),
    );
    set(node, &["status", "daemonEndpoints"], json!({"kubeletEndpoint": {"Port": 10_250}}));
    if list(node, "/status/conditions").is_empty() {
        let conditions = [
            ("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        ]
        .map(|(condition_type, holds, reason, message)| {
            json!({"type": condition_type, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message,
                "lastHeartbeatTime": now.text, "lastTransitionTime": now.text})
        });
        set(node, &["status", "conditions"], conditions.to_vec());
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few terabytes at most")]
fn kibibytes(gibibytes: f64) -> u64 {
    (gibibytes * 1_048_576.0).round() as u64
}

/// The lowest free address of 10.224.0.0/16. Azure reserves the first four addresses of a subnet.
fn free_address(state: &State) -> String {
    let taken: BTreeSet<&str> =
        state.list(&NODES, None, None).map(|node| text(node, "/status/addresses/0/address")).collect();
    let mut candidates = (4..65_000_u32).map(|offset| format!("10.224.{}.{}", offset / 256, offset % 256));
    candidates.find(|address| !taken.contains(address.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "web-1234abcd.hcp.westeurope.azmk8s.io";

    fn declared(count: u32) -> Declared {
        let pool = DeclaredPool {
            name: "np".to_owned(),
            count,
            vm_size: "Standard_D4s_v5".to_owned(),
            zones: ["1", "3"].map(str::to_owned).to_vec(),
            taints: vec!["only=x:NoSchedule".to_owned(), "empty:NoExecute".to_owned()],
            labels: [("mine".to_owned(), "yes".to_owned())].into(),
            ..DeclaredPool::default()
        };
        Declared { fqdn: HOST.to_owned(), pools: vec![pool], ..Declared::default() }
    }

    #[test]
    fn nodes_follow_the_pools_and_keep_their_uid() {
        let now = Now { ms: 0, text: "1970-01-01T00:00:00Z".to_owned() };
        let sizes = HashMap::from([("standard_d4s_v5".to_owned(), (4, 16.0))]);
        let mut state = State::new(Declared::default());
        update(&mut state, declared(2), &sizes, &now);
        let nodes = state.all(&NODES);
        let node = &nodes[1];
        let name = text(node, "/metadata/name");
        assert!(name.starts_with("aks-np-") && name.ends_with("-vmss000001"), "{name}");
        assert_eq!(node["metadata"]["labels"]["topology.kubernetes.io/zone"], "westeurope-3");
        assert_eq!(node["spec"]["taints"][0], json!({"key": "only", "value": "x", "effect": "NoSchedule"}));
        assert_eq!(node["spec"]["taints"][1], json!({"key": "empty", "effect": "NoExecute"}));
        assert_eq!(
            (&node["status"]["capacity"]["cpu"], &node["status"]["capacity"]["memory"]),
            (&json!("4"), &json!("16777216Ki"))
        );
        let mut changed = declared(3);
        changed.pools[0].labels.clear();
        changed.pools[0].version = "1.33.3".to_owned();
        update(&mut state, changed, &sizes, &now);
        let after = state.all(&NODES);
        assert_eq!(after.len(), 3);
        assert_eq!(after[1]["metadata"]["uid"], node["metadata"]["uid"]);
        assert!(after[1]["metadata"]["labels"]["mine"].is_null());
        assert_eq!(after[1]["status"]["nodeInfo"]["kubeletVersion"], "v1.33.3");
        let addresses: BTreeSet<_> =
            after.iter().map(|node| text(node, "/status/addresses/0/address")).collect();
        assert_eq!(addresses.len(), 3);
        update(&mut state, declared(0), &sizes, &now);
        assert_eq!(state.all(&NODES).len(), 0);
    }

    #[test]
    fn node_index_is_base_36_and_region_comes_from_fqdn() {
        assert!(
            node_name(HOST, "np", 35).ends_with("vmss00000z")
                && node_name(HOST, "np", 36).ends_with("vmss000010")
        );
        assert_eq!(region("a.b.privatelink.eastus2.azmk8s.io"), "eastus2");
        assert_eq!(region("a.hcp.chinanorth3.cx.prod.service.azk8s.cn"), "chinanorth3");
    }
}
