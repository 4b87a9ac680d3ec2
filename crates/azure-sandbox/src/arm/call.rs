//! A request that has passed the gates: what it may look at and change while the world is held still for it, and the
//! beginning of long operations.

use http::StatusCode;
use serde_json::{Map, Value};

use super::refused::Refused;
use super::route::Target;
use crate::answer::Answer;
use crate::endings::Endings;
use crate::holdings::{Holdings, Work};
use crate::request::Asked;
use crate::seed::Role;
use crate::times::Times;
use crate::world::{App, World};

/// The version of the interface that addresses of operations name.
const OPERATIONS_VERSION: &str = "2016-03-30";

pub(crate) struct Call<'a> {
    pub(crate) world: &'a World,
    pub(crate) asked: &'a Asked,
    pub(crate) target: &'a Target,
    /// Of the interface.
    pub(crate) version: &'a str,
    /// Of the caller.
    pub(crate) role: Role,
    pub(crate) body: &'a [u8],
    pub(crate) now_ms: i64,
    /// The subscription, as it writes itself.
    pub(crate) subscription: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) required_tag: Option<&'a str>,
    pub(crate) page_size: usize,
    pub(crate) times: &'a Times,
    pub(crate) endings: &'a mut Endings,
    pub(crate) apps: &'a [App],
    pub(crate) holdings: &'a mut Holdings,
}

impl Call<'_> {
    /// The resource group of the address, as it was written when it was made.
    pub(crate) fn group(&self) -> String {
        let asked = self.target.group.as_deref().unwrap_or_default();
        self.holdings.group(asked).map_or_else(|| asked.to_owned(), |group| group.name.clone())
    }

    /// The body, which has to be an object.
    pub(crate) fn object(&self) -> Result<Value, Refused> {
        serde_json::from_slice::<Value>(self.body).ok().filter(Value::is_object).ok_or_else(|| {
            let text = "The request content was invalid and could not be deserialized: it is no JSON object.";
            Refused::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", text)
        })
    }

    /// The region in the body, by its name.
    pub(crate) fn location(&self, body: &Value, kind: &str) -> Result<String, Refused> {
        let given = body.get("location").and_then(Value::as_str).unwrap_or_default();
        if given.is_empty() {
            let text = "The location property is required for this definition.";
            return Err(Refused::new(StatusCode::BAD_REQUEST, "LocationRequired", text));
        }
        let region = self.world.catalog.region(self.asked.cloud, given);
        region.map(|region| region.name.clone()).ok_or_else(|| {
            let mut names: Vec<&str> =
                self.world.catalog.places(self.asked.cloud).map(|region| region.name.as_str()).collect();
            names.sort_unstable();
            let text = format!(
                "The provided location '{given}' is not available for resource type '{kind}'. List of available \
                 regions for the resource type is '{}'.",
                names.join(",")
            );
            Refused::new(StatusCode::BAD_REQUEST, "LocationNotAvailableForResourceType", text)
        })
    }

    /// Tags, when the body has some.
    pub(crate) fn tags(body: &Value) -> Option<Value> {
        let tags = body.get("tags")?.as_object()?;
        let texts: Map<String, Value> =
            tags.iter().filter(|(_, value)| value.is_string()).map(|(k, v)| (k.clone(), v.clone())).collect();
        Some(Value::Object(texts))
    }

    /// Begins a long operation, with the end that was decided for it.
    pub(crate) fn begin(&mut self, mut work: Work) -> Work {
        work.started_ms = self.now_ms;
        work.lasts_ms = self.times.of(work.deed);
        self.endings.decide(&mut work);
        self.holdings.push(work.clone());
        self.world.begun.notify_one();
        work
    }

    /// The answer with the address under which the operation is to be followed.
    pub(crate) fn followed(&self, answer: Answer, work: &Work) -> Answer {
        let answer = answer.with("azure-asyncoperation", &self.address(work, "operations"));
        self.patient(answer)
    }

    /// The same, and the address of the result.
    pub(crate) fn accepted(&self, answer: Answer, work: &Work) -> Answer {
        let results =
            if work.deed.provider() == "Microsoft.Network" { "operationResults" } else { "operationresults" };
        self.followed(answer, work).with("location", &self.address(work, results))
    }

    /// The answer with how long to wait before the next look.
    pub(crate) fn patient(&self, answer: Answer) -> Answer {
        match self.times.retry_after {
            Some(seconds) => answer.with("retry-after", &seconds.to_string()),
            None => answer,
        }
    }

    fn address(&self, work: &Work, what: &str) -> String {
        let host = self.asked.cloud.management_host();
        let (provider, region) = (work.deed.provider(), &work.region);
        let version = if provider == "Microsoft.Network" { self.version } else { OPERATIONS_VERSION };
        let (certificate, signature) = work.signature.split_at_checked(32).unwrap_or(("", &work.signature));
        format!(
            "https://{host}/subscriptions/{}/providers/{provider}/locations/{region}/{what}/{}?api-version={version}&t={}&c={certificate}&s={signature}&h=sandbox",
            self.subscription,
            work.id,
            work.started_ms * 10_000,
        )
    }
}
