//! The catalog under `/api/v1`: lists with verdicts, their parameters and pages.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod credential_check;
mod documents;
#[cfg(test)]
mod kubernetes_versions;
#[cfg(test)]
mod regions;
#[cfg(test)]
mod test_catalog;
#[cfg(test)]
mod upgrade_plan;
#[cfg(test)]
mod vm_sizes;
