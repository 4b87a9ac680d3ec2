//! The door of all clusters: every request is written down, meets its fault if there is one, and is passed on to the
//! cluster whose name the client asked for in the handshake.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serve::{Cut, TlsPeer};
use tokio::time::sleep;
use uuid::Uuid;

use super::api::{self, Call, Reply};
use super::authn::{self, Shown};
use super::cluster::Cluster;
use super::request::Asked;
use super::status::Refused;
use super::{entra, impersonate};
use crate::answer::Answer;
use crate::faults::{Effect, Refusal};
use crate::front::{cut, shaped};
use crate::log::Seen;
use crate::play::Operation;
use crate::world::World;

/// The largest body that is read, as in Kubernetes.
const BODY_LIMIT: usize = 3 << 20;

pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new().fallback(serve).with_state(world)
}

async fn serve(State(world): State<Arc<World>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Arc<TlsPeer>>().cloned().unwrap_or_default();
    // The name in the handshake is the one that the certificate vouched for; what the request itself names may be an
    // address.
    let host = peer.server_name.clone().unwrap_or_default().to_ascii_lowercase();
    let kubes = &world.kubes;
    let Some(cluster) = kubes.cluster(&host).filter(|cluster| cluster.state().declared.running) else {
        return cut();
    };
    let seen = seen(&world, &host, &parts);
    let (number, met) = {
        let mut traffic = kubes.traffic();
        let met = traffic.faults.meet(&seen);
        (traffic.log.push(seen), met)
    };
    let asked = Asked::new(parts);
    let body = axum::body::to_bytes(body, BODY_LIMIT).await;
    sleep(met.latency).await;
    let reply = match (&met.effect, body) {
        (Some(Effect::CutBeforeAnswer | Effect::RefuseConnections), _) => return cut(),
        (Some(Effect::Status(refusal)), _) => Reply::Whole(refused(refusal)),
        (_, Err(_)) => {
            let text = format!("Request entity too large: limit is {BODY_LIMIT}");
            Reply::Whole(Refused::new(413, "RequestEntityTooLarge", text).answer())
        }
        (_, Ok(body)) => {
            let reply = passed(&world, &cluster, &peer, &asked, &body);
            reply.unwrap_or_else(|refused| Reply::Whole(refused.answer()))
        }
    };
    if asked.method != Method::GET {
        kubes.saved().await;
    }
    let mut response = match reply {
        Reply::Whole(answer) => {
            kubes.traffic().log.answered(number, answer.status.as_u16());
            shaped(answer, met.effect)
        }
        Reply::Stream(kind, body) => {
            let response = streamed(kind, body, met.effect.as_ref());
            kubes.traffic().log.answered(number, response.status().as_u16());
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert("audit-id", id);
    }
    response
}

fn seen(world: &World, host: &str, parts: &http::request::Parts) -> Seen {
    Seen {
        operation: Operation::Kubernetes,
        method: parts.method.to_string(),
        host: host.to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        status: None,
        client_request_id: None,
        at_ms: world.clock.now_ms(),
        body: None,
    }
}

/// Who asks, as whom he asks, and what he gets.
fn passed(
    world: &Arc<World>,
    cluster: &Arc<Cluster>,
    peer: &TlsPeer,
    asked: &Asked,
    body: &[u8],
) -> Result<Reply, Refused> {
    let kubes = &world.kubes;
    let entra = |token: &str| entra::caller(world, token);
    let shown = Shown {
        certificates: &peer.certificates,
        authorization: asked.header("authorization"),
        entra: &entra,
    };
    let user = authn::user(cluster, &shown)?;
    let user = impersonate::effective(&cluster.state(), user, asked)?;
    api::answer(&Call { kubes, cluster, user: &user, asked, body })
}

/// A refusal on demand, as Kubernetes would write it.
fn refused(refusal: &Refusal) -> Answer {
    let code = refusal.status.unwrap_or(500);
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let message = refusal.message.as_deref().unwrap_or("The sandbox was asked to refuse this request.");
    let answer = Refused::new(code, reason, message).answer();
    refusal.dress(match &refusal.body {
        Some(body) => Answer::text(answer.status, body.clone()),
        None => answer,
    })
}

/// A stream; where it is to be cut, that happens after its first piece.
fn streamed(kind: &'static str, body: Body, effect: Option<&Effect>) -> Response {
    let body = match effect {
        Some(Effect::CutInBody | Effect::TruncatedBody) => {
            let end = matches!(effect, Some(Effect::CutInBody));
            let first = body.into_data_stream().take(1).map(|piece| piece.map_err(io::Error::other));
            let cut = stream::iter(end.then(|| Err(io::Error::other(Cut))));
            Body::from_stream(first.chain(cut))
        }
        _ => body,
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
