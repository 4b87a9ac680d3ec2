//! No token and no proxy password appears in the output of an agent.

use agent::Event;
use remotedialer::CloseCode;

use crate::proxies::Proxy;
use crate::server::Server;
use crate::support::{Agent, TOKEN, network, settings, variables_with_checksum};

#[tokio::test]
async fn output_contains_neither_token_nor_password() {
    const PASSWORD: &str = "canary-password";
    // base64 of `user:canary-password`.
    const ENCODED_CREDENTIAL: &str = "dXNlcjpjYW5hcnktcGFzc3dvcmQ=";
    let mut server = Server::start().await;
    let proxy = Proxy::start(server.address, "200 OK", None).await;
    let mut variables = variables_with_checksum(&server);
    variables.insert("HTTPS_PROXY", format!("http://user:{PASSWORD}@proxy.test:3128"));
    let settings = settings(&variables);
    let settings_text = format!("{settings:?}");
    let mut agent = Agent::start(settings, network(vec![("proxy.test", proxy.address)]));
    let session = server.next_session().await;
    assert!(proxy.heads()[0].contains(ENCODED_CREDENTIAL), "{:?}", proxy.heads());
    // A server, or a proxy in front of it, may repeat what it received.
    server.update_state(|state| state.rejection = Some((401, format!("unknown token {TOKEN}"))));
    session.close(CloseCode::POLICY, &format!("token {TOKEN} was replaced"));
    let rejection =
        agent.wait_for(|event| matches!(event, Event::Rejected { .. }).then(|| event.to_string()));
    assert!(rejection.await.contains("unknown token ****"));
    let status = agent.status.clone();
    agent.stop.cancel();
    let events = agent.wait_until_stopped().await;
    assert!(events.iter().any(|event| event.to_string().contains("token **** was replaced")), "{events:?}");

    let mut outputs = vec![settings_text, format!("{status:?}"), status.reason().unwrap_or_default()];
    outputs.extend(events.iter().flat_map(|event| [event.to_string(), format!("{event:?}")]));
    for output in outputs {
        for secret in [TOKEN, PASSWORD, ENCODED_CREDENTIAL] {
            assert!(!output.contains(secret), "{output}");
        }
    }
}
