//! Long operations of Resource Manager, followed one step at a time. Nothing here waits: an operation is a piece of
//! text between two steps, so that another server can take the next one.

use std::fmt;
use std::time::Duration;

use http::Method;
use reqwest::Url;
use serde_json::Value;

use super::call::{Arm, Ask};
use super::cloud::Cloud;
use super::error::Error;
use super::refusal::ServiceError;
use super::retry;
use super::transport::Answer;
use super::url::{self, without_query};

/// The poll interval without a `Retry-After` (`docs/contract/provisioning.md#requests-to-resource-manager`).
const USUAL_PAUSE: Duration = Duration::from_secs(30);

/// Azure is not asked more often, also where it says 0.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Nobody waits longer for news of a cluster, whatever a header says.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// A long operation that Azure has begun, and where to ask about it. The address always belongs to Resource Manager
/// of the cloud. `Debug` does not show its query, which Azure signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Operation {
    way: Way,
    purpose: Purpose,
    pause: Duration,
    address: Url,
}

/// What is asked, and so how the answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The address of `Azure-AsyncOperation`: a small object with a status.
    Status,
    /// The address of `Location`: 202 until the result is there.
    Location,
    /// The resource itself, by its `provisioningState`: what is left when Azure names no address.
    Resource,
}

const WAYS: [(Way, &str); 3] =
    [(Way::Status, "status"), (Way::Location, "location"), (Way::Resource, "resource")];

/// What the operation is to bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// That the resource is as it was sent.
    Change,
    /// That it is no more.
    Delete,
}

const PURPOSES: [(Purpose, &str); 2] = [(Purpose::Change, "change"), (Purpose::Delete, "delete")];

/// A stored text that is no operation.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableOperation {
    /// The text does not have the form of [`Operation::to_text`].
    #[error("the text does not describe a long operation of Azure")]
    Form,
    /// The address is not of Resource Manager, or of that of another cloud.
    #[error("the long operation is not followed at an address of this cloud")]
    Address(#[source] Error),
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It goes on: ask again after [`Operation::retry_after`] of the operation in it.
    InProgress(Box<Progress>),
    /// It has ended well. Azure now and then names a trouble that it overcame, or thinks it did: look at the
    /// resource.
    Succeeded {
        /// That trouble.
        trouble: Option<Box<ServiceError>>,
    },
    /// It has failed; empty where Azure does not say why.
    Failed(Box<ServiceError>),
    /// Somebody has stopped it.
    Cancelled(Box<ServiceError>),
    /// Azure knows nothing of it any more, which is also how operations end that nobody asked about in time: look
    /// at the resource.
    Gone,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What to ask next: the address may have changed.
    pub operation: Operation,
    /// Azure's word for the state, for example `InProgress`, `Creating`.
    pub status: Option<String>,
    /// From 0 to 100, where Azure says it.
    pub percent: Option<f64>,
    /// What went wrong so far, while Azure goes on trying.
    pub trouble: Option<Box<ServiceError>>,
}

impl Operation {
    /// What `answer` to a write of the resource at `resource` has begun; `None` when all is done. An address that
    /// is not Resource Manager's is not kept: then the resource itself tells.
    pub(super) fn begun(
        arm: &Arm,
        resource: &Url,
        purpose: Purpose,
        answer: &Answer,
        body: Option<&Value>,
    ) -> Option<Self> {
        let (way, address) = if let Some(address) = named(arm, answer, "azure-asyncoperation") {
            (Way::Status, address)
        } else if answer.status == 202 {
            named(arm, answer, "location")
                .map_or_else(|| (Way::Resource, resource.clone()), |address| (Way::Location, address))
        } else if is_done(purpose, body) {
            return None;
        } else {
            (Way::Resource, resource.clone())
        };
        Some(Self { way, purpose, pause: pause(arm, answer), address })
    }

