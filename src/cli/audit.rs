//! `audit list`: prints audit records.

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use clock::Clock;

use super::error::Error;
use super::output::{escape_controls, print};
use super::runtime::run_on_database;
use crate::api::AuditRecord;
use crate::config::{DatabaseScope, SettingFlags};
use crate::service::Invalid;
use crate::service::audit::{self, AuditRow, Filter, MAX_PAGE_SIZE};
use crate::service::tokens::parse_ttl;
use crate::store::Store;

/// The subcommands.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print audit records, newest first.
    List(Box<List>),
}

#[derive(Args)]
pub(super) struct List {
    /// Only records since this time: 2026-08-20T10:11:12Z, or a duration before now such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// Only records before this time, in the same format
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
    /// Only actions of this user
    #[arg(long, value_name = "NAME|ID")]
    user: Option<String>,
    /// Only actions on objects of this type, for example cluster or cloudCredential
    #[arg(long, value_name = "TYPE")]
    object_type: Option<String>,
    /// Only actions on this object
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Only this action, for example create, update, delete or use
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Maximum number of records
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,
    /// text, or json for one JSON object per line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    settings: SettingFlags<DatabaseScope>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    let Command::List(list) = command;
    let List { since, until, user, object_type, object, action, limit, format, settings } = *list;
    let filter = Filter {
        since_ms: since,
        until_ms: until,
        user,
        object_type,
        object_id: object,
        action,
        before: None,
    };
    run_on_database(settings, async |_, store| print_records(store, filter, limit, format).await)
}

/// Prints page by page, so that memory use does not depend on the number of records.
async fn print_records(
    store: &Store,
    mut filter: Filter,
    mut limit: u32,
    format: Format,
) -> Result<(), Error> {
    while limit > 0 {
        let page = audit::page(store, &filter, limit.min(MAX_PAGE_SIZE)).await?;
        limit = limit.saturating_sub(u32::try_from(page.rows.len()).unwrap_or(u32::MAX));
        let lines =
            page.rows.into_iter().fold(String::new(), |lines, row| lines + &format_row(row, format) + "\n");
        if !lines.is_empty() {
            print(&lines)?;
        }
        if page.next.is_none() {
            break;
        }
        filter.before = page.next;
    }
    Ok(())
}

fn format_row(row: AuditRow, format: Format) -> String {
    match format {
        Format::Json => json_line(row),
        Format::Text => text_line(&row),
    }
}

fn json_line(row: AuditRow) -> String {
    escape_controls(&serde_json::to_string(&AuditRecord::from(row)).unwrap_or_default())
}

/// Formats a record as time, user, action, object and outcome, followed by the other fields as `name=value`.
fn text_line(row: &AuditRow) -> String {
    let user = if row.user_id.is_empty() { format!("({})", row.user_name) } else { row.user_name.clone() };
    let mut line = audit::format_time(row.at_ms);
    for value in [&user, &row.action, &format!("{}/{}", row.object_type, row.object_id), &row.outcome] {
        line.push(' ');
        line.push_str(&quote(value));
    }
    for (name, value) in [
        ("user_id", &row.user_id),
        ("token", &row.token_name),
        ("client_ip", &row.remote),
        ("request_id", &row.request_id),
        ("detail", &row.detail),
    ] {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(line, " {name}={}", quote(value));
        }
    }
    if let Some(counted) = row.counted {
        let _ = write!(line, " count={} last_time={}", counted.count, audit::format_time(counted.last_ms));
    }
    line
}

/// Formats a value as one word: unchanged if it contains only letters, digits and visible ASCII characters other than `"`, `\`
/// and `=`, otherwise quoted and escaped, so that it cannot forge a field or a line or control the terminal.
fn quote(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '='));
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    let mut escaped = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            ' ' => escaped.push(c),
            c if c.is_alphanumeric() || c.is_ascii_graphic() => escaped.push(c),
            // Control characters, invisible characters and bidirectional formatting characters.
            c => escaped.extend(c.escape_unicode()),
        }
    }
    escaped.push('"');
    escaped.into()
}

fn parse_time(text: &str) -> Result<i64, Invalid> {
    let message = "not a time; write it as 2026-08-20T10:11:12Z, or 24h for a day ago";
    let time_before_now = || {
        let duration = parse_ttl(text).ok()?;
        i64::try_from(duration.as_millis()).ok().map(|duration| Clock::system().now_ms() - duration)
    };
    audit::parse_time(text).or_else(time_before_now).ok_or_else(|| Invalid::new("InvalidFormat", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::audit::Count;

    fn row() -> AuditRow {
        AuditRow {
            id: "01a209ff-44e3-774a-94cd-94100ad0b89b".to_owned(),
            at_ms: 1_787_220_672_123,
            user_id: "user-a".to_owned(),
            user_name: "ann".to_owned(),
            token_name: "token-a".to_owned(),
            action: "create".to_owned(),
            object_type: "cluster".to_owned(),
            object_id: "c-a".to_owned(),
            outcome: "done".to_owned(),
            request_id: "r-1".to_owned(),
            remote: "::1".to_owned(),
            detail: String::new(),
            counted: None,
        }
    }

    #[test]
    fn record_is_one_line_of_text() {
        assert_eq!(
            text_line(&row()),
            "2026-08-20T10:11:12.123Z ann create cluster/c-a done user_id=user-a token=token-a client_ip=::1 \
             request_id=r-1"
        );
        let command = AuditRow {
            user_id: String::new(),
            user_name: "command line".to_owned(),
            token_name: String::new(),
            request_id: String::new(),
            remote: String::new(),
            detail: "for the user jörg".to_owned(),
            ..row()
        };
        assert_eq!(
            text_line(&command),
            "2026-08-20T10:11:12.123Z \"(command line)\" create cluster/c-a done detail=\"for the user jörg\""
        );
    }

    #[test]
    fn counted_record_has_count_and_last_time() {
        let counted = Some(Count { count: 42, last_ms: 1_787_220_700_000 });
        let line = text_line(&AuditRow { counted, ..row() });
        assert!(line.ends_with(" request_id=r-1 count=42 last_time=2026-08-20T10:11:40.000Z"), "{line}");
    }

    #[test]
    fn values_cannot_forge_lines_or_fields() {
        for (text, expected) in [
            ("c-a", "c-a"),
            ("cattle-global-data:cc-a", "cattle-global-data:cc-a"),
            ("jörg", "jörg"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("x outcome=done", r#""x outcome=done""#),
            ("a\nb\r\t", r#""a\nb\r\t""#),
            ("a\"\\", r#""a\"\\""#),
            ("\u{1b}[2J\u{7f}\u{85}\0", r#""\u{1b}[2J\u{7f}\u{85}\u{0}""#),
            ("a\u{2028}b\u{202e}c\u{200b}", r#""a\u{2028}b\u{202e}c\u{200b}""#),
        ] {
            assert_eq!(quote(text), expected, "{text:?}");
            let record = AuditRow { object_id: text.to_owned(), detail: text.to_owned(), ..row() };
            for format in [Format::Text, Format::Json] {
                assert!(!format_row(record.clone(), format).chars().any(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn times_are_timestamps_or_durations_before_now() {
        assert_eq!(parse_time("2026-08-20T10:11:12Z").ok(), Some(1_787_220_672_000));
        let now = Clock::system().now_ms();
        let day_ago = parse_time("24h").expect("a duration");
        assert!((now - 86_400_000..now - 86_300_000).contains(&day_ago), "{day_ago} {now}");
        assert!(parse_time("yesterday").is_err());
    }
}
