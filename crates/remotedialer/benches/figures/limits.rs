//! Measured values against their limits.

/// A measured value and its limit.
struct Measurement {
    name: String,
    value: f64,
    limit: f64,
    unit: &'static str,
}

/// The measured values that have a limit.
#[derive(Default)]
pub(crate) struct Measurements(Vec<Measurement>);

impl Measurements {
    /// Adds a value that must not exceed `limit`.
    pub(crate) fn require_at_most(&mut self, name: &str, value: f64, limit: f64, unit: &'static str) {
        self.0.push(Measurement { name: name.to_owned(), value, limit, unit });
    }

    pub(crate) fn has_exceeded_limit(&self) -> bool {
        self.0.iter().any(|measurement| measurement.value > measurement.limit)
    }

    pub(crate) fn print(&self) {
        for Measurement { name, value, limit, unit } in &self.0 {
            let verdict = if value > limit { "EXCEEDED" } else { "met" };
            println!("{name:<62}{value:>8.1} {unit:<5} at most {limit:>4.0}  {verdict}");
        }
    }
}
