//! Hints for missing rights. Azure's sentences name an action and a scope; a "linked" one names first what the caller may
//! do, and then what it may not do with another resource that the request points to.

use aks::shell;

/// More pairs of action and scope are not listed.
const MAX_PAIRS: usize = 5;

/// How a refusal that concerns another resource goes on after it.
const LINKED: &str = "linked scope";

/// The hint for a refusal that concerns a resource which the request points to; `None` for other sentences. `by_caller` says
/// that the application itself was refused, not an identity of the cluster.
pub(super) fn linked(message: &str, by_caller: bool) -> Option<String> {
    if let Some((_, rest)) = message.split_once("not authorized to access linked subscription") {
        return Some(of_other_tenant(message, first_word(rest)));
    }
    // What the caller may do comes before.
    let denied = ["does not have permission", "does not have authorization"];
    let (_, denied) = denied.iter().find_map(|words| message.split_once(words))?;
    let (actions, scopes) = denied.split_once(LINKED)?;
    let actions = actions.split_once("action").map_or(actions, |(_, rest)| rest);
    let actions = items(actions.trim_start_matches("(s)").trim_end().trim_end_matches("on the"));
    let end = ["(respectively)", " or the linked scope", " or linked scope"];
    let end = end.iter().filter_map(|words| scopes.find(words)).min().unwrap_or(scopes.len());
    let scopes = items(scopes.get(..end)?.trim_start_matches("(s)"));
    let pairs = pairs(&actions, &scopes);
    if pairs.is_empty() {
        return None;
    }
    let who = quoted_after(message, "client").filter(|_| !by_caller);
    let who = who.map_or_else(|| "the application".to_owned(), |id| format!("the identity {id}"));
    let assignee = quoted_after(message, "client");
    let rights = pairs.iter().take(MAX_PAIRS).map(|(action, scope)| {
        let role = role_for(action);
        format!("{action} on {scope}: give it the role {role} there ({})", assign(assignee, role, scope))
    });
    let told = rights.collect::<Vec<_>>().join("; and ");
    Some(format!("{who} lacks the right {told}; a new role takes a few minutes to work"))
}

/// The hint for a refusal that concerns another resource, where Azure does not say which in a way that can be read.
pub(super) fn unread() -> String {
    "the application lacks a right on a resource that the request points to, such as a network, an identity or a DNS zone: the \
     message names it"
        .to_owned()
}

/// A resource of another tenant: no right helps.
fn of_other_tenant(message: &str, subscription: Option<&str>) -> String {
    let subscription = subscription.map(|id| format!(" {id}")).unwrap_or_default();
    let tenant = quoted_after(message, "tenant").map(|id| format!(" {id}")).unwrap_or_default();
    let action = quoted_after(message, "action").map(|it| format!(" ({it})")).unwrap_or_default();
    format!(
        "the request points to a resource{action} in the subscription{subscription}, which belongs to another tenant than{tenant} \
         that the credential is of: use a resource of a subscription of the credential's tenant"
    )
}

/// The hint for a sentence that names the missing action and its scope.
pub(super) fn missing(message: &str) -> String {
    let action = quoted_after(message, "action");
    let scope = quoted_after(message, "scope");
    let assignee = quoted_after(message, "client");
    if let (Some(action), Some(scope)) = (action, scope)
        && let Some(group) = group_to_make(action, scope, assignee)
    {
        return group;
    }
    let role = action.map_or("Contributor", role_for);
    let shown = if role == "Reader" { "Reader (to look) or Contributor (to create clusters)" } else { role };
    let lacks = action.map_or_else(|| "a role".to_owned(), |action| format!("the right {action}"));
    match scope {
        Some(scope) => {
            let place = holder(action.unwrap_or_default(), scope);
            format!(
                "the application lacks {lacks} on {scope}: give it the role {shown} on {place} ({}); a new role takes a few \
                 minutes to work",
                assign(assignee, role, place)
            )
        }
        None => format!(
            "the application lacks {lacks}: give it the role {shown} on the subscription; a new role takes a few minutes to work"
        ),
    }
}

/// A role cannot be given on a resource group that does not exist.
fn group_to_make(action: &str, scope: &str, assignee: Option<&str>) -> Option<String> {
    if !action.eq_ignore_ascii_case("Microsoft.Resources/subscriptions/resourceGroups/write") {
        return None;
    }
    let start = scope.to_ascii_lowercase().find("/resourcegroups/")?;
    let (subscription, rest) = scope.split_at_checked(start)?;
    let group = rest.split('/').nth(2).filter(|name| !name.is_empty())?;
    Some(format!(
        "the application lacks the right {action}, so it cannot make the resource group {group}: create the resource group first \
         and give the application the role Contributor on it, or give the application the role Contributor on the subscription \
         {subscription} ({})",
        assign(assignee, "Contributor", subscription)
    ))
}

/// Where a role is given so that it counts for a scope: on the resource group where the resource may not exist yet.
fn holder<'a>(action: &str, scope: &'a str) -> &'a str {
    let lower = scope.to_ascii_lowercase();
    if !lower.contains("/managedclusters/") && !action.ends_with("/write") {
        return scope;
    }
    let end = lower.find("/resourcegroups/").and_then(|_| lower.find("/providers/"));
    end.and_then(|end| scope.get(..end)).unwrap_or(scope)
}

/// The built-in role of least rights that has an action.
fn role_for(action: &str) -> &'static str {
    let action = action.to_ascii_lowercase();
    let reads = action.ends_with("/read");
    for (prefix, role) in [
        ("microsoft.network/privatednszones/", "Private DNS Zone Contributor"),
        ("microsoft.network/", "Network Contributor"),
        ("microsoft.managedidentity/userassignedidentities/", "Managed Identity Operator"),
        ("microsoft.authorization/roleassignments/", "User Access Administrator"),
        ("microsoft.operationalinsights/", "Log Analytics Contributor"),
    ] {
        if action.starts_with(prefix) && !reads {
            return role;
        }
    }
    if reads { "Reader" } else { "Contributor" }
}

/// The command that gives a role.
fn assign(assignee: Option<&str>, role: &str, scope: &str) -> String {
    let mut words = vec!["az", "role", "assignment", "create"];
    words.extend(assignee.into_iter().flat_map(|id| ["--assignee", id]));
    words.extend(["--role", role, "--scope", scope]);
    shell::command(&words)
}

/// Actions and scopes that belong together: in order where there are as many, else each with each.
fn pairs<'a>(actions: &[&'a str], scopes: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    if actions.len() == scopes.len() {
        return actions.iter().copied().zip(scopes.iter().copied()).collect();
    }
    let each = actions.iter().flat_map(|action| scopes.iter().map(|scope| (*action, *scope)));
    each.collect()
}

/// The parts of a list that Azure writes with quotes around the whole, around each part, only at the start, or without any.
fn items(text: &str) -> Vec<&str> {
    let parts = text.split(',').map(|part| {
        part.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\' | '.' | ';'))
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The first text in single quotes behind `word`.
pub(super) fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, behind) = message.split_once(word)?;
    let (_, quoted) = behind.split_once('\'')?;
    quoted.split_once('\'').map(|(quoted, _)| quoted).filter(|text| !text.is_empty())
}

/// The first text, in quotes or up to the next whitespace.
fn first_word(text: &str) -> Option<&str> {
    let word = text.trim_start().trim_start_matches('\'');
    let end = word.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(word.len());
    word.get(..end).map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty())
}
