//! The server alongside Rancher, with a small Rancher in process: [`rancher`] serves and fails, [`rancher_state`] has users,
//! credentials and clusters, [`recording`] plays the recorded exchanges of two real Ranchers.

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
