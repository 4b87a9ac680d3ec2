//! Hints for missing rights. Azure's messages contain an action and a scope; a "linked" one contains first the allowed action,
//! and then the denied one on another resource that the request refers to.

use aks::shell;

/// The maximum number of pairs of action and scope in a hint.
const MAX_PAIRS: usize = 5;

/// The text before the scope of another resource.
const LINKED: &str = "linked scope";

/// The hint for a denied action on another resource that the request refers to; `None` for other messages.
/// `is_application_denied` is false if an identity of the cluster was denied.
pub(super) fn linked_hint(message: &str, is_application_denied: bool) -> Option<String> {
    if let Some((_, rest)) = message.split_once("not authorized to access linked subscription") {
        return Some(other_tenant_hint(message, first_word(rest)));
    }
    // The allowed action comes first.
    let denial_phrases = ["does not have permission", "does not have authorization"];
    let (_, denied) = denial_phrases.iter().find_map(|phrase| message.split_once(phrase))?;
    let (actions, scopes) = denied.split_once(LINKED)?;
    let actions = actions.split_once("action").map_or(actions, |(_, rest)| rest);
    let actions = parse_list(actions.trim_start_matches("(s)").trim_end().trim_end_matches("on the"));
    let end_phrases = ["(respectively)", " or the linked scope", " or linked scope"];
    let end = end_phrases.iter().filter_map(|phrase| scopes.find(phrase)).min().unwrap_or(scopes.len());
    let scopes = parse_list(scopes.get(..end)?.trim_start_matches("(s)"));
    let pairs = pair_up(&actions, &scopes);
    if pairs.is_empty() {
        return None;
    }
    let principal = quoted_after(message, "client").filter(|_| !is_application_denied);
    let principal = principal.map_or_else(|| "the application".to_owned(), |id| format!("the identity {id}"));
    let assignee = quoted_after(message, "client");
    let rights = pairs.iter().take(MAX_PAIRS).map(|(action, scope)| {
        let role = role_for(action);
        format!(
            "{action} on {scope}: give it the role {role} there ({})",
            assign_command(assignee, role, scope)
        )
    });
    let missing_rights = rights.collect::<Vec<_>>().join("; and ");
    Some(format!("{principal} lacks the right {missing_rights}; a new role takes effect after a few minutes"))
}

/// The hint for a denied action on another resource, if the message cannot be parsed.
pub(super) fn unparsed_linked_hint() -> String {
    "the application lacks a right on a resource that the request points to, such as a network, an identity or a DNS zone: the \
     message names it"
        .to_owned()
}

/// The hint for a resource of another tenant, on which no role can be assigned.
fn other_tenant_hint(message: &str, subscription: Option<&str>) -> String {
    let subscription = subscription.map(|id| format!(" {id}")).unwrap_or_default();
    let tenant = quoted_after(message, "tenant").map(|id| format!("{id}, ")).unwrap_or_default();
    let action = quoted_after(message, "action").map(|action| format!(" ({action})")).unwrap_or_default();
    format!(
        "the request points to a resource{action} in the subscription{subscription}, which belongs to a tenant other than \
         {tenant}that of the credential: use a resource of a subscription of the credential's tenant"
    )
}

/// The hint for a message with the denied action and its scope.
pub(super) fn missing_right_hint(message: &str) -> String {
    let action = quoted_after(message, "action");
    let scope = quoted_after(message, "scope");
    let assignee = quoted_after(message, "client");
    if let (Some(action), Some(scope)) = (action, scope)
        && let Some(hint) = missing_group_hint(action, scope, assignee)
    {
        return hint;
    }
    let role = action.map_or("Contributor", role_for);
    let roles = if role == "Reader" { "Reader (to read) or Contributor (to create clusters)" } else { role };
    let lacks = action.map_or_else(|| "a role".to_owned(), |action| format!("the right {action}"));
    match scope {
        Some(scope) => {
            let role_scope = role_scope(action.unwrap_or_default(), scope);
            format!(
                "the application lacks {lacks} on {scope}: give it the role {roles} on {role_scope} ({}); a new role takes \
                 effect after a few minutes",
                assign_command(assignee, role, role_scope)
            )
        }
        None => format!(
            "the application lacks {lacks}: give it the role {roles} on the subscription; a new role takes effect \
             after a few minutes"
        ),
    }
}

