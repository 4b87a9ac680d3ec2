//! The table: a line per figure, with the promise beside it where there is one.

use std::thread::available_parallelism;

/// What was promised about a figure.
#[derive(Clone, Copy)]
pub(crate) enum Promise {
    Exactly(f64),
    AtMost(f64),
    AtLeast(f64),
    /// Nothing; the figure only helps to understand the others.
    None,
}

impl Promise {
    fn is_kept(self, figure: f64) -> bool {
        match self {
            Self::Exactly(wanted) => (figure - wanted).abs() < f64::EPSILON,
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
            Self::None => true,
        }
    }
}

/// The figures so far. Each is printed as soon as it is known.
pub(crate) struct Table {
    broken: usize,
    promises: usize,
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
            println!("CPU time and memory are read from /proc and are left out here: this is not Linux");
        }
        Self { broken: 0, promises: 0 }
    }

    /// A heading, with the circumstances.
    #[expect(clippy::unused_self, reason = "headings belong to a table that has begun")]
    pub(crate) fn section(&self, title: &str) {
        println!("\n{title}\n  {:<66} {:>9}  {:>11}  kept", "figure", "promised", "measured");
    }

    /// A figure with the unit of both numbers, for example `ms`.
    pub(crate) fn line(&mut self, what: &str, unit: &str, promise: Promise, figure: f64) {
        let promised = match promise {
            Promise::Exactly(wanted) => number(wanted),
            Promise::AtMost(limit) => format!("≤ {}", number(limit)),
            Promise::AtLeast(limit) => format!("≥ {}", number(limit)),
            Promise::None => String::new(),
        };
        let kept = match promise {
            Promise::None => "",
            _ if promise.is_kept(figure) => "yes",
            _ => "NO",
        };
        println!("  {what:<66} {promised:>9}  {:>6} {unit:<4}  {kept}", number(figure));
        self.promises += usize::from(!kept.is_empty());
        self.broken += usize::from(kept == "NO");
    }

    pub(crate) fn end(&self) {
        println!("\n{} of {} promises are kept", self.promises - self.broken, self.promises);
    }

    /// Whether every promise is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.broken == 0
    }
}

/// Whole numbers as such, small ones with two digits that say something.
fn number(figure: f64) -> String {
    match figure {
        _ if figure.fract() == 0.0 || figure.abs() >= 100.0 => format!("{figure:.0}"),
        _ if figure.abs() >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The middle one; with an even number of them, the lower of the two.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
