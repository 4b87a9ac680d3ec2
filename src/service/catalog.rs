//! The catalog as use cases: lists of Azure from the cache of listings, and what follows from them. The verdicts are in
//! `aks::catalog`.

pub mod vm_sizes;
