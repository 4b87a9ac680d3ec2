//! Rounds of requests that are compared with each other. They are short and alternate, forwards and backwards, and what
//! counts is the median over the rounds: so all of them meet the same conditions of the machine.

use std::rc::Rc;
use std::time::Duration;

use crate::Outcome;
use crate::client::Load;
use crate::server::Server;
use crate::table::median;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 31;
const ROUND: Duration = Duration::from_millis(200);

/// All rounds of one kind.
#[derive(Default)]
pub(crate) struct Rounds {
    /// The answers a second of each.
    pub(crate) a_second: Vec<f64>,
    answers: f64,
    /// CPU time of the server, where it can be seen.
    cpu_ms: Option<f64>,
}

impl Rounds {
    /// Answers a second as a share of those of `bare`, in percent.
    pub(crate) fn share_of(&self, bare: &Self) -> f64 {
        median(self.a_second.iter().zip(&bare.a_second).map(|(own, bare)| 100.0 * own / bare).collect())
    }

    /// CPU time of the server for one answer.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        Some(self.cpu_ms? * 1000.0 / self.answers)
    }
}

/// Sends each load in turn, round by round.
pub(crate) async fn rounds<const N: usize>(server: &Server, loads: [Rc<Load>; N]) -> Outcome<[Rounds; N]> {
    let mut all: [Rounds; N] = std::array::from_fn(|_| Rounds::default());
    for number in 0..ROUNDS {
        let mut pairs: Vec<_> = loads.iter().zip(&mut all).collect();
        if number % 2 == 1 {
            pairs.reverse();
        }
        for (load, rounds) in pairs {
            let before = server.process.cpu_ms();
            let a_second = load.round(CONNECTIONS, ROUND).await?;
            if let Some((before, after)) = before.zip(server.process.cpu_ms()) {
                *rounds.cpu_ms.get_or_insert_default() += after - before;
            }
            rounds.answers += a_second * ROUND.as_secs_f64();
            rounds.a_second.push(a_second);
        }
    }
    Ok(all)
}
