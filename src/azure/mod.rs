//! What Azure says: the thin client of Microsoft Entra and Azure Resource Manager. Knows nothing of Rancher.

mod error;

pub use error::Error;
