//! Families of VM sizes, the rows of `data/vm-families.json`.

use std::collections::HashMap;

use serde::Deserialize;

/// Constrained sizes, which are memory-optimized with fewer active vCPUs: all vCPUs, and the active ones.
const CONSTRAINED_SIZES: [(u32, u32); 11] =
    [(4, 2), (8, 2), (8, 4), (16, 4), (16, 8), (32, 8), (32, 16), (64, 16), (64, 32), (96, 24), (96, 48)];

/// A row of `data/vm-families.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Family {
    #[serde(rename = "family")]
    pub(crate) title: String,
    /// The name of a size without `Standard_`; `{n}` is the number of vCPUs.
    #[serde(default)]
    pattern: String,
    #[serde(default)]
    cores: Vec<u32>,
    /// Memory per vCPU, GiB.
    #[serde(default)]
    memory: f64,
    /// Individual sizes instead of a pattern: name, vCPUs, GiB.
    #[serde(default)]
    sizes: Vec<(String, u32, f64)>,
    /// Temporary disk per vCPU, MiB; 0 for none.
    pub(crate) temp: u64,
    flags: Vec<String>,
    /// The date of retirement that Azure announced, month first.
    #[serde(default)]
    pub(crate) retires: Option<String>,
    /// The percentage of regions that offer the family.
    pub(crate) reach: u64,
    /// GPUs of the individual sizes.
    #[serde(default)]
    gpus: Vec<u32>,
}

impl Family {
    pub(crate) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    pub(crate) fn sizes(&self) -> Vec<Size> {
        let size = |name: String, cores, active_cores, memory, gpus| Size {
            name,
            cores,
            active_cores,
            memory,
            gpus,
        };
        if !self.sizes.is_empty() {
            let gpus = self.gpus.iter().copied().map(Some).chain(std::iter::repeat(None));
            return self
                .sizes
                .iter()
                .zip(gpus)
                .map(|((name, cores, memory), gpus)| size(name.clone(), *cores, *cores, *memory, gpus))
                .collect();
        }
        let size_name = |n: &str| self.pattern.replace("{n}", n);
        let mut all = Vec::new();
        for cores in self.cores.iter().copied() {
            let memory = f64::from(cores) * self.memory;
            if self.is("constrained") {
                for (_, active_cores) in
                    CONSTRAINED_SIZES.into_iter().filter(|(all_cores, _)| *all_cores == cores)
                {
                    all.push(size(
                        size_name(&format!("{cores}-{active_cores}")),
                        cores,
                        active_cores,
                        memory,
                        None,
                    ));
                }
            }
            all.push(size(size_name(&cores.to_string()), cores, cores, memory, None));
        }
        all
    }
}

pub(crate) struct Size {
    /// Without the prefix `Standard_`, but with `Basic_`.
    pub(crate) name: String,
    pub(crate) cores: u32,
    /// Active vCPUs.
    pub(crate) active_cores: u32,
    /// In GiB.
    pub(crate) memory: f64,
    pub(crate) gpus: Option<u32>,
}

/// vCPUs and memory (GiB) by lower-case VM size.
pub(crate) fn machine_sizes(families: &[Family]) -> HashMap<String, (u32, f64)> {
    let sizes = families.iter().flat_map(Family::sizes);
    sizes
        .map(|size| {
            (format!("standard_{}", size.name).to_ascii_lowercase(), (size.active_cores, size.memory))
        })
        .collect()
}
