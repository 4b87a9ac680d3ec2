//! Tests of sessions through the public interface.

// Clippy's `allow-*-in-tests` settings apply only inside `cfg(test)`.
#[cfg(test)]
mod client;
#[cfg(test)]
mod end_to_end;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod flow_control;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod support;
