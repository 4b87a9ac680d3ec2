//! Faults of the sandbox.

use azure_sandbox::{Effect, ErrorResponse, Fault, Operation, OperationKind, ScriptedOutcome};

/// A fault of the requests of an operation.
pub(crate) fn for_operation(operation: Operation, effect: Effect) -> Fault {
    Fault { operation: Some(operation), effect: Some(effect), ..Fault::default() }
}

/// A fault of the requests of an operation with this method.
pub(crate) fn for_request(operation: Operation, method: &str, effect: Effect) -> Fault {
    Fault { method: Some(method.to_owned()), ..for_operation(operation, effect) }
}

/// A fault of the requests to a host.
pub(crate) fn for_host(host: &str, effect: Effect) -> Fault {
    Fault { host: Some(host.to_owned()), effect: Some(effect), ..Fault::default() }
}

/// A fault of the requests whose path contains `path`.
pub(crate) fn for_path(path: &str, effect: Effect) -> Fault {
    Fault { path: Some(path.to_owned()), effect: Some(effect), ..Fault::default() }
}

/// A fault of all requests.
pub(crate) fn for_all(effect: Effect) -> Fault {
    Fault { effect: Some(effect), ..Fault::default() }
}

/// Makes the next long-running operation of a kind fail.
pub(crate) fn outcome(kind: OperationKind, code: &str, message: &str) -> ScriptedOutcome {
    ScriptedOutcome {
        kind: Some(kind),
        times: Some(1),
        code: code.to_owned(),
        message: message.to_owned(),
        ..ScriptedOutcome::default()
    }
}

/// Delays the responses to an operation.
pub(crate) fn delay(operation: Operation, latency_ms: u64) -> Fault {
    Fault { operation: Some(operation), latency_ms, ..Fault::default() }
}

/// Delays the responses to an operation's requests with this method.
pub(crate) fn delay_request(operation: Operation, method: &str, latency_ms: u64) -> Fault {
    Fault { method: Some(method.to_owned()), ..delay(operation, latency_ms) }
}

/// A fault of the first matching request only.
pub(crate) fn once(fault: Fault) -> Fault {
    Fault { times: Some(1), ..fault }
}

/// Responds with a status.
pub(crate) fn status(status: u16) -> Effect {
    Effect::Status(ErrorResponse { status: Some(status), ..ErrorResponse::default() })
}

/// Responds with an error in Azure's format.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Effect {
    let (code, message) = (Some(code.to_owned()), Some(message.to_owned()));
    Effect::Status(ErrorResponse { status: Some(status), code, message, ..ErrorResponse::default() })
}

/// Responds with a status and a body.
pub(crate) fn body(status: u16, body: &str) -> Effect {
    Effect::Status(ErrorResponse {
        status: Some(status),
        body: Some(body.to_owned()),
        ..ErrorResponse::default()
    })
}
