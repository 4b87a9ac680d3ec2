//! Tests of sessions through the public interface.

// The lints of the library's own code are relaxed by `cfg(test)`.
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
#[cfg(test)]
mod support;
