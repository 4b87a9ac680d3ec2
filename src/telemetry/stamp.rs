//! The time in front of every line, as tracing-subscriber writes it: `2026-08-20T12:31:12.123456Z`.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// The text of a second, which most lines have in common with the one before.
struct Second {
    number: u64,
    text: String,
}

thread_local! {
    static LATEST: RefCell<Second> = const { RefCell::new(Second { number: u64::MAX, text: String::new() }) };
}

/// Writes the time of now.
#[expect(clippy::disallowed_methods, reason = "nothing is decided by the time in a log line")]
pub(super) fn write_now(out: &mut impl Write) -> fmt::Result {
    // A machine before 1970 has not been told the time yet.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    write(out, now)
}

fn write(out: &mut impl Write, since_1970: Duration) -> fmt::Result {
    LATEST.with_borrow_mut(|latest| {
        if latest.number != since_1970.as_secs() {
            latest.text = second(since_1970.as_secs())?;
            latest.number = since_1970.as_secs();
        }
        out.write_str(&latest.text)
    })?;
    let mut digits = *b".000000Z";
    let mut rest = since_1970.subsec_micros();
    for digit in digits.iter_mut().rev().skip(1).take(6) {
        // A remainder of ten is a digit.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    out.write_str(std::str::from_utf8(&digits).unwrap_or_default())
}

fn second(number: u64) -> Result<String, fmt::Error> {
    let at =
        OffsetDateTime::UNIX_EPOCH.checked_add(time::Duration::new(i64::try_from(number).unwrap_or(0), 0));
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut text = String::with_capacity(20);
    write!(text, "{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())?;
    write!(text, "T{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_microsecond_whatever_was_written_before() {
        for (micros, expected) in [
            (1_787_229_072_123_456, "2026-08-20T12:31:12.123456Z"),
            (1_787_229_072_000_007, "2026-08-20T12:31:12.000007Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            let mut text = String::new();
            write(&mut text, Duration::from_micros(micros)).unwrap();
            assert_eq!(text, expected);
        }
    }
}
