//! Which failures go together: one set for each kind of operation.

use super::norman::{
    NORMAN_BUSY, NORMAN_CONFLICT, NORMAN_FAILED, NORMAN_FORBIDDEN, NORMAN_FULL, NORMAN_INVALID,
    NORMAN_METHOD, NORMAN_NOT_FOUND, NORMAN_TIMED_OUT, NORMAN_TOO_LARGE, NORMAN_UNAVAILABLE,
};
use super::{
    BAD_REQUEST, FAILED, FORBIDDEN, Failure, REFUSED, THROTTLED, TIMED_OUT, UNAUTHORIZED, UNAVAILABLE,
    UNUSABLE_CREDENTIAL,
};

/// How an action of `/meta` fails.
pub(in crate::api) const META: &[&Failure] = &[
    &BAD_REQUEST,
    &UNAUTHORIZED,
    &FORBIDDEN,
    &UNUSABLE_CREDENTIAL,
    &THROTTLED,
    &FAILED,
    &UNAVAILABLE,
    &TIMED_OUT,
];

/// How aksCheckCredentials fails.
pub(in crate::api) const CHECK: &[&Failure] =
    &[&BAD_REQUEST, &REFUSED, &FORBIDDEN, &THROTTLED, &FAILED, &UNAVAILABLE, &TIMED_OUT];

/// How reading below `/v3` fails.
pub(in crate::api) const READ: &[&Failure] = &[
    &UNAUTHORIZED,
    &NORMAN_FORBIDDEN,
    &NORMAN_NOT_FOUND,
    &NORMAN_INVALID,
    &NORMAN_FAILED,
    &NORMAN_UNAVAILABLE,
    &NORMAN_TIMED_OUT,
];

/// How changing below `/v3` fails; nothing was changed then.
pub(in crate::api) const CHANGE: &[&Failure] = &[
    &UNAUTHORIZED,
    &NORMAN_FORBIDDEN,
    &NORMAN_NOT_FOUND,
    &NORMAN_CONFLICT,
    &NORMAN_TOO_LARGE,
    &NORMAN_INVALID,
    &NORMAN_FAILED,
    &NORMAN_UNAVAILABLE,
    &NORMAN_TIMED_OUT,
    &NORMAN_FULL,
];

/// How the POST of one object fails.
pub(in crate::api) const POST: &[&Failure] = &[
    &UNAUTHORIZED,
    &NORMAN_FORBIDDEN,
    &NORMAN_NOT_FOUND,
    &NORMAN_METHOD,
    &NORMAN_CONFLICT,
    &NORMAN_TOO_LARGE,
    &NORMAN_INVALID,
    &NORMAN_FAILED,
    &NORMAN_UNAVAILABLE,
    &NORMAN_TIMED_OUT,
    &NORMAN_FULL,
];

/// How a review fails.
pub(in crate::api) const REVIEW: &[&Failure] = &[
    &UNAUTHORIZED,
    &NORMAN_FORBIDDEN,
    &NORMAN_NOT_FOUND,
    &NORMAN_TOO_LARGE,
    &NORMAN_INVALID,
    &NORMAN_FAILED,
    &NORMAN_UNAVAILABLE,
    &NORMAN_TIMED_OUT,
];

/// How following what happens fails, before it begins.
pub(in crate::api) const FOLLOW: &[&Failure] = &[
    &UNAUTHORIZED,
    &NORMAN_NOT_FOUND,
    &NORMAN_INVALID,
    &NORMAN_BUSY,
    &NORMAN_FAILED,
    &NORMAN_UNAVAILABLE,
    &NORMAN_TIMED_OUT,
];

/// How asking for a plan fails.
pub(in crate::api) const PLAN: &[&Failure] =
    &[&UNAUTHORIZED, &NORMAN_NOT_FOUND, &NORMAN_FAILED, &NORMAN_UNAVAILABLE, &NORMAN_TIMED_OUT];

/// Errors of the audit log.
pub(in crate::api) const AUDIT: &[&Failure] = &[
    &UNAUTHORIZED,
    &NORMAN_FORBIDDEN,
    &NORMAN_INVALID,
    &NORMAN_FAILED,
    &NORMAN_UNAVAILABLE,
    &NORMAN_TIMED_OUT,
];

/// All of these.
pub(super) const ALL: [&[&Failure]; 9] = [META, CHECK, READ, CHANGE, POST, REVIEW, FOLLOW, PLAN, AUDIT];
