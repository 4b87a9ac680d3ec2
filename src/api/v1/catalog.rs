//! The catalog: the Azure resources that can be used, with reasons and remedies for the others. One file for each resource;
//! `call` reads the credential and the query, `page` builds the lists.

mod call;
mod credential_check;
mod kubernetes_versions;
mod page;
mod reason;
mod regions;
mod vm_sizes;

use axum::extract::FromRef;

use self::call::CatalogCaller;
use crate::api::documented::{DocumentedRouter, routes};
use crate::api::methods::reject_others_with;
use crate::api::norman;
use crate::api::source::MetaState;
use crate::api::surface::{CrossSite, Surface};

/// The rules for the catalog, whose GETs use stored secrets.
pub(in crate::api) static SURFACE: Surface = Surface { cross_site: CrossSite::RejectAll, ..norman::RULES };

/// The routes of the catalog, with full paths. They also work without a database.
pub(in crate::api) fn router<S>() -> DocumentedRouter<S>
where
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    let routes = [
        routes!(credential_check::check_stored_credential),
        routes!(credential_check::check_credential),
        routes!(kubernetes_versions::list_kubernetes_versions),
        routes!(regions::list_regions),
        routes!(vm_sizes::list_vm_sizes),
    ];
    let routes = routes.into_iter().map(reject_others_with::<CatalogCaller, _>);
    routes.fold(DocumentedRouter::new(), DocumentedRouter::route)
}
