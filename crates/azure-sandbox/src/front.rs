//! The door: every request is written down, meets its fault if there is one, and is passed on to the side
//! that its host name stands for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use serve::Cut;
use tokio::time::{sleep, timeout};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use super::answer::Answer;
use super::clouds::{HOSTS, Side};
use super::faults::Effect;
use super::log::Seen;
use super::play::{Operation, linked};
use super::request::Asked;
use super::world::World;
use super::{arm, entra};

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;
/// The largest body that is remembered.
const BODY_REMEMBERED: usize = 1 << 17;
/// Pieces of a slow body.
const PIECES: usize = 10;
/// How long half a body has to get out of the door before the connection is cut.
const CUT_PAUSE: Duration = Duration::from_millis(30);

pub(crate) fn router(world: Arc<World>) -> Router {
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    Router::new().fallback(serve).layer(compression).with_state(world)
}

async fn serve(State(world): State<Arc<World>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = match Asked::new(parts) {
        Ok(asked) => asked,
        Err(host) => return misdirected(&host).into_response(Body::from),
    };
    let mut calm = world.calm.subscribe();
    let (number, met) = {
        let mut state = world.state();
        let seen = seen(&world, &asked);
        let met = state.faults.meet(&seen);
        (state.log.push(seen), met)
    };
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        let answer = Answer::empty(StatusCode::PAYLOAD_TOO_LARGE);
        world.state().log.answered(number, answer.status.as_u16());
        return answer.into_response(Body::from);
    };
    if asked.side == Side::Management && asked.is_write() && (1..=BODY_REMEMBERED).contains(&body.len()) {
        let text = String::from_utf8_lossy(&body).into_owned();
        world.state().log.set_body(number, text);
    }
    // Until then, or until all trouble is ended.
    drop(timeout(met.latency, calm.changed()).await);
    if matches!(met.effect, Some(Effect::CutBeforeAnswer | Effect::RefuseConnections)) {
        return cut();
    }
    let answer = match (&met.effect, asked.side) {
        (Some(Effect::Status(refusal)), side) => refusal.answer(side),
        (_, Side::Management) => arm::answer(&world, &asked, &body),
        (_, Side::Login) => entra::answer(&world, &asked, &body),
    };
    let answer = match asked.side {
        Side::Management => arm::dressed(&world, &asked, answer),
        Side::Login => entra::dressed(answer),
    };
    if met.effect == Some(Effect::CutAfterTaken) {
        return cut();
    }
    sleep(answer.delay).await;
    world.state().log.answered(number, answer.status.as_u16());
    shaped(answer, met.effect)
}

fn seen(world: &World, asked: &Asked) -> Seen {
    let operation = match asked.side {
        Side::Login => entra::operation(&asked.segments),
        Side::Management => {
            arm::parse(&asked.segments).map_or(Operation::Unknown, |target| target.route.operation())
        }
    };
    Seen {
        operation,
        method: asked.method.to_string(),
        host: asked.host.clone(),
        path: asked.path.clone(),
        query: asked.query.clone(),
        status: None,
        client_request_id: asked.header("x-ms-client-request-id").map(str::to_owned),
        body: None,
        at_ms: world.clock.now_ms(),
    }
}

fn misdirected(host: &str) -> Answer {
    let text = format!("The sandbox does not stand in for '{host}', only for: {}.", HOSTS.join(", "));
    arm::error(StatusCode::MISDIRECTED_REQUEST, "UnknownHost", &text)
}

pub(crate) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}

/// The response, with what the fault does to its body.
pub(crate) fn shaped(mut answer: Answer, effect: Option<Effect>) -> Response {
    let half = answer.body.len() / 2;
    match effect {
        Some(Effect::TruncatedBody) => answer.body.truncate(half),
        Some(Effect::InvalidJson) => answer.body = Bytes::from_static(b"{\"value\": [}"),
        Some(Effect::ForeignNextLink(link)) => {
            let text = String::from_utf8_lossy(&answer.body);
            answer.body = linked(&text, Some(&link)).map_or(answer.body.clone(), Bytes::from);
        }
        Some(Effect::SlowBody(milliseconds)) => {
            return uncompressed(
                answer.into_response(|body| slow(body, Duration::from_millis(milliseconds))),
            );
        }
        Some(Effect::CutInBody) => {
            let length = answer.body.len().max(1);
            let mut response = uncompressed(answer.into_response(|body| broken(body.slice(..half))));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            return response;
        }
        Some(
            Effect::Status(_) | Effect::CutBeforeAnswer | Effect::CutAfterTaken | Effect::RefuseConnections,
        )
        | None => {}
    }
    answer.into_response(Body::from)
}

/// Keeps the compression away, which would hold back pieces until it has enough of them.
fn uncompressed(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

fn slow(body: Bytes, all: Duration) -> Body {
    let size = body.len().div_ceil(PIECES).max(1);
    let pause = all / u32::try_from(PIECES).unwrap_or(1);
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, io::Error>(piece), rest))
    }))
}

/// `first`, then the end of the connection.
fn broken(first: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(first), |first| async move {
        if let Some(piece) = first {
            return Some((Ok(piece), None));
        }
        sleep(CUT_PAUSE).await;
        Some((Err(io::Error::other(Cut)), None))
    }))
}
