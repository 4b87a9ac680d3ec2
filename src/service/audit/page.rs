//! Reading the audit log: by filter and page, newest record first.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use uuid::Uuid;

use super::{AuditLog, Sink};
use crate::service::error::AdministratorTask;
use crate::service::{Caller, Invalid, Result};
use crate::store::{self, Store};

pub use store::AuditRow;
pub use store::audit::Filter;

/// The maximum number of records on a page.
pub const MAX_PAGE_SIZE: u32 = 1_000;

/// A page of records, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The records.
    pub rows: Vec<AuditRow>,
    /// The cursor of the next page, for [`Filter::before`]; `None` on the last page.
    pub next: Option<(i64, String)>,
}

/// A page of up to `limit` records, at most [`MAX_PAGE_SIZE`].
///
/// # Errors
/// [`Error::Store`](crate::service::Error::Store).
pub async fn page(store: &Store, filter: &Filter, limit: u32) -> Result<AuditPage> {
    let limit = limit.min(MAX_PAGE_SIZE);
    let mut rows = store::audit::list(store, limit + 1, filter).await?;
    let has_more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        rows.pop();
    }
    let next = rows.last().filter(|_| has_more).map(|last| (last.at_ms, last.id.clone()));
    Ok(AuditPage { rows, next })
}

impl AuditLog {
    /// A page of the audit log for an administrator, including everything that was recorded before the call.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::service::Error::Forbidden) for other callers,
    /// [`Error::Store`](crate::service::Error::Store).
    pub async fn page(&self, caller: &Caller, filter: &Filter, limit: u32) -> Result<AuditPage> {
        if !caller.admin {
            return Err(AdministratorTask::AuditLog.into());
        }
        self.flush().await;
        match &self.inner.sink {
            Sink::Database(store) => page(store, filter, limit).await,
            Sink::Log => Ok(AuditPage { rows: Vec::new(), next: None }),
        }
    }
}

/// Formats a time as in audit records: RFC 3339, UTC, with milliseconds.
pub fn format_time(at_ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    time.ok().and_then(|time| time.format(format).ok()).unwrap_or_else(|| at_ms.to_string())
}

/// The milliseconds since 1970 of a time in RFC 3339.
pub fn parse_time(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// Formats a cursor for clients.
pub fn format_cursor((at_ms, id): &(i64, String)) -> String {
    format!("{at_ms}.{id}")
}

/// Parses a cursor from [`format_cursor`].
///
/// # Errors
/// [`Invalid`] for `field` if it is malformed.
pub fn parse_cursor(field: &str, text: &str) -> Result<(i64, String), Invalid> {
    let parsed = text.split_once('.').and_then(|(at_ms, id)| {
        let id = Uuid::parse_str(id).ok()?;
        Some((at_ms.parse().ok()?, id.to_string()))
    });
    let message = || format!("{field} is not a position in the audit log; use the URL in next as it is");
    parsed.ok_or_else(|| Invalid::field("InvalidFormat", field, message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_are_parsed_with_any_offset() {
        assert_eq!(format_time(1_787_220_672_120), "2026-08-20T10:11:12.120Z");
        assert_eq!(format_time(i64::MAX), i64::MAX.to_string());
        for (text, expected) in [
            ("2026-08-20T10:11:12.120Z", Some(1_787_220_672_120)),
            ("2026-08-20T12:11:12.1209+02:00", Some(1_787_220_672_120)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("2026-08-20", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn cursor_round_trips_and_malformed_text_is_rejected() {
        let cursor = (-5, "01a209ff-44e3-774a-94cd-94100ad0b89b".to_owned());
        assert_eq!(parse_cursor("after", &format_cursor(&cursor)).ok(), Some(cursor));
        for text in ["", "5", "5.x", "x.01a209ff-44e3-774a-94cd-94100ad0b89b", "5.\0"] {
            assert_eq!(parse_cursor("after", text).expect_err(text).field.as_deref(), Some("after"));
        }
    }
}
