//! Requests that do not get what they asked for, in the two forms that clients meet: Resource Manager's own envelope,
//! and the bare one of AKS.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::Answer;

/// An error in Resource Manager's envelope.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    Answer::json(status, &Envelope { error: Detail { code, target: None, message, details: None } })
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[Box<Detail<'a>>; 1]>,
}

/// A request that does not get what it asked for.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// A header of the answer.
    header: Option<Box<(&'static str, String)>>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Resource Manager itself says no.
    Gateway,
    /// The same, with the resource provider that `details` names.
    Provider(&'static str),
    /// The same, because of a policy: the resource, and `additionalInfo`.
    Policy(Box<(String, Value)>),
    /// A provider says no, in the envelope.
    Service,
    /// AKS says no: no envelope, and the property that is meant, if one is.
    Aks(Option<Box<str>>),
}

impl Refused {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None, form: Form::Gateway }
    }

    /// A refusal of a resource provider, in Resource Manager's form.
    pub(crate) fn by_service(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { form: Form::Service, ..Self::new(status, code, message) }
    }

    /// A refusal of AKS.
    pub(crate) fn by_aks(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { form: Form::Aks(None), ..Self::new(status, code, message) }
    }

    /// A refusal of AKS because of one property.
    pub(crate) fn property(code: &'static str, message: impl Into<String>, target: &str) -> Self {
        Self { form: Form::Aks(Some(target.into())), ..Self::new(StatusCode::BAD_REQUEST, code, message) }
    }

    /// `InvalidParameter` for one property.
    pub(crate) fn invalid(target: &str, why: &str) -> Self {
        let text = format!(
            "The value of parameter {target} is invalid. Error details: {why}. Please see https://aka.ms/aks-naming-rules for more details."
        );
        Self::property("InvalidParameter", text, target)
    }

    pub(crate) fn not_registered(provider: &'static str) -> Self {
        let text = format!(
            "The subscription is not registered to use namespace '{provider}'. See \
             https://aka.ms/rps-not-found for how to register subscriptions."
        );
        let refused = Self::new(StatusCode::CONFLICT, "MissingSubscriptionRegistration", text);
        Self { form: Form::Provider(provider), ..refused }
    }

    pub(crate) fn by_policy(resource: &str, message: impl Into<String>, info: Value) -> Self {
        let refused = Self::new(StatusCode::FORBIDDEN, "RequestDisallowedByPolicy", message);
        Self { form: Form::Policy(Box::new((resource.to_owned(), info))), ..refused }
    }

    /// The resource is not there.
    pub(crate) fn not_found(kind: &str, name: &str, group: &str) -> Self {
        let text = format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go \
             to https://aka.ms/ARMResourceNotFoundFix"
        );
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", text)
    }

    /// What the resource is nested in is not there.
    pub(crate) fn no_parent(name: &str) -> Self {
        let text = format!(
            "Can not perform requested operation on nested resource. Parent resource '{name}' not found."
        );
        Self::new(StatusCode::NOT_FOUND, "ParentResourceNotFound", text)
    }

    pub(crate) fn no_group(group: &str) -> Self {
        let text = format!("Resource group '{group}' could not be found.");
        Self::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", text)
    }

    #[must_use]
    pub(crate) fn with(self, name: &'static str, value: String) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    pub(crate) fn answer(&self) -> Answer {
        let (code, message) = (self.code, self.message.as_str());
        let plain = |target, details| Envelope { error: Detail { code, target, message, details } };
        let gateway = ("x-ms-failure-cause", "gateway");
        let answer = match &self.form {
            Form::Gateway => Answer::json(self.status, &plain(None, None)).with(gateway.0, gateway.1),
            Form::Provider(provider) => {
                let detail = Detail { code, target: Some(provider), message, details: None };
                Answer::json(self.status, &plain(None, Some([Box::new(detail)]))).with(gateway.0, gateway.1)
            }
            Form::Policy(about) => {
                let (resource, info) = &**about;
                let error =
                    json!({"code": code, "target": resource, "message": message, "additionalInfo": [info]});
                Answer::json(self.status, &json!({ "error": error })).with(gateway.0, gateway.1)
            }
            Form::Service => Answer::json(self.status, &plain(None, None)),
            Form::Aks(target) => {
                let mut body = json!({"code": code, "details": null, "message": message, "subcode": ""});
                if let Some(target) = target {
                    crate::json::set(&mut body, "/target", &**target);
                }
                Answer::json(self.status, &body)
            }
        };
        match &self.header {
            Some(header) => answer.with(header.0, &header.1),
            None => answer,
        }
    }
}
