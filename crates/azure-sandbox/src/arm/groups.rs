//! `Microsoft.Resources/resourceGroups`.

use http::{Method, StatusCode};

use super::call::Call;
use super::refused::Refused;
use super::{listings, operations};
use crate::answer::Answer;
use crate::holdings::{Deed, Group, Work};

/// The longest name of a group.
const LONGEST: usize = 90;

pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refused> {
    let all: Vec<_> =
        call.holdings.groups.iter().map(|group| group.json(call.subscription).to_string()).collect();
    let items: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    listings::paged(&items, call.asked, call.page_size)
}

pub(crate) fn one(call: &mut Call<'_>) -> Result<Answer, Refused> {
    let name = call.target.group.clone().unwrap_or_default();
    if call.asked.method == Method::PUT {
        return put(call, &name);
    }
    let Some(group) = call.holdings.group(&name).cloned() else {
        return Err(Refused::no_group(&name));
    };
    match call.asked.method {
        Method::HEAD => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        Method::DELETE => Ok(delete(call, &group)),
        _ => Ok(Answer::json(StatusCode::OK, &group.json(call.subscription))),
    }
}

fn put(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    let body = call.object()?;
    let location = call.location(&body, "Microsoft.Resources/resourceGroups")?;
    let allowed = |c: char| c.is_alphanumeric() || "-_().".contains(c);
    if name.chars().count() > LONGEST || name.ends_with('.') || !name.chars().all(allowed) {
        let text = format!(
            "The provided resource group name '{name}' has these invalid characters or is too long: it may have \
             alphanumeric characters, periods, underscores, hyphens and parenthesis, and not end with a period."
        );
        return Err(Refused::new(StatusCode::BAD_REQUEST, "InvalidResourceGroupName", text));
    }
    let tags = Call::tags(&body);
    let subscription = call.subscription;
    let Some(group) = call.holdings.group_mut(name) else {
        let group = Group { name: name.to_owned(), location, tags, managed_by: None, deleting: false };
        let answer = Answer::json(StatusCode::CREATED, &group.json(subscription));
        call.holdings.groups.push(group);
        return Ok(answer);
    };
    if group.location != location {
        let text = format!(
            "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
            group.location
        );
        return Err(Refused::new(StatusCode::CONFLICT, "InvalidResourceGroupLocation", text));
    }
    if group.deleting {
        let text = format!(
            "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
            group.name
        );
        return Err(Refused::new(StatusCode::CONFLICT, "ResourceGroupBeingDeleted", text));
    }
    // A PUT without tags leaves none.
    group.tags = tags;
    Ok(Answer::json(StatusCode::OK, &group.json(subscription)))
}

fn delete(call: &mut Call<'_>, group: &Group) -> Answer {
    let same = |work: &&Work| work.deed == Deed::DeleteGroup && work.group.eq_ignore_ascii_case(&group.name);
    let running = call.holdings.running().find(same).cloned();
    let work = running.unwrap_or_else(|| {
        call.holdings.mark_deleting(&group.name, call.now_ms);
        call.begin(Work::new(Deed::DeleteGroup, &group.name, &group.name, &group.location))
    });
    let location = operations::group_result(call, &work);
    call.patient(Answer::empty(StatusCode::ACCEPTED).with("location", &location))
}