    /// How long to leave Azure alone before the next step: what it asked for, at least a second and at most ten
    /// minutes; 30 seconds where it said nothing.
    pub fn retry_after(&self) -> Duration {
        self.pause
    }

    /// The operation as text of one line, to be read with [`Operation::from_text`]. Holds the signed address:
    /// not for logs.
    pub fn to_text(&self) -> String {
        let way = word(&WAYS, self.way);
        format!("{way} {} {} {}", word(&PURPOSES, self.purpose), self.pause.as_secs(), self.address)
    }

    /// The operation that was stored; its address must be on Resource Manager of `cloud`.
    pub fn from_text(cloud: Cloud, text: &str) -> Result<Self, UnreadableOperation> {
        let read = || {
            let mut parts = text.splitn(4, ' ');
            let way = meaning(&WAYS, parts.next()?)?;
            let purpose = meaning(&PURPOSES, parts.next()?)?;
            let pause = Duration::from_secs(parts.next()?.parse().ok()?);
            Some((way, purpose, within_reason(pause), parts.next()?))
        };
        let (way, purpose, pause, address) = read().ok_or(UnreadableOperation::Form)?;
        let address = url::link(cloud, address).map_err(UnreadableOperation::Address)?;
        Ok(Self { way, purpose, pause, address })
    }

    /// Asks once what became of it. The credential of `arm` must be of the cloud of the operation. An error says
    /// nothing about the operation, only that it could not be asked about.
    pub async fn step(&self, arm: &Arm) -> Result<Step, Error> {
        let address = arm.link(self.address.as_str())?;
        let asked = Ask::reading("operation", Method::GET, &address).any_success();
        match arm.send(&asked).await {
            Ok(answer) => Ok(self.read(arm, &answer)),
            Err(error) => self.read_error(error),
        }
    }

    fn read(&self, arm: &Arm, answer: &Answer) -> Step {
        let body = object(&answer.body);
        let verdict = self.judge(answer.status, body.as_ref());
        let trouble = || body.as_ref().and_then(trouble_in).map(Box::new);
        match verdict {
            Verdict::Gone => Step::Gone,
            Verdict::Succeeded => Step::Succeeded { trouble: trouble() },
            Verdict::Failed => Step::Failed(trouble().unwrap_or_default()),
            Verdict::Cancelled => Step::Cancelled(trouble().unwrap_or_default()),
            Verdict::InProgress(status) => {
                // A result may move on; only a new address on Resource Manager is taken.
                let moved = match self.way {
                    Way::Location => named(arm, answer, "location"),
                    Way::Status | Way::Resource => None,
                };
                let address = moved.unwrap_or_else(|| self.address.clone());
                let percent = body.as_ref().and_then(percent_in);
                let operation = Self { address, pause: pause(arm, answer), ..self.clone() };
                Step::InProgress(Box::new(Progress { operation, status, percent, trouble: trouble() }))
            }
        }
    }

    fn judge(&self, status: u16, body: Option<&Value>) -> Verdict {
        let state = body.and_then(provisioning_state);
        let said = body.and_then(|body| body.get("status")?.as_str());
        match (self.way, status) {
            // An operation that has nothing to say may be over: the resource knows.
            (Way::Status, 204) => Verdict::Gone,
            (Way::Status, 202) => said.map_or(Verdict::InProgress(None), Verdict::of),
            (Way::Status, _) => said.or(state).map_or(Verdict::Gone, Verdict::of),
            (Way::Location, 202) => Verdict::InProgress(said.or(state).map(str::to_owned)),
            (Way::Location, 204) => Verdict::Succeeded,
            (Way::Location, _) => said.or(state).map_or(Verdict::Succeeded, Verdict::of),
            (Way::Resource, _) => {
                let verdict = state.map_or(Verdict::Succeeded, Verdict::of);
                let stays = self.purpose == Purpose::Delete && verdict == Verdict::Succeeded;
                if stays { Verdict::InProgress(state.map(str::to_owned)) } else { verdict }
            }
        }
    }

