//! The catalog under `/api/v1`: lists with verdicts, their parameters and pages.

mod agreement;
mod credential_check;
mod documents;
mod kubernetes_versions;
mod regions;
mod test_catalog;
mod upgrade_plan;
mod vm_sizes;
