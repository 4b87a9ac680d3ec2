//! Many concurrent callers: no response reaches a caller that may not use the credential, and equal requests share one
//! request to Rancher and to Azure.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;

use super::app::{BesideApp, seed};
use super::rancher::FakeRancher;
use super::rancher_state::{CREDENTIAL, OWNER, RancherState};
use crate::azure_fake::{Gate, wait_until};
use crate::support::app::TestResponse;

/// A Rancher that responds only while the gate is open.
async fn gated_rancher(state: &Arc<RancherState>) -> (FakeRancher, Gate) {
    let gate = Gate::closed();
    let fake = {
        let (state, gate) = (Arc::clone(state), gate.clone());
        FakeRancher::start_async(move |request| {
            let (state, gate) = (Arc::clone(&state), gate.clone());
            async move {
                gate.pass().await;
                state.respond(&request)
            }
        })
    };
    (fake.await, gate)
}

#[tokio::test]
async fn concurrent_equal_requests_reach_rancher_and_azure_once() {
    let state = RancherState::new();
    let (fake, gate) = gated_rancher(&state).await;
    let app = BesideApp::builder(fake).start().await;
    let calls = join_all((0..100).map(|_| app.get_versions(CREDENTIAL, OWNER).send()));
    let open = async {
        wait_until(|| !app.rancher.requests().is_empty()).await;
        gate.open();
    };
    let (responses, ()) = tokio::join!(calls, open);
    let first = responses[0].text();
    assert!(responses.iter().all(|response| response.status == 200 && response.text() == first));
    assert_eq!(app.rancher.take_requests(), ["GET /v1/secrets/cattle-global-data/cc-aaaaa"]);
    assert_eq!(app.take_version_list_count(), 1);
}

/// A small random number generator with a seed, which makes failures reproducible.
struct SeededRandom(u64);