    fn read_error(&self, error: Error) -> Result<Step, Error> {
        let Error::Arm(refusal) = &error else { return Err(error) };
        match (self.way, refusal.status) {
            (Way::Status | Way::Location, 404 | 410) => Ok(Step::Gone),
            (Way::Resource, _) if error.is_absence() => Ok(match self.purpose {
                Purpose::Delete => Step::Succeeded { trouble: None },
                Purpose::Change => Step::Gone,
            }),
            // The status of a result is that of the operation.
            (Way::Location, 400 | 409 | 412 | 422) => {
                let body = object(&refusal.body).unwrap_or_default();
                Ok(Step::Failed(Box::new(trouble_in(&body).or_else(|| said_by(&body)).unwrap_or_default())))
            }
            _ => Err(error),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("way", &self.way)
            .field("purpose", &self.purpose)
            .field("pause", &self.pause)
            .field("address", &without_query(&self.address))
            .finish()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// With Azure's word.
    InProgress(Option<String>),
    Succeeded,
    Failed,
    Cancelled,
    Gone,
}

impl Verdict {
    /// The meaning of a state, in any letter case: Azure has many words for what goes on, and four for the end.
    fn of(state: &str) -> Self {
        let is = |word: &str| state.eq_ignore_ascii_case(word);
        if is("Succeeded") {
            Self::Succeeded
        } else if is("Failed") {
            Self::Failed
        } else if is("Canceled") || is("Cancelled") {
            Self::Cancelled
        } else {
            Self::InProgress(Some(state.to_owned()))
        }
    }
}

/// Whether an answer without the address of an operation is all there is to it.
fn is_done(purpose: Purpose, body: Option<&Value>) -> bool {
    match (purpose, body) {
        (Purpose::Delete, None) => true,
        // Something was changed, and Azure does not say into what.
        (Purpose::Change, None) => false,
        (_, Some(body)) => {
            provisioning_state(body).is_none_or(|state| Verdict::of(state) == Verdict::Succeeded)
        }
    }
}

/// The address in a header, when it is on Resource Manager.
fn named(arm: &Arm, answer: &Answer, header: &'static str) -> Option<Url> {
    let text = answer.header(header)?;
    match arm.link(text) {
        Ok(address) => Some(address),
        Err(error) => {
            tracing::warn!(
                header,
                error = &error as &dyn std::error::Error,
                "the address of an operation is not followed"
            );
            None
        }
    }
}

fn pause(arm: &Arm, answer: &Answer) -> Duration {
    within_reason(retry::asked(&answer.headers, arm.clock()).unwrap_or(USUAL_PAUSE))
}

fn within_reason(pause: Duration) -> Duration {
    pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// The body when it is a JSON object.
pub(super) fn object(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).ok().filter(Value::is_object)
}

fn provisioning_state(body: &Value) -> Option<&str> {
    body.get("properties")?.get("provisioningState")?.as_str()
}

fn percent_in(body: &Value) -> Option<f64> {
    let percent = body.get("percentComplete")?.as_f64()?;
    Some(percent.clamp(0.0, 100.0))
}

/// What is below `error`, when it says anything.
fn trouble_in(body: &Value) -> Option<ServiceError> {
    said_by(any_case(body, "error")?)
}

fn said_by(said: &Value) -> Option<ServiceError> {
    let text = |name: &str| {
        any_case(said, name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let more = |name: &str| any_case(said, name).filter(|value| !value.is_null()).cloned();
    let error = ServiceError {
        code: text("code"),
        message: text("message"),
        target: text("target"),
        details: more("details"),
        inner_error: more("innererror"),
        additional_info: more("additionalInfo"),
    };
    (error != ServiceError::default()).then_some(error)
}

/// Old services write `Error` and `Code`.
fn any_case<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, value) = body.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}

fn word<T: PartialEq>(words: &[(T, &'static str)], meaning: T) -> &'static str {
    words.iter().find(|(known, _)| *known == meaning).map_or("", |(_, word)| word)
}

fn meaning<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words.iter().find(|(_, known)| *known == word).map(|(meaning, _)| *meaning)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADDRESS: &str = "https://management.azure.com/subscriptions/s/operations/o?api-version=1&s=canary";

    fn operation(way: &str, purpose: &str) -> Operation {
        Operation::from_text(Cloud::Public, &format!("{way} {purpose} 30 {ADDRESS}")).unwrap()
    }

    fn going_on(word: &str) -> Verdict {
        Verdict::InProgress(Some(word.to_owned()))
    }

    #[test]
    fn a_text_is_read_back_as_it_was_written() {
        for way in ["status", "location", "resource"] {
            for purpose in ["change", "delete"] {
                let text = format!("{way} {purpose} 7 {ADDRESS}");
                let operation = Operation::from_text(Cloud::Public, &text).unwrap();
                assert_eq!(operation.to_text(), text);
                assert_eq!(operation.retry_after(), Duration::from_secs(7));
                assert!(!format!("{operation:?}").contains("canary"), "{operation:?}");
            }
        }
    }

    #[test]
    fn texts_that_are_no_operation_are_refused() {
        for text in [
            "",
            "status",
            "status change 30",
            "status change soon https://management.azure.com/",
            "status keep 30 https://management.azure.com/",
            "Status change 30 https://management.azure.com/",
        ] {
            let read = Operation::from_text(Cloud::Public, text);
            assert!(matches!(read, Err(UnreadableOperation::Form)), "{text}: {read:?}");
        }
        for address in [
            "https://management.azure.com.evil.example/o",
            "http://management.azure.com/o",
            "https://management.chinacloudapi.cn/o",
            "/subscriptions/s",
        ] {
            let read = Operation::from_text(Cloud::Public, &format!("status change 30 {address}"));
            let Err(UnreadableOperation::Address(Error::ForeignLink { .. })) = read else {
                panic!("{address}: {read:?}")
            };
        }
    }

    #[test]
    fn pauses_stay_within_reason() {
        for (text, seconds) in [("0", 1), ("1", 1), ("59", 59), ("600", 600), ("86400", 600)] {
            let operation =
                Operation::from_text(Cloud::Public, &format!("status change {text} {ADDRESS}")).unwrap();
            assert_eq!(operation.retry_after(), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn states_are_read_in_any_letter_case_and_unknown_ones_go_on() {
        for (state, expected) in [
            ("Succeeded", Verdict::Succeeded),
            ("SUCCEEDED", Verdict::Succeeded),
            ("failed", Verdict::Failed),
            ("Canceled", Verdict::Cancelled),
            ("cancelled", Verdict::Cancelled),
            ("InProgress", going_on("InProgress")),
            ("Deleting", going_on("Deleting")),
            ("whatever comes", going_on("whatever comes")),
            ("", going_on("")),
        ] {
            assert_eq!(Verdict::of(state), expected, "{state}");
        }
    }

    #[test]
    fn every_way_has_its_own_reading_of_an_answer() {
        let status = |word: &str| Some(json!({"status": word}));
        let state = |word: &str| Some(json!({"id": "/x", "properties": {"provisioningState": word}}));
        let none = || Verdict::InProgress(None);
        for (way, purpose, code, body, expected) in [
            ("status", "change", 200, status("InProgress"), going_on("InProgress")),
            ("status", "change", 200, status("Succeeded"), Verdict::Succeeded),
            ("status", "change", 200, status("Failed"), Verdict::Failed),
            ("status", "change", 200, status("Canceled"), Verdict::Cancelled),
            ("status", "change", 200, state("Updating"), going_on("Updating")),
            ("status", "change", 200, Some(json!({"status": 7})), Verdict::Gone),
            ("status", "change", 200, None, Verdict::Gone),
            ("status", "delete", 202, None, none()),
            ("status", "delete", 202, status("Failed"), Verdict::Failed),
            ("status", "delete", 204, None, Verdict::Gone),
            ("location", "delete", 202, None, none()),
            ("location", "delete", 202, status("InProgress"), going_on("InProgress")),
            ("location", "delete", 202, status("Succeeded"), going_on("Succeeded")),
            ("location", "delete", 204, None, Verdict::Succeeded),
            ("location", "change", 200, None, Verdict::Succeeded),
            ("location", "change", 200, status("Failed"), Verdict::Failed),
            ("location", "change", 201, state("Creating"), going_on("Creating")),
            ("location", "change", 200, Some(json!({"id": "/x"})), Verdict::Succeeded),
            ("resource", "change", 200, state("Creating"), going_on("Creating")),
            ("resource", "change", 200, state("Failed"), Verdict::Failed),
            ("resource", "change", 200, state("Succeeded"), Verdict::Succeeded),
            ("resource", "change", 200, Some(json!({"id": "/x"})), Verdict::Succeeded),
            ("resource", "delete", 200, state("Deleting"), going_on("Deleting")),
            ("resource", "delete", 200, state("Succeeded"), going_on("Succeeded")),
            ("resource", "delete", 200, Some(json!({})), none()),
            ("resource", "delete", 200, state("Failed"), Verdict::Failed),
        ] {
            let verdict = operation(way, purpose).judge(code, body.as_ref());
            assert_eq!(verdict, expected, "{way} {purpose} {code} {body:?}");
        }
    }

    #[test]
    fn what_azure_names_as_trouble_is_kept_and_nothing_is_no_trouble() {
        let code = |body: &Value| trouble_in(body).map(|trouble| (trouble.code, trouble.message));
        let some =
            |code: &str, message: Option<&str>| Some((Some(code.to_owned()), message.map(str::to_owned)));
        for (body, expected) in [
            (json!({"error": {"code": "A", "message": "b"}}), some("A", Some("b"))),
            (json!({"Error": {"Code": "A", "Message": "b", "Target": null}}), some("A", Some("b"))),
            (json!({"error": {"code": "OverlaymgrReconcileError", "message": ""}}), {
                some("OverlaymgrReconcileError", None)
            }),
            (json!({"error": {"code": "", "message": ""}}), None),
            (json!({"error": null}), None),
            (json!({"error": "text"}), None),
            (json!({"status": "Failed"}), None),
        ] {
            assert_eq!(code(&body), expected, "{body}");
        }
        let detailed = json!({"error": {"details": [{"code": "QuotaExceeded"}]}});
        assert_eq!(trouble_in(&detailed).unwrap().details, Some(json!([{"code": "QuotaExceeded"}])));
    }

    #[test]
    fn percentages_stay_between_nothing_and_everything() {
        for (said, expected) in [
            (json!(0), Some(0.0)),
            (json!(12.5), Some(12.5)),
            (json!(250), Some(100.0)),
            (json!(-1), Some(0.0)),
            (json!("50"), None),
            (json!(null), None),
        ] {
            assert_eq!(percent_in(&json!({"percentComplete": said})), expected, "{said}");
        }
    }

    #[test]
    fn an_answer_without_an_address_is_done_only_when_its_state_says_so() {
        let state = |word: &str| Some(json!({"properties": {"provisioningState": word}}));
        for (purpose, body, expected) in [
            (Purpose::Change, state("Succeeded"), true),
            (Purpose::Change, state("succeeded"), true),
            (Purpose::Change, state("Creating"), false),
            (Purpose::Change, state("Failed"), false),
            (Purpose::Change, Some(json!({"id": "/x"})), true),
            (Purpose::Change, None, false),
            (Purpose::Delete, None, true),
            (Purpose::Delete, state("Deleting"), false),
        ] {
            assert_eq!(is_done(purpose, body.as_ref()), expected, "{purpose:?} {body:?}");
        }
    }
}
