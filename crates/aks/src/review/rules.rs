//! The table of all rules.

use super::rule::Rule;
use super::{
    access, addresses, advice, changes, combinations, existing, imports, metadata, names, networks, pools,
    required, security, sizes, subnets, unknown, versions,
};

/// The rules by subject, in the order in which their findings appear: required fields come first, in Rancher's order.
const SUBJECTS: [&[Rule]; 17] = [
    required::RULES,
    changes::RULES,
    combinations::RULES,
    names::RULES,
    metadata::RULES,
    pools::RULES,
    networks::RULES,
    subnets::RULES,
    versions::RULES,
    security::RULES,
    access::RULES,
    existing::RULES,
    imports::RULES,
    sizes::RULES,
    addresses::RULES,
    unknown::RULES,
    advice::RULES,
];

/// All rules.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    SUBJECTS.into_iter().flatten()
}
