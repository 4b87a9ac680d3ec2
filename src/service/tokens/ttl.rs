//! Parses a time to live: `30d`, `12h`, `90m`, `3600s`.

use std::time::Duration;

/// An invalid time to live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time to live: write a number above zero and one of s, m, h, d, for example 30d (at most 36500d)"
)]
pub struct InvalidTtl(String);

/// Parses a number above zero, directly followed by `s`, `m`, `h` or `d`; at most 36,500 days.
pub fn parse_ttl(text: &str) -> Result<Duration, InvalidTtl> {
    const MAX_SECONDS: u64 = 36_500 * 86_400;
    let invalid = || InvalidTtl(text.to_owned());
    let unit_index = text.len().checked_sub(1).ok_or_else(invalid)?;
    let (number, unit) = text.split_at_checked(unit_index).ok_or_else(invalid)?;
    let unit_seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(invalid()),
    };
    // `parse` would also accept a plus sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_seconds));
    seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds)).map(Duration::from_secs).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_is_a_number_and_a_unit() {
        for (text, seconds) in [
            ("30d", Some(2_592_000)),
            ("12h", Some(43_200)),
            ("90m", Some(5_400)),
            ("3600s", Some(3_600)),
            ("36500d", Some(3_153_600_000)),
            ("36501d", None),
            ("0s", None),
            ("", None),
            ("d", None),
            ("30", None),
            ("+3d", None),
            ("-3d", None),
            ("1.5h", None),
            ("3 d", None),
            ("3D", None),
            ("3é", None),
            ("99999999999999999999d", None),
            ("9999999999999999999d", None),
        ] {
            assert_eq!(parse_ttl(text).ok().map(|ttl| ttl.as_secs()), seconds, "{text:?}");
        }
        let error = parse_ttl("soon").expect_err("no ttl").to_string();
        assert!(error.contains("\"soon\"") && error.contains("30d"), "{error}");
    }
}
