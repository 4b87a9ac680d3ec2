//! The permissions of the caller at a scope (`Microsoft.Authorization/permissions`).

use super::lenient::lenient_structs;

lenient_structs! {
    /// The actions that one role of the caller grants.
    Permission {
        /// The granted actions; `*` matches any string.
        actions: Vec<String>,
        /// Exceptions from `actions`. Another role may grant them.
        not_actions: Vec<String>,
    }
}

impl Permission {
    /// Whether the role grants an action, for example `Microsoft.ContainerService/managedClusters/write`.
    pub fn grants(&self, action: &str) -> bool {
        let covers = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
        covers(&self.actions) && !covers(&self.not_actions)
    }
}

/// Whether a pattern with `*` covers an action, in any letter case.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut literals = pattern.split('*');
    let Some(mut rest) = literals.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let mut literals = literals.peekable();
    if literals.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(literal) = literals.next() {
        if literals.peek().is_none() {
            return rest.ends_with(literal);
        }
        let Some(after) = rest.find(literal).and_then(|start| rest.get(start + literal.len()..)) else {
            return false;
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_grants_by_pattern() {
        const WRITE: &str = "Microsoft.ContainerService/managedClusters/write";
        let role = |actions: &[&str], not_actions: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|action| (*action).to_owned()).collect();
            Permission { actions: owned(actions), not_actions: owned(not_actions) }
        };
        for (actions, not_actions, expected) in [
            (&["*"][..], &[][..], true),
            (&["*"], &["Microsoft.Authorization/*/Write"], true),
            (&["*/read"], &[], false),
            (&["*/write"], &[], true),
            (&["microsoft.containerservice/*"], &[], true),
            (&["Microsoft.ContainerService/managedClusters/*"], &["*/write"], false),
            (&["Microsoft.ContainerService/*/write"], &[], true),
            (&["Microsoft.ContainerService/managedClusters/write"], &[], true),
            (&["Microsoft.ContainerService/managedClusters/read", "Microsoft.Network/*"], &[], false),
            (&["Microsoft.*/managed*/write"], &[], true),
            (&["Microsoft.ContainerService/managedClusters/write/more"], &[], false),
            (&[""], &[], false),
            (&[], &[], false),
        ] {
            assert_eq!(role(actions, not_actions).grants(WRITE), expected, "{actions:?} {not_actions:?}");
        }
    }

    /// The same as `matches`, by backtracking over all positions of each `*`.
    fn matches_by_backtracking(pattern: &[u8], action: &[u8]) -> bool {
        match (pattern.split_first(), action.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                (0..=action.len()).any(|skipped| matches_by_backtracking(rest, &action[skipped..]))
            }
            (None, Some(_)) | (Some(_), None) => false,
            (Some((expected, pattern)), Some((byte, action))) => {
                expected.eq_ignore_ascii_case(byte) && matches_by_backtracking(pattern, action)
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn patterns_match_as_if_all_positions_were_tried(
            pattern in "[aAb/*]{0,8}", action in "[aAb/]{0,10}",
        ) {
            let expected = matches_by_backtracking(pattern.as_bytes(), action.as_bytes());
            proptest::prop_assert_eq!(matches(&pattern, &action), expected);
        }
    }
}
