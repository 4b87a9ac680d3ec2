//! When to ask again: what Azure says about it in its headers, and our own growing pauses.

use std::time::{Duration, UNIX_EPOCH};

use clock::Clock;
use http::HeaderMap;
use uuid::Uuid;

/// The longest delay before a retry; when Azure asks for more, the caller gets the error
/// (`docs/contract/azure.md#retries`).
const LONGEST: Duration = Duration::from_mins(1);

/// Azure is never left alone for longer, and nobody is told to: what asks for more is a mistake on the way.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// How long Azure asks to wait, at most an hour: `x-ms-retry-after-ms`, `retry-after-ms`, or `Retry-After` in seconds
/// or as a date. `None` where nothing is said, nothing can be read, or the date has passed.
pub(super) fn asked(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = |name: &str| number(text(name)?).map(Duration::from_millis);
    let asked = millis("x-ms-retry-after-ms").or_else(|| millis("retry-after-ms")).or_else(|| {
        let text = text("retry-after")?;
        if let Some(seconds) = number(text) {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let now = Duration::from_millis(u64::try_from(clock.now_ms()).ok()?);
        date.checked_sub(now)
    });
    asked.map(|asked| asked.min(MAX_RETRY_AFTER))
}

/// A number of any length; one that does not fit is as large as can be.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The pause before the attempt that follows the `failed`th (1 is the first), or `None` when it would be longer
/// than a minute or than the time `left`. `unit` is multiplied by 1, 3, 7, … and by `jitter`.
pub(super) fn pause(
    failed: u32,
    asked: Option<Duration>,
    left: Duration,
    unit: Duration,
    jitter: f64,
) -> Option<Duration> {
    let pause = match asked {
        Some(asked) if !asked.is_zero() => asked,
        _ => {
            let factor = 2_u32.saturating_pow(failed).saturating_sub(1);
            unit.saturating_mul(factor).min(LONGEST).mul_f64(jitter).min(LONGEST)
        }
    };
    (pause <= LONGEST && pause < left).then_some(pause)
}

/// A random factor between 0.8 and 1.3, so that callers who failed together do not come back together.
pub(super) fn jitter() -> f64 {
    let [byte, ..] = Uuid::new_v4().into_bytes();
    0.8 + 0.5 * f64::from(byte) / 255.0
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    /// 1994-11-06T08:49:27Z
    const NOW_MS: i64 = 784_111_767_000;

    #[test]
    fn every_form_of_the_headers_is_understood() {
        let clock = Clock::manual(NOW_MS);
        let seconds = |s| Some(Duration::from_secs(s));
        for (headers, expected) in [
            (vec![("retry-after", "7")], seconds(7)),
            (vec![("retry-after", " 7 ")], seconds(7)),
            (vec![("retry-after", "0")], seconds(0)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], seconds(10)),
            (vec![("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")], seconds(10)),
            (vec![("retry-after", "Sun Nov  6 08:49:37 1994")], seconds(10)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "-5")], None),
            (vec![("retry-after", "3600")], seconds(3_600)),
            (vec![("retry-after", "3601")], seconds(3_600)),
            (vec![("retry-after", "315360000")], seconds(3_600)),
            (vec![("retry-after", "99999999999999999999999")], seconds(3_600)),
            (vec![("retry-after", "Sun, 06 Nov 2044 08:49:37 GMT")], seconds(3_600)),
            (vec![("x-ms-retry-after-ms", "99999999999999999999999")], seconds(3_600)),
            (vec![("retry-after", "+5")], None),
            (vec![("retry-after", "")], None),
            (vec![("retry-after-ms", "1500"), ("retry-after", "7")], Some(Duration::from_millis(1500))),
            (
                vec![("x-ms-retry-after-ms", "20"), ("retry-after-ms", "1500")],
                Some(Duration::from_millis(20)),
            ),
            (vec![("x-ms-retry-after-ms", "x"), ("retry-after", "7")], seconds(7)),
            (vec![], None),
        ] {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            assert_eq!(asked(&map, &clock), expected, "{headers:?}");
        }
    }

    #[test]
    fn pauses_grow_and_give_way_to_azures_wish() {
        let ms = Duration::from_millis;
        let unit = ms(800);
        let hour = Duration::from_hours(1);
        for (failed, asked, left, expected) in [
            (1, None, hour, Some(ms(800))),
            (2, None, hour, Some(ms(2_400))),
            (3, None, hour, Some(ms(5_600))),
            (40, None, hour, Some(ms(60_000))),
            (1, Some(ms(0)), hour, Some(ms(800))),
            (1, Some(ms(3_000)), hour, Some(ms(3_000))),
            (3, Some(ms(60_000)), hour, Some(ms(60_000))),
            (1, Some(ms(60_001)), hour, None),
            (1, Some(ms(3_000)), ms(3_000), None),
            (1, None, ms(700), None),
        ] {
            assert_eq!(pause(failed, asked, left, unit, 1.0), expected, "{failed} {asked:?} {left:?}");
        }
        assert_eq!(pause(2, None, hour, unit, 1.25), Some(ms(3_000)));
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_varies() {
        let drawn: Vec<f64> = (0..200).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|factor| (0.8..=1.3).contains(factor)));
        assert!(drawn.iter().any(|factor| *factor < 1.0) && drawn.iter().any(|factor| *factor > 1.1));
    }
}
