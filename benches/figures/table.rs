//! The output: a line for each figure, with its target if it has one.

use std::thread::available_parallelism;

/// The target of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Exactly(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::Exactly(expected) => (figure - expected).abs() < f64::EPSILON,
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
        }
    }
}

/// Counts the targets. Each figure is printed as soon as it is measured.
pub(crate) struct Table {
    missed: usize,
    targets: usize,
}

impl Table {
    pub(crate) fn begin() -> Self {
        let cores = available_parallelism().map_or(0, usize::from);
        println!(
            "norman-aks {}, measured on {cores} cores ({})",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS
        );
        if !cfg!(target_os = "linux") {
            println!("CPU time and memory are read from /proc and omitted here: this is not Linux");
        }
        Self { missed: 0, targets: 0 }
    }

    /// Prints a heading with the conditions of the measurement.
    #[expect(clippy::unused_self, reason = "headings belong to a table that has begun")]
    pub(crate) fn section(&self, title: &str) {
        println!("\n{title}\n  {:<66} {:>9}  {:>11}  met", "figure", "target", "measured");
    }

    /// Prints a figure with its target; both are in `unit`, for example `ms`.
    pub(crate) fn target(&mut self, name: &str, unit: &str, target: Target, figure: f64) {
        let target_text = match target {
            Target::Exactly(expected) => format_figure(expected),
            Target::AtMost(limit) => format!("≤ {}", format_figure(limit)),
            Target::AtLeast(limit) => format!("≥ {}", format_figure(limit)),
        };
        let is_met = target.is_met(figure);
        self.targets += 1;
        self.missed += usize::from(!is_met);
        print_line(name, &target_text, unit, figure, if is_met { "yes" } else { "NO" });
    }

    /// Prints a figure without a target, which helps to understand the others.
    #[expect(clippy::unused_self, reason = "figures belong to a table that has begun")]
    pub(crate) fn info(&self, name: &str, unit: &str, figure: f64) {
        print_line(name, "", unit, figure, "");
    }

    pub(crate) fn end(&self) {
        println!("\n{} of {} targets are met", self.targets - self.missed, self.targets);
    }

    pub(crate) fn all_met(&self) -> bool {
        self.missed == 0
    }
}

fn print_line(name: &str, target: &str, unit: &str, figure: f64, met: &str) {
    println!("  {name:<66} {target:>9}  {:>6} {unit:<4}  {met}", format_figure(figure));
}

/// Formats a figure; large figures have fewer decimals.
fn format_figure(figure: f64) -> String {
    match figure {
        _ if figure.fract() == 0.0 || figure.abs() >= 100.0 => format!("{figure:.0}"),
        _ if figure.abs() >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The median; the lower of the two middle figures of an even number.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
