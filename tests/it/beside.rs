//! The server alongside Rancher, with a fake Rancher in process: [`rancher`] is its HTTP server, with faults;
//! [`rancher_state`] has its users, credentials and clusters; [`recording`] replays the exchanges of two real Ranchers.

mod app;
mod catalog;
mod concurrency;
mod faults;
mod forwarding;
mod ingress;
mod rancher;
mod rancher_state;
mod recording;
mod revocation;
mod rights;
mod secrecy;
mod trust;
