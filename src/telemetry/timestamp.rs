//! The time of log lines, in the format of tracing-subscriber: RFC 3339 in UTC, with microseconds. The formatter of
//! tracing-subscriber takes three times as long.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The current time.
pub(super) struct Timestamp;

impl FormatTime for Timestamp {
    #[expect(clippy::disallowed_methods, reason = "tests do not move the time of log lines")]
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write_timestamp(writer, SystemTime::now())
    }
}

/// Writes a time. For a time before 1970 or after 9999, writes the date 1970-01-01.
fn write_timestamp(writer: &mut impl fmt::Write, time: SystemTime) -> fmt::Result {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = i64::try_from(since_epoch.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    let (date, (hour, minute, second)) = {
        let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (time.date(), time.to_hms())
    };
    let (year, month, day) = date.to_calendar_date();
    let two_digit_numbers = [second, minute, hour, day, month.into()].map(u32::from);
    let mut numbers =
        [since_epoch.subsec_micros()].into_iter().chain(two_digit_numbers).chain(u32::try_from(year));
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    // The digits are filled in from the end. Each separator, including the final `Z`, starts the next number.
    let mut number = 0;
    for byte in text.iter_mut().rev() {
        if *byte == b'0' {
            *byte += u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        } else {
            number = numbers.next().unwrap_or_default();
        }
    }
    writer.write_str(str::from_utf8(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn format(time: SystemTime) -> String {
        let mut text = String::new();
        write_timestamp(&mut text, time).unwrap();
        text
    }

    #[test]
    fn numbers_are_padded_with_zeros() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_825_599_000_001, "2000-02-29T11:59:59.000001Z"),
            (1_796_083_384_120_000, "2026-12-01T00:03:04.120000Z"),
        ] {
            assert_eq!(format(UNIX_EPOCH + Duration::from_micros(micros)), expected);
        }
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000000Z");
    }

    proptest::proptest! {
        #[test]
        fn time_is_parsed_as_rfc_3339(micros in 0..253_402_300_800_000_000_u64) {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            let parsed = OffsetDateTime::parse(&format(time), &Rfc3339).unwrap();
            proptest::prop_assert_eq!(SystemTime::from(parsed), time);
        }
    }
}
