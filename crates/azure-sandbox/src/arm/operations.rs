//! The addresses under which long operations are followed.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::json;

use super::call::Call;
use super::refused::Refused;
use super::route::Provider;
use crate::answer::Answer;
use crate::endings::Final;
use crate::holdings::Work;

/// The address of the end of a resource group.
pub(crate) fn group_result(call: &Call<'_>, work: &Work) -> String {
    let job = json!({"jobId": work.id, "jobLocation": work.region}).to_string();
    format!(
        "https://{}/subscriptions/{}/operationresults/{}?api-version={}",
        call.asked.cloud.management_host(),
        call.subscription,
        BASE64_URL_SAFE_NO_PAD.encode(job),
        call.version,
    )
}

/// What `Azure-AsyncOperation` names: how far it is, always with status 200.
pub(crate) fn status(call: &Call<'_>, id: &str) -> Result<Answer, Refused> {
    let work = signed(call, id)?;
    let answer = Answer::json(StatusCode::OK, &work.json());
    Ok(if work.ended_ms.is_none() { call.patient(answer) } else { answer })
}

/// What `Location` names: 202 until it is over.
pub(crate) fn result(call: &Call<'_>, provider: Provider, id: &str) -> Result<Answer, Refused> {
    if provider == Provider::Resources {
        return result_of_group(call, id);
    }
    let work = signed(call, id)?;
    Ok(match work.end() {
        None => {
            let answer = Answer::json(StatusCode::ACCEPTED, &work.json());
            call.patient(answer.with("location", &own_address(call)))
        }
        Some(Final::Succeeded) => Answer::empty(StatusCode::NO_CONTENT),
        Some(_) => Answer::json(StatusCode::CONFLICT, &json!({"error": work.error()})),
    })
}

fn result_of_group(call: &Call<'_>, id: &str) -> Result<Answer, Refused> {
    let job = BASE64_URL_SAFE_NO_PAD.decode(id).ok();
    let job = job.and_then(|job| serde_json::from_slice::<serde_json::Value>(&job).ok());
    let id = job.as_ref().and_then(|job| job.get("jobId")?.as_str()).unwrap_or_default();
    let work = find(call, id)?;
    Ok(match (work.end(), work.error()) {
        (None, _) => {
            let answer = Answer::empty(StatusCode::ACCEPTED).with("location", &own_address(call));
            call.patient(answer)
        }
        (Some(Final::Succeeded), _) => Answer::empty(StatusCode::OK),
        (Some(_), error) => {
            // Resource Manager writes this one with capitals.
            let text = |key| error.as_ref().and_then(|error| error.get(key)).cloned().unwrap_or_default();
            let error = json!({
                "Code": text("code"), "Target": null, "Message": text("message"), "Details": null,
                "AdditionalInfo": null,
            });
            Answer::json(StatusCode::CONFLICT, &json!({"Error": error}))
        }
    })
}

/// The address of the request itself.
fn own_address(call: &Call<'_>) -> String {
    format!("https://{}{}?{}", call.asked.cloud.management_host(), call.asked.path, call.asked.query)
}

fn find<'a>(call: &'a Call<'_>, id: &str) -> Result<&'a Work, Refused> {
    let work = call.holdings.works.iter().find(|work| work.id.eq_ignore_ascii_case(id));
    work.ok_or_else(|| {
        Refused::by_service(StatusCode::NOT_FOUND, "NotFound", format!("The entity '{id}' was not found."))
    })
}

/// The operation, when the address is the one that was given for it: Azure signs these.
fn signed<'a>(call: &'a Call<'_>, id: &str) -> Result<&'a Work, Refused> {
    let work = find(call, id)?;
    let part = |name| call.asked.parameter(name).unwrap_or_default();
    if format!("{}{}", part("c"), part("s")) == work.signature {
        return Ok(work);
    }
    let text =
        "The address of the operation is not the one that was given: its signature is missing or wrong.";
    Err(Refused::new(StatusCode::BAD_REQUEST, "InvalidOperationAddress", text))
}
