//! The Kubernetes APIs of the clusters that Resource Manager or the control API declares ([`declared`]), each with its own
//! certificate authority, nodes, service accounts and objects. All APIs share one TLS port of the loopback interface; the host
//! name in the handshake selects the cluster.
//!
//! Example, `PATCH …/deployments/web?fieldManager=me`: [`server`] finds the cluster, logs the request and injects
//! the first matching fault; [`request`] parses it; [`authn`] authenticates the caller, [`authz`] authorizes it; [`api`] calls
//! [`mod@write`], which reads the object from [`storage`], changes it with [`patch`], validates it with [`admit`], and
//! stores it; [`controllers`] then reconcile (here, they create pods), and every [`watch`] of such objects sends the change.
//!
//! Most pods run nothing: they are scheduled, get an address, become ready and write a log. The exceptions are pods
//! with the image of a program, which [`runtime`] runs, and the commands of Azure's run command, which [`commands`] runs.

mod admit;
mod api;
mod authn;
mod authority;
mod authz;
pub(crate) mod background;
mod cluster;
pub(crate) mod clusters;
pub(crate) mod commands;
mod containers;
mod controllers;
pub(crate) mod declared;
mod delete;
mod deployments;
mod discovery;
mod impersonate;
pub(crate) mod kubeconfig;
pub(crate) mod kubectl;
mod list;
mod logs;
mod nodes;
mod openapi;
mod patch;
mod pods;
mod podspec;
mod protobuf;
mod request;
mod resources;
mod reviews;
mod rules;
pub(crate) mod runtime;
mod seed;
mod select;
pub(crate) mod server;
mod status;
mod storage;
mod tables;
pub(crate) mod tls;
mod tokens;
pub(crate) mod user;
mod value;
mod watch;
mod websocket;
mod write;
