//! Measured values against their targets.

/// A measured value.
struct Measured {
    name: String,
    value: f64,
    limit: f64,
    unit: &'static str,
}

/// The values that have a target.
#[derive(Default)]
pub(crate) struct Targets(Vec<Measured>);

impl Targets {
    /// Adds a value that must not exceed `limit`.
    pub(crate) fn require_at_most(&mut self, name: &str, value: f64, limit: f64, unit: &'static str) {
        self.0.push(Measured { name: name.to_owned(), value, limit, unit });
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.0.iter().any(|measured| measured.value > measured.limit)
    }

    pub(crate) fn print(&self) {
        for Measured { name, value, limit, unit } in &self.0 {
            let verdict = if value > limit { "MISSED" } else { "met" };
            println!("{name:<52}{value:>8.1} {unit:<5} at most {limit:>4.0}  {verdict}");
        }
    }
}
