//! `TokenRequest`: a token of a service account, for somebody, for some time.

use serde_json::{Value, json};

use super::authn::audience;
use super::cluster::Cluster;
use super::resources::{PODS, SECRETS, SERVICE_ACCOUNTS};
use super::status::{Cause, Refused};
use super::tokens;
use super::value::{Now, at, default, moment, number, set, text, texts};

const HOUR: i64 = 3_600;
/// The shortest life of a token, in seconds, and the longest.
const LIFE: (i64, i64) = (600, 1 << 32);

/// The request with its token in `status`.
pub(super) fn token(
    cluster: &Cluster,
    (namespace, name): (&str, &str),
    mut request: Value,
    now: &Now,
) -> Result<Value, Refused> {
    let state = cluster.state();
    let account = state
        .get(&SERVICE_ACCOUNTS, namespace, name)
        .ok_or_else(|| Refused::not_found(&SERVICE_ACCOUNTS, name))?;
    default(&mut request, &["spec", "expirationSeconds"], HOUR);
    let seconds = number(&request, "/spec/expirationSeconds").unwrap_or(HOUR);
    let why = if seconds < LIFE.0 {
        Some("may not specify a duration less than 10 minutes")
    } else if seconds > LIFE.1 {
        Some("may not specify a duration larger than 2^32 seconds")
    } else {
        None
    };
    if let Some(why) = why {
        let cause = Cause::invalid("spec.expirationSeconds", &seconds.into(), why);
        let refused = Refused::new(
            422,
            "Invalid",
            format!("TokenRequest.authentication.k8s.io \"\" is invalid: {}: {}", cause.field, cause.message),
        );
        return Err(refused.about("authentication.k8s.io", "TokenRequest", "").because(vec![cause]));
    }
    let mut audiences: Vec<String> = texts(&request, "/spec/audiences").map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(audience(&cluster.host));
        set(&mut request, &["spec", "audiences"], audiences.clone());
    }
    let bound = at(&request, &["spec", "boundObjectRef"]);
    let (kind, wanted) = (text(bound, "/kind"), text(bound, "/name"));
    let bound = match kind {
        "" => None,
        "Pod" | "Secret" => {
            let (resource, kind) = if kind == "Pod" { (&PODS, "pod") } else { (&SECRETS, "secret") };
            let found =
                state.get(resource, namespace, wanted).ok_or_else(|| Refused::not_found(resource, wanted))?;
            let (uid, given) = (text(found, "/metadata/uid"), text(bound, "/uid"));
            if !given.is_empty() && given != uid {
                let why = format!(
                    "the UID in the bound object reference ({given}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
                );
                return Err(Refused::conflict(resource, wanted, &why));
            }
            Some((kind, wanted, uid))
        }
        other => {
            return Err(Refused::bad_request(format!(
                "cannot bind token for serviceaccount to object of type {other}"
            )));
        }
    };
    let until_ms = now.ms + seconds * 1_000;
    let issuer = audience(&cluster.host);
    let token =
        tokens::requested(&cluster.authority(), account, &audiences, bound, (now.ms, until_ms), &issuer);
    set(&mut request, &["status"], json!({"token": token, "expirationTimestamp": moment(until_ms)}));
    set(&mut request, &["metadata", "name"], name);
    set(&mut request, &["metadata", "namespace"], namespace);
    set(&mut request, &["metadata", "creationTimestamp"], now.text.clone());
    Ok(request)
}
