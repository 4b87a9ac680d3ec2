//! HTTP only: take the request apart, make one service call, shape the answer.

pub mod norman;
pub mod state;
