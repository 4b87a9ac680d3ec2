//! Compares loads in short alternating rounds, whose order is reversed each time, and calculates the median of the rounds, so
//! that all loads are measured under the same conditions.

use std::rc::Rc;
use std::time::Duration;

use crate::client::Load;
use crate::error::Result;
use crate::server::Server;
use crate::table::median;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 31;
const ROUND_TIME: Duration = Duration::from_millis(200);

/// The rounds of one load.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Responses per second of each round.
    pub(crate) per_second: Vec<f64>,
    responses: f64,
    /// CPU time of the server, if it can be measured.
    cpu_ms: Option<f64>,
}

impl Rounds {
    /// The median, over the rounds, of the responses per second as a percentage of `baseline`'s.
    pub(crate) fn percent_of(&self, baseline: &Self) -> f64 {
        let pairs = self.per_second.iter().zip(&baseline.per_second);
        median(pairs.map(|(own, baseline)| 100.0 * own / baseline).collect())
    }

    /// CPU time of the server per response, in microseconds.
    pub(crate) fn cpu_us_per_response(&self) -> Option<f64> {
        Some(self.cpu_ms? * 1000.0 / self.responses)
    }
}

/// Runs the rounds of all loads.
pub(crate) async fn run_rounds<const N: usize>(server: &Server, loads: [Rc<Load>; N]) -> Result<[Rounds; N]> {
    let mut all_rounds: [Rounds; N] = std::array::from_fn(|_| Rounds::default());
    for number in 0..ROUNDS {
        let mut pairs: Vec<_> = loads.iter().zip(&mut all_rounds).collect();
        if number % 2 == 1 {
            pairs.reverse();
        }
        for (load, rounds) in pairs {
            let before = server.process.cpu_ms();
            let per_second = load.run_round(CONNECTIONS, ROUND_TIME).await?;
            if let Some((before, after)) = before.zip(server.process.cpu_ms()) {
                *rounds.cpu_ms.get_or_insert_default() += after - before;
            }
            rounds.responses += per_second * ROUND_TIME.as_secs_f64();
            rounds.per_second.push(per_second);
        }
    }
    Ok(all_rounds)
}
