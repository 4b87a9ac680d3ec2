//! Measured values against their targets.

/// A measured value and its target.
struct Measurement {
    name: String,
    value: f64,
    limit: f64,
    unit: &'static str,
}

/// The measured values that have a target.
#[derive(Default)]
pub(crate) struct Measurements(Vec<Measurement>);

impl Measurements {
    /// Adds a value that must not exceed `limit`.
    pub(crate) fn require_at_most(&mut self, name: &str, value: f64, limit: f64, unit: &'static str) {
        self.0.push(Measurement { name: name.to_owned(), value, limit, unit });
    }

    pub(crate) fn has_missed_target(&self) -> bool {
        self.0.iter().any(|measurement| measurement.value > measurement.limit)
    }

    pub(crate) fn print(&self) {
        for Measurement { name, value, limit, unit } in &self.0 {
            let verdict = if value > limit { "MISSED" } else { "met" };
            println!("{name:<52}{value:>8.1} {unit:<5} at most {limit:>4.0}  {verdict}");
        }
    }
}
