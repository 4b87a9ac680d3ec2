//! Long operations that are to end otherwise: decided before they begin.

use serde::{Deserialize, Serialize};

use super::holdings::{Deed, Trouble, Wanted, Work};

/// A decision about long operations that have not begun yet. Conditions that are left out hold for every
/// operation; the first decision that fits holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ending {
    /// Only this kind of operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deed: Option<Deed>,
    /// Only on what has this name, in any letter case; for pools and subnets, the name of the pool or subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many fitting operations end as usual first.
    pub skip: u32,
    /// How many fitting operations end like this after that; without end when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How they end.
    pub status: Final,
    /// `error.code`. With [`Final::Succeeded`], a trouble that Azure overcame on the way; none when empty.
    pub code: String,
    /// `error.message`.
    pub message: String,
    /// How long they take instead, in milliseconds before the scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
}

/// The last status of a long operation, as Azure writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Final {
    /// Done.
    Succeeded,
    /// Not done.
    #[default]
    Failed,
    /// Stopped by somebody.
    Canceled,
}

/// The decisions in force, in order.
#[derive(Default)]
pub(crate) struct Endings(Vec<Ending>);

impl Endings {
    pub(crate) fn add(&mut self, ending: Ending) {
        if ending.times != Some(0) {
            self.0.push(ending);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn all(&self) -> Vec<Ending> {
        self.0.clone()
    }

    /// Gives `work`, which begins, the end that was decided for it, counted off.
    pub(crate) fn decide(&mut self, work: &mut Work) {
        for ending in self.0.iter_mut().filter(|ending| ending.fits(work)) {
            if ending.skip > 0 {
                ending.skip -= 1;
                continue;
            }
            if let Some(times) = &mut ending.times {
                *times -= 1;
            }
            let trouble = Trouble { code: ending.code.clone(), message: ending.message.clone() };
            work.wanted = Some(Wanted { status: ending.status, trouble });
            work.lasts_ms = ending.lasts.unwrap_or(work.lasts_ms);
            break;
        }
        self.0.retain(|ending| ending.times != Some(0));
    }
}

impl Ending {
    fn fits(&self, work: &Work) -> bool {
        let named = work.part.as_ref().unwrap_or(&work.name);
        self.deed.is_none_or(|deed| deed == work.deed)
            && self.name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(named))
    }
}