impl SeededRandom {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

const CALLERS: u64 = 12;
const CREDENTIALS: u64 = 4;

/// Whether a caller may use a credential.
fn may_use(caller: u64, credential: u64) -> bool {
    (caller + credential).is_multiple_of(3)
}

/// The state of a Rancher with many users, where each credential has its own subscription.
fn crowded_state() -> Arc<RancherState> {
    let state = RancherState::new();
    for caller in 0..CALLERS {
        state.add_user(&format!("u-{caller}"), &format!("token-{caller}:key-{caller}"));
    }
    for credential in 0..CREDENTIALS {
        let readers: Vec<String> = (0..CALLERS)
            .filter(|&caller| may_use(caller, credential))
            .map(|caller| format!("u-{caller}"))
            .collect();
        let readers: Vec<&str> = readers.iter().map(String::as_str).collect();
        state.put_credential_for_subscription(
            &credential_id(credential),
            &subscription(credential),
            seed().client_secret,
            &readers,
        );
    }
    state
}

fn credential_id(credential: u64) -> String {
    format!("cattle-global-data:cc-crowd{credential}")
}

fn subscription(credential: u64) -> String {
    format!("00000000-0000-0000-0000-00000000000{credential}")
}

/// A Rancher that responds in random order.
async fn shuffling_rancher(state: &Arc<RancherState>) -> FakeRancher {
    let state = Arc::clone(state);
    let random = Arc::new(std::sync::Mutex::new(SeededRandom(7)));
    FakeRancher::start_async(move |request| {
        let state = Arc::clone(&state);
        let yields = random.lock().unwrap().below(20);
        async move {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            state.respond(&request)
        }
    })
    .await
}

/// The response to a caller. Repeats the request if the fake Rancher takes too long, as on a busy machine.
async fn get_versions_in_time(app: &BesideApp, caller: u64, credential: u64) -> TestResponse {
    for _ in 0..10 {
        let token = format!("token-{caller}:key-{caller}");
        let response = app.get_versions(&credential_id(credential), &token).send().await;
        let is_late = response.status == 503 && response.error().starts_with("Rancher does not respond");
        if !is_late {
            return response;
        }
    }
    panic!("no response to caller {caller}, credential {credential}");
}

async fn assert_responses_reach_only_permitted_callers(decision_seconds: &str) {
    let state = crowded_state();
    let builder = BesideApp::builder(shuffling_rancher(&state).await);
    let app = builder.setting("NORMAN_AKS_RANCHER_DECISION_SECONDS", decision_seconds).start().await;
    for credential in 0..CREDENTIALS {
        let values = json!([{"version": format!("1.{}", 30 + credential),
            "capabilities": {"supportPlan": ["KubernetesOfficial"]},
            "patchVersions": {format!("1.{}.0", 30 + credential): {"upgrades": []}}}]);
        let page = json!({"status": 200, "body": {"values": values}});
        let page = serde_json::from_value(page).unwrap();
        app.control.play(&subscription(credential), "kubernetesVersions", vec![page]).unwrap();
    }
    app.control.script_login(azure_sandbox::Login {
        client_id: None,
        secret: seed().client_secret.to_owned(),
        outcome: azure_sandbox::Outcome::Token,
    });
    let mut random = SeededRandom(42);
    for _ in 0..20 {
        let calls = (0..40).map(|_| {
            let (caller, credential) = (random.below(CALLERS + 1), random.below(CREDENTIALS));
            let app = &app;
            async move { (caller, credential, get_versions_in_time(app, caller, credential).await) }
        });
        for (caller, credential, response) in join_all(calls.collect::<Vec<_>>()).await {
            let expected = match (caller < CALLERS, may_use(caller, credential)) {
                (false, _) => (401, super::rancher_state::UNAUTHORIZED.to_owned()),
                (true, true) => (200, format!("[\"1.{}.0\"]", 30 + credential)),
                (true, false) => (422, "cloud credential not found".to_owned()),
            };
            let text = if response.status == 422 { response.error() } else { response.text() };
            assert_eq!(
                (response.status.as_u16(), text),
                expected,
                "caller {caller}, credential {credential}"
            );
        }
    }
}

#[tokio::test]
async fn response_reaches_only_callers_who_may_use_the_credential() {
    assert_responses_reach_only_permitted_callers("60").await;
}

#[tokio::test]
async fn only_permitted_callers_get_lists_without_cached_decisions() {
    assert_responses_reach_only_permitted_callers("0").await;
}

#[tokio::test]
async fn late_response_does_not_restore_the_old_secret() {
    let state = RancherState::new();
    let gate = Gate::closed();
    let fake = {
        let (state, gate) = (Arc::clone(&state), gate.clone());
        FakeRancher::start_async(move |request| {
            let is_slow = request.header("authorization").contains("slow");
            let (response, gate) = (state.respond(&request), gate.clone());
            async move {
                if is_slow {
                    gate.pass().await;
                }
                response
            }
        })
    };
    let app = BesideApp::builder(fake.await).start().await;
    let slow_token = "token-slow:key-of-the-owner";
    state.add_user("owner", slow_token);
    app.control.script_login(azure_sandbox::Login {
        client_id: None,
        secret: "rotated~secret".to_owned(),
        outcome: azure_sandbox::Outcome::Token,
    });
    let overtaking = async {
        wait_until(|| !app.rancher.requests().is_empty()).await;
        state.put_credential(CREDENTIAL, "rotated~secret", &["owner"]);
        let response = app.get_versions(CREDENTIAL, OWNER).send().await;
        gate.open();
        response
    };
    let (slow_response, fast_response) =
        tokio::join!(app.get_versions(CREDENTIAL, slow_token).send(), overtaking);
    assert_eq!((slow_response.status.as_u16(), fast_response.status.as_u16()), (200, 200));
    app.rancher.take_requests();
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.header("x-norman-aks-cache"), "hit");
    assert!(app.rancher.take_requests().is_empty(), "the new version is still the latest");
    app.get_versions(CREDENTIAL, slow_token).send().await;
    assert_eq!(app.rancher.take_requests().len(), 1, "the outdated decision is not cached");
}
