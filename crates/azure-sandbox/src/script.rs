//! Lists of rules that apply to matching requests or operations, a limited number of times.

/// A rule that skips a number of matches, and then applies to a limited number of them.
pub(crate) trait Rule: Clone {
    type Subject;

    fn matches(&self, subject: &Self::Subject) -> bool;

    /// `skip` and `times`.
    fn counters(&mut self) -> (&mut u32, &mut Option<u32>);
}

/// Rules in order; the first match applies.
pub(crate) struct Script<R>(Vec<R>);

impl<R> Default for Script<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R: Rule> Script<R> {
    pub(crate) fn add(&mut self, mut rule: R) {
        if *rule.counters().1 != Some(0) {
            self.0.push(rule);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn all(&self) -> &[R] {
        &self.0
    }

    /// The rule that applies to `subject`; counts down its `skip` or `times`, and removes it if it is used up.
    pub(crate) fn next_match(&mut self, subject: &R::Subject) -> Option<R> {
        let mut applied = None;
        for rule in self.0.iter_mut().filter(|rule| rule.matches(subject)) {
            let (skip, times) = rule.counters();
            if *skip > 0 {
                *skip -= 1;
                continue;
            }
            if let Some(times) = times {
                *times -= 1;
            }
            applied = Some(rule.clone());
            break;
        }
        self.0.retain_mut(|rule| *rule.counters().1 != Some(0));
        applied
    }
}
