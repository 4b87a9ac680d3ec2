//! The seed data of subscriptions, from the templates in `data/*.json`.

use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clouds::Cloud;
use crate::data::Catalog;
use crate::json;
use crate::seed::Account;
use crate::skus::hash;
use crate::subscription::{Group, Resource, SubscriptionState};

/// The initial state of an account's subscription.
pub(crate) fn seed_subscription(account: &Account, catalog: &Catalog) -> SubscriptionState {
    let mut resources =
        SubscriptionState { unregistered: account.unregistered.clone(), ..SubscriptionState::default() };
    if let Some(cores) = account.cores {
        for region in catalog.physical_regions(account.environment) {
            resources.quotas.entry(region.name.clone()).or_default().insert("cores".to_owned(), cores);
        }
    }
    if !account.resources {
        return resources;
    }
    let resources_from = |templates: &[Box<RawValue>]| -> Vec<Resource> {
        templates.iter().filter_map(|template| resource(template, account)).collect()
    };
    resources.networks = resources_from(&catalog.networks);
    resources.clusters = resources_from(&catalog.clusters);
    let groups = catalog.groups.iter().filter_map(|template| fill_template(template, "", account));
    resources.groups.extend(groups.filter_map(|group| serde_json::from_value(group).ok()));
    resources.groups.extend(resources.clusters.iter().filter_map(node_group));
    resources
}

/// The node resource group of a cluster.
pub(crate) fn node_group(cluster: &Resource) -> Option<Group> {
    let text = |pointer| json::text(&cluster.body, pointer).map(str::to_owned);
    Some(Group {
        name: text("/properties/nodeResourceGroup")?,
        location: text("/location")?,
        tags: None,
        managed_by: text("/id"),
        deleting: false,
    })
}

/// The resource of a template. Its group is part of the ID in the template.
fn resource(template: &RawValue, account: &Account) -> Option<Resource> {
    #[derive(serde::Deserialize)]
    struct Id {
        id: String,
        name: String,
    }
    let Id { id, name } = serde_json::from_str(template.get()).ok()?;
    let group = id.split('/').nth(4)?.to_owned();
    let body = fill_template(template, &name, account)?;
    Some(Resource { group, name, body })
}

/// Fills a template with the account's subscription, tenant and regions, and with unique host names, derived from the
/// subscription and `name`.
fn fill_template(template: &RawValue, name: &str, account: &Account) -> Option<Value> {
    let (location, other_location) = match account.environment {
        Cloud::Public => ("eastus", "westeurope"),
        Cloud::China => ("chinanorth3", "chinaeast2"),
        Cloud::UsGovernment => ("usgovvirginia", "usgovarizona"),
    };
    let name_hash = hash(&[&account.subscription_id, name]);
    let host = format!("{:08x}", name_hash & 0xffff_ffff);
    let link = Uuid::from_u64_pair(name_hash, hash(&[name, &account.subscription_id])).to_string();
    let text = template
        .get()
        .replace("{subscription}", &account.subscription_id)
        .replace("{tenant}", &account.tenant_id)
        .replace("{location}", location)
        .replace("{other_location}", other_location)
        .replace("{suffix}", account.environment.names().cluster_suffix)
        .replace("{host}", &host)
        .replace("{link}", &link);
    serde_json::from_str(&text).ok()
}
