//! Questions that are answered at once and kept nowhere: who am I, whose token is this, may I, may he, what may I.

use super::value::Keyed as _;
use serde_json::{Value, json};

use super::authn::{User, audience, by_token};
use super::authz::{Attributes, Decision, decide, grants};
use super::cluster::Cluster;
use super::entra::Caller;
use super::resources::{
    self, LOCAL_ACCESS_REVIEWS, Resource, SELF_ACCESS_REVIEWS, SELF_RULES_REVIEWS, SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
};
use super::status::{Cause, Refused};
use super::storage::State;
use super::value::{Now, set, text, texts};

/// Who presents a token of Entra.
type Entra<'a> = &'a dyn Fn(&str) -> Option<Caller>;

/// The review with its answer in `status`.
pub(super) fn answer(
    cluster: &Cluster,
    resource: &Resource,
    (user, namespace): (&User, &str),
    mut review: Value,
    (entra, now): (Entra<'_>, &Now),
) -> Result<Value, Refused> {
    let status = if resource.is(&SELF_SUBJECT_REVIEWS) {
        json!({"userInfo": user.info()})
    } else if resource.is(&TOKEN_REVIEWS) {
        token(cluster, &review, entra, now)?
    } else if resource.is(&SELF_RULES_REVIEWS) {
        rules(&cluster.state(), user, text(&review, "/spec/namespace"))?
    } else {
        let asked_for =
            if resource.is(&SELF_ACCESS_REVIEWS) { user.clone() } else { subject(resource, &review)? };
        let within = text(&review, "/spec/resourceAttributes/namespace");
        if resource.is(&LOCAL_ACCESS_REVIEWS) && within != namespace {
            let cause = Cause::invalid(
                "spec.resourceAttributes.namespace",
                &within.into(),
                "must match metadata.namespace",
            );
            return Err(Refused::invalid(resource, "", vec![cause]));
        }
        let Decision { allowed, reason } =
            decide(&cluster.state(), &asked_for, &attributes(resource, &review)?);
        let mut status = json!({"allowed": allowed});
        if !reason.is_empty() {
            *status.slot("reason") = reason.into();
        }
        status
    };
    set(&mut review, &["status"], status);
    if review.part("metadata").is_null() {
        set(&mut review, &["metadata", "creationTimestamp"], Value::Null);
    }
    Ok(review)
}

fn token(
    cluster: &Cluster,
    review: &Value,
    entra: &dyn Fn(&str) -> Option<Caller>,
    now: &Now,
) -> Result<Value, Refused> {
    let token = text(review, "/spec/token");
    if token.is_empty() {
        return Err(Refused::bad_request("token is required for TokenReview in authentication"));
    }
    let own = audience(&cluster.host);
    let mut wanted: Vec<&str> = texts(review, "/spec/audiences").collect();
    if wanted.is_empty() {
        wanted.push(&own);
    }
    let Some((user, audiences)) = by_token(cluster, token, entra, now) else {
        return Ok(json!({"user": {}, "error": "[invalid bearer token]"}));
    };
    let good = audiences.unwrap_or_else(|| vec![own.clone()]);
    wanted.retain(|audience| good.iter().any(|good| good == audience));
    if wanted.is_empty() {
        return Ok(json!({"user": {}, "error": "[invalid bearer token, token audiences do not match]"}));
    }
    Ok(json!({"authenticated": true, "user": user.info(), "audiences": wanted}))
}

/// The one about whom is asked.
fn subject(resource: &Resource, review: &Value) -> Result<User, Refused> {
    let groups: Vec<String> = texts(review, "/spec/groups").map(str::to_owned).collect();
    let name = text(review, "/spec/user");
    if name.is_empty() && groups.is_empty() {
        let cause = Cause::required("spec.user", "at least one of user or group must be specified");
        return Err(Refused::invalid(resource, "", vec![cause]));
    }
    Ok(User { name: name.to_owned(), groups, ..User::default() })
}

fn attributes<'a>(resource: &Resource, review: &'a Value) -> Result<Attributes<'a>, Refused> {
    let spec = &review["spec"];
    match (spec["resourceAttributes"].is_object(), spec["nonResourceAttributes"].is_object()) {
        (true, false) => {
            let of = |pointer| text(spec, pointer);
            Ok(Attributes {
                verb: of("/resourceAttributes/verb"),
                group: of("/resourceAttributes/group"),
                resource: of("/resourceAttributes/resource"),
                subresource: of("/resourceAttributes/subresource"),
                namespace: of("/resourceAttributes/namespace"),
                name: of("/resourceAttributes/name"),
                path: None,
            })
        }
        (false, true) => Ok(Attributes {
            verb: text(spec, "/nonResourceAttributes/verb"),
            path: Some(text(spec, "/nonResourceAttributes/path")),
            ..Attributes::default()
        }),
        _ => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            Err(Refused::invalid(
                resource,
                "",
                vec![Cause::invalid("spec.resourceAttributes", &Value::Null, why)],
            ))
        }
    }
}

/// All that somebody may do in a namespace.
fn rules(state: &State, user: &User, namespace: &str) -> Result<Value, Refused> {
    if namespace.is_empty() {
        return Err(Refused::bad_request("no namespace on request"));
    }
    let (mut resource_rules, mut path_rules) = (Vec::new(), Vec::new());
    let mut rules: Vec<Value> = grants(state, user, namespace)
        .into_iter()
        .filter_map(|granted| granted.rules.ok())
        .flatten()
        .collect();
    if decide(state, user, &Attributes { verb: "*", group: "*", resource: "*", ..Attributes::default() })
        .allowed
    {
        rules.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        rules.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    for rule in rules {
        let mut kept = json!({"verbs": rule.part("verbs")});
        let paths = rule.part("nonResourceURLs").is_array();
        let keys: &[&str] =
            if paths { &["nonResourceURLs"] } else { &["apiGroups", "resources", "resourceNames"] };
        for key in keys.iter().filter(|key| rule.part(key).is_array()) {
            *kept.slot(key) = rule.part(key).clone();
        }
        let list = if paths { &mut path_rules } else { &mut resource_rules };
        if !list.contains(&kept) {
            list.push(kept);
        }
    }
    Ok(json!({"incomplete": false, "resourceRules": resource_rules, "nonResourceRules": path_rules}))
}

/// Whether the type is a question, and not something that is kept.
pub(super) fn is_review(resource: &Resource) -> bool {
    !resource.stored && resources::find(resource.group, resource.plural).is_some()
}