/// The hint for a resource group that does not exist, on which no role can be assigned.
fn missing_group_hint(action: &str, scope: &str, assignee: Option<&str>) -> Option<String> {
    if !action.eq_ignore_ascii_case("Microsoft.Resources/subscriptions/resourceGroups/write") {
        return None;
    }
    let start = scope.to_ascii_lowercase().find("/resourcegroups/")?;
    let (subscription, rest) = scope.split_at_checked(start)?;
    let group = rest.split('/').nth(2).filter(|name| !name.is_empty())?;
    Some(format!(
        "the application lacks the right {action}, so it cannot create the resource group {group}: create the resource group first \
         and give the application the role Contributor on it, or give the application the role Contributor on the subscription \
         {subscription} ({})",
        assign_command(assignee, "Contributor", subscription)
    ))
}

/// The scope to assign a role on: the resource group if the resource may not exist yet.
fn role_scope<'a>(action: &str, scope: &'a str) -> &'a str {
    let lower = scope.to_ascii_lowercase();
    if !lower.contains("/managedclusters/") && !action.ends_with("/write") {
        return scope;
    }
    let end = lower.find("/resourcegroups/").and_then(|_| lower.find("/providers/"));
    end.and_then(|end| scope.get(..end)).unwrap_or(scope)
}

/// The least privileged built-in role that allows an action.
fn role_for(action: &str) -> &'static str {
    let action = action.to_ascii_lowercase();
    let is_read = action.ends_with("/read");
    for (prefix, role) in [
        ("microsoft.network/privatednszones/", "Private DNS Zone Contributor"),
        ("microsoft.network/", "Network Contributor"),
        ("microsoft.managedidentity/userassignedidentities/", "Managed Identity Operator"),
        ("microsoft.authorization/roleassignments/", "User Access Administrator"),
        ("microsoft.operationalinsights/", "Log Analytics Contributor"),
    ] {
        if action.starts_with(prefix) && !is_read {
            return role;
        }
    }
    if is_read { "Reader" } else { "Contributor" }
}

/// The command that assigns a role.
fn assign_command(assignee: Option<&str>, role: &str, scope: &str) -> String {
    let mut args = vec!["az", "role", "assignment", "create"];
    args.extend(assignee.into_iter().flat_map(|id| ["--assignee", id]));
    args.extend(["--role", role, "--scope", scope]);
    shell::command(&args)
}

/// Pairs of actions and scopes: in order if their numbers are equal, else all combinations.
fn pair_up<'a>(actions: &[&'a str], scopes: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    if actions.len() == scopes.len() {
        return actions.iter().copied().zip(scopes.iter().copied()).collect();
    }
    let all = actions.iter().flat_map(|action| scopes.iter().map(|scope| (*action, *scope)));
    all.collect()
}

/// The parts of a list, which Azure quotes as a whole, part by part, only at the start, or not at all.
fn parse_list(text: &str) -> Vec<&str> {
    let parts = text.split(',').map(|part| {
        part.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\' | '.' | ';'))
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The first string in single quotes after `word`.
pub(super) fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(word)?;
    let (_, quoted) = rest.split_once('\'')?;
    quoted.split_once('\'').map(|(quoted, _)| quoted).filter(|text| !text.is_empty())
}

/// The first word, in quotes or up to the next whitespace.
fn first_word(text: &str) -> Option<&str> {
    let word = text.trim_start().trim_start_matches('\'');
    let end = word.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(word.len());
    word.get(..end).map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty())
}
