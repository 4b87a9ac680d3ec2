//! The agent in the sandbox: its Deployment in a simulated cluster runs the code of `norman-aks agent`, with the
//! environment, the mounted files and the network of its pod.

use std::sync::Arc;

use agent::{Event, Network, Settings, Status};
use azure_sandbox::{BuiltInImage, Container};

/// The name of the image, which may be in any registry and have any tag.
const IMAGE: &str = "norman-aks";

/// The image of the agent, for the options of a sandbox.
pub fn image() -> BuiltInImage {
    BuiltInImage { image: IMAGE.to_owned(), run: Arc::new(|container| Box::pin(run(container))) }
}

async fn run(container: Container) {
    let Container { environment, files, connect, log, ready, stop, .. } = container;
    let settings =
        Settings::from_environment(|name| environment.get(name).cloned(), |path| files.get(path).cloned());
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return log(&error.to_string()),
    };
    let (status, events_log) = (Status::new(), Arc::clone(&log));
    let observer = Arc::new(move |event: &Event| {
        status.record(event);
        events_log(&event.to_string());
        ready(status.is_ready());
    });
    if let Err(error) =
        agent::run(settings, Network::new(move |host, port| connect(host, port)), observer, stop).await
    {
        log(&error.to_string());
    }
}
