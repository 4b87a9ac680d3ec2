//! Errors in the two forms of Azure: the envelope of Resource Manager, and the plain object of AKS.

use http::StatusCode;
use serde_json::{Value, json};

use crate::response::SandboxResponse;

/// An error response.
#[derive(Debug)]
pub(crate) struct ArmError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// An additional header.
    header: Option<Box<(&'static str, String)>>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// An error of Resource Manager itself: `x-ms-failure-cause: gateway`.
    Gateway,
    /// An error of Resource Manager about a resource provider, which is in `details`.
    GatewayWithProvider(&'static str),
    /// A violation of a policy: the resource, and `additionalInfo`.
    Policy(Box<(String, Value)>),
    /// An error of a resource provider, in the envelope.
    Provider,
    /// An error of AKS, without the envelope, with the property that caused it.
    Aks(Option<Box<str>>),
}

impl ArmError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None, form: Form::Gateway }
    }

    /// An error of a resource provider, in the envelope.
    pub(crate) fn from_provider(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { form: Form::Provider, ..Self::new(status, code, message) }
    }

    /// An error of AKS.
    pub(crate) fn from_aks(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { form: Form::Aks(None), ..Self::new(status, code, message) }
    }

    /// A 400 of AKS because of a property.
    pub(crate) fn bad_property(code: &'static str, message: impl Into<String>, target: &str) -> Self {
        Self { form: Form::Aks(Some(target.into())), ..Self::new(StatusCode::BAD_REQUEST, code, message) }
    }

    /// `InvalidParameter` for a property.
    pub(crate) fn invalid(target: &str, why: &str) -> Self {
        let text = format!(
            "The value of parameter {target} is invalid. Error details: {why}. Please see https://aka.ms/aks-naming-rules for more details."
        );
        Self::bad_property("InvalidParameter", text, target)
    }

    pub(crate) fn not_registered(provider: &'static str) -> Self {
        let text = format!(
            "The subscription is not registered to use namespace '{provider}'. See \
             https://aka.ms/rps-not-found for how to register subscriptions."
        );
        let error = Self::new(StatusCode::CONFLICT, "MissingSubscriptionRegistration", text);
        Self { form: Form::GatewayWithProvider(provider), ..error }
    }

    pub(crate) fn denied_by_policy(resource: &str, message: impl Into<String>, info: Value) -> Self {
        let error = Self::new(StatusCode::FORBIDDEN, "RequestDisallowedByPolicy", message);
        Self { form: Form::Policy(Box::new((resource.to_owned(), info))), ..error }
    }

    pub(crate) fn not_found(kind: &str, name: &str, group: &str) -> Self {
        let text = format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go \
             to https://aka.ms/ARMResourceNotFoundFix"
        );
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", text)
    }

    pub(crate) fn parent_not_found(parent: &str) -> Self {
        let text = format!(
            "Can not perform requested operation on nested resource. Parent resource '{parent}' not found."
        );
        Self::new(StatusCode::NOT_FOUND, "ParentResourceNotFound", text)
    }

    /// The resource exists in another region.
    pub(crate) fn location_conflict(name: &str, existing: &str, requested: &str, group: &str) -> Self {
        let text = format!(
            "The resource '{name}' already exists in location '{existing}' in resource group '{group}'. A resource with \
             the same name cannot be created in location '{requested}'. Please select a new resource name."
        );
        Self::new(StatusCode::CONFLICT, "InvalidResourceLocation", text)
    }

    pub(crate) fn group_not_found(group: &str) -> Self {
        let text = format!("Resource group '{group}' could not be found.");
        Self::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", text)
    }

    #[must_use]
    pub(crate) fn with_header(self, name: &'static str, value: String) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    pub(crate) fn to_response(&self) -> SandboxResponse {
        let (code, message) = (self.code, self.message.as_str());
        let body = match &self.form {
            Form::Gateway | Form::Provider => json!({"error": {"code": code, "message": message}}),
            Form::GatewayWithProvider(provider) => {
                let detail = json!({"code": code, "target": provider, "message": message});
                json!({"error": {"code": code, "message": message, "details": [detail]}})
            }
            Form::Policy(policy) => {
                let (resource, info) = &**policy;
                let error =
                    json!({"code": code, "target": resource, "message": message, "additionalInfo": [info]});
                json!({ "error": error })
            }
            Form::Aks(target) => {
                let mut body = json!({"code": code, "details": null, "message": message, "subcode": ""});
                if let Some(target) = target {
                    crate::json::set(&mut body, "/target", &**target);
                }
                body
            }
        };
        let mut response = SandboxResponse::json(self.status, &body);
        if matches!(self.form, Form::Gateway | Form::GatewayWithProvider(_) | Form::Policy(_)) {
            response.set("x-ms-failure-cause", "gateway");
        }
        match &self.header {
            Some(header) => response.with(header.0, &header.1),
            None => response,
        }
    }
}
