//! `Microsoft.OperationalInsights/workspaces`: Log Analytics.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::listings;
use super::refused::Refused;
use crate::answer::Answer;
use crate::holdings::{Deed, Resource, Work, date, find, position};
use crate::json;

const KIND: &str = "Microsoft.OperationalInsights/workspaces";
/// Price plans by their names in lower case, and as Azure writes them.
const PLANS: [(&str, &str); 6] = [
    ("free", "Free"),
    ("standalone", "Standalone"),
    ("pernode", "PerNode"),
    ("pergb2018", "PerGB2018"),
    ("capacityreservation", "CapacityReservation"),
    ("lacluster", "LACluster"),
];

pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refused> {
    let group = call.target.group.as_deref();
    let all: Vec<String> = call
        .holdings
        .workspaces
        .iter()
        .filter(|it| group.is_none_or(|group| group.eq_ignore_ascii_case(&it.group)))
        .map(|it| it.body.to_string())
        .collect();
    let items: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    listings::paged(&items, call.asked, call.page_size)
}

pub(crate) fn one(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    let group = call.group();
    match call.asked.method {
        Method::PUT => put(call, &group, name),
        Method::DELETE => Ok(match position(&call.holdings.workspaces, &group, name) {
            Some(index) => {
                call.holdings.workspaces.remove(index);
                Answer::empty(StatusCode::OK)
            }
            None => Answer::empty(StatusCode::NO_CONTENT),
        }),
        _ => find(&call.holdings.workspaces, &group, name)
            .map(|it| call.patient_while(it, Answer::json(StatusCode::OK, &it.body)))
            .ok_or_else(|| Refused::not_found(KIND, name, &group)),
    }
}

impl Call<'_> {
    /// Clients follow a workspace by looking at it.
    fn patient_while(&self, workspace: &Resource, answer: Answer) -> Answer {
        if workspace.state() == "Creating" { self.patient(answer) } else { answer }
    }
}

fn put(call: &mut Call<'_>, group: &str, name: &str) -> Result<Answer, Refused> {
    let body = call.object()?;
    let location = call.location(&body, KIND)?;
    let plan = plan(&body)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if !(4..=63).contains(&name.len()) || !ends || !name.chars().all(allowed) {
        let text = format!(
            "'{name}' is no name for a workspace: 4 to 63 letters, digits and hyphens, no hyphen first or last."
        );
        return Err(Refused::by_service(StatusCode::BAD_REQUEST, "InvalidParameter", text));
    }
    let moment = date(call.now_ms);
    if let Some(index) = position(&call.holdings.workspaces, group, name) {
        let Some(known) = call.holdings.workspaces.get_mut(index) else {
            return Err(Refused::not_found(KIND, name, group));
        };
        if known.location() != location {
            return Err(elsewhere(name, known.location(), &location, group));
        }
        for key in ["properties", "tags"] {
            if let Some(new) = body.get(key).filter(|new| new.is_object()) {
                let mut old = known.body.get(key).cloned().unwrap_or_else(|| json!({}));
                json::overlay(&mut old, new);
                json::set(&mut known.body, &format!("/{key}"), old);
            }
        }
        json::set(&mut known.body, "/properties/sku/name", plan);
        json::set(&mut known.body, "/properties/modifiedDate", moment);
        known.set_state("Succeeded");
        return Ok(Answer::json(StatusCode::OK, &known.body));
    }
    let mut new = json!({
        "properties": {
            "customerId": Uuid::new_v4().to_string(),
            "provisioningState": "Creating",
            "sku": {"name": plan, "lastSkuUpdate": moment},
            "retentionInDays": body.pointer("/properties/retentionInDays").cloned().unwrap_or_else(|| json!(30)),
            "features": {"legacy": 0, "searchVersion": 1, "enableLogAccessUsingOnlyResourcePermissions": true},
            "workspaceCapping": {"dailyQuotaGb": -1.0, "quotaNextResetTime": moment, "dataIngestionStatus": "RespectQuota"},
            "publicNetworkAccessForIngestion": "Enabled",
            "publicNetworkAccessForQuery": "Enabled",
            "createdDate": moment,
            "modifiedDate": moment,
        },
        "location": location,
        "id": format!(
            "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{name}",
            call.subscription
        ),
        "name": name,
        "type": KIND,
        "etag": format!("\"{}\"", Uuid::new_v4()),
    });
    if let Some(tags) = Call::tags(&body) {
        json::set(&mut new, "/tags", tags);
    }
    let answer = Answer::json(StatusCode::CREATED, &new);
    let resource = Resource { group: group.to_owned(), name: name.to_owned(), body: new };
    call.holdings.workspaces.push(resource);
    call.begin(Work::new(Deed::CreateWorkspace, group, name, &location));
    Ok(call.patient(answer))
}

/// The price plan of the body, or the usual one.
fn plan(body: &Value) -> Result<&'static str, Refused> {
    let asked = json::text(body, "/properties/sku/name").unwrap_or("pergb2018");
    let known = PLANS.iter().find(|(lower, _)| asked.eq_ignore_ascii_case(lower));
    known.map(|(_, plan)| *plan).ok_or_else(|| {
        let text = format!("The pricing tier '{asked}' is not one that a workspace can have.");
        Refused::by_service(StatusCode::BAD_REQUEST, "InvalidParameter", text)
    })
}

/// A resource of that name is in another region already.
pub(crate) fn elsewhere(name: &str, there: &str, here: &str, group: &str) -> Refused {
    let text = format!(
        "The resource '{name}' already exists in location '{there}' in resource group '{group}'. A resource with the \
         same name cannot be created in location '{here}'. Please select a new resource name."
    );
    Refused::new(StatusCode::CONFLICT, "InvalidResourceLocation", text)
}
