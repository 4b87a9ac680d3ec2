//! `token create`, `token list`, `token revoke`.

use std::time::Duration;

use aks::plain_text;
use clap::{Args, Subcommand};
use clock::Clock;
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Error, briefly, load_quietly, needs_database, print, tell};
use crate::app;
use crate::config::{Config, DataOnly, SettingFlags};
use crate::service::tokens::{TokenInfo, Tokens, parse_ttl};

/// What can be done with tokens.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token, and its user if need be; prints only the token.
    Create(Create),
    /// Print all tokens with their users; secrets are not kept and cannot be shown.
    List(SettingFlags<DataOnly>),
    /// End a token; every running server refuses it within two seconds.
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Create {
    /// The user that the token is for.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Make the user an administrator, who sees and may do everything [default: a user stays what he is, a new one
    /// is an ordinary one]
    #[arg(long)]
    admin: bool,
    /// Make the user an ordinary one again
    #[arg(long, conflicts_with = "admin")]
    no_admin: bool,
    /// How long the token is good: a number with s, m, h or d, for example 30d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    ttl: Option<Duration>,
    /// What the token is for, shown by `token list` [default: none]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    #[command(flatten)]
    settings: SettingFlags<DataOnly>,
}

#[derive(Args)]
pub(super) struct Revoke {
    /// The token's name, the part before the colon.
    name: String,
    #[command(flatten)]
    settings: SettingFlags<DataOnly>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Create(Create { user, admin, no_admin, ttl, description, settings }) => {
            let config = load_quietly(&settings.into_flags())?;
            let admin = (admin || no_admin).then_some(admin);
            briefly(&config, create(&config, &user, admin, ttl, &description))
        }
        Command::List(settings) => {
            let config = load_quietly(&settings.into_flags())?;
            briefly(&config, list(&config))
        }
        Command::Revoke(Revoke { name, settings }) => {
            let config = load_quietly(&settings.into_flags())?;
            briefly(&config, revoke(&config, &name))
        }
    }
}

async fn create(
    config: &Config,
    user: &str,
    admin: Option<bool>,
    ttl: Option<Duration>,
    description: &str,
) -> Result<(), Error> {
    let new = config.sqlite_file().is_some_and(|file| !file.exists());
    let store = app::open_store(config).await?;
    let tokens = Tokens::new(store.clone(), Clock::system());
    let made = match tokens.is_administrator(user).await {
        Ok(was) => tokens.create(user, admin, ttl, description).await.map(|token| (token, was)),
        Err(error) => Err(error),
    };
    store.close().await;
    let (token, was) = made?;
    if let Some(change) = changed(user, was, admin) {
        tell(&change);
    }
    tell(&place(config, new));
    print(token.to_bearer().expose_secret())
}

/// What became of a user who was there before: it also holds for the tokens that he has already.
fn changed(user: &str, was: Option<bool>, wanted: Option<bool>) -> Option<String> {
    match (was, wanted) {
        (Some(false), Some(true)) => Some(format!(
            "{user} is an administrator now, with every token that he has; `--no-admin` takes it away again"
        )),
        (Some(true), Some(false)) => Some(format!(
            "{user} is an ordinary user now, with every token that he has; `--admin` makes him an administrator again"
        )),
        _ => None,
    }
}

/// Which database has the token now: no server of another one knows it.
fn place(config: &Config, new: bool) -> String {
    let name = config.database_name();
    if !new {
        return format!("the token is for the servers of the database {name}");
    }
    let beside = config.sandbox_beside().filter(|folder| folder.exists());
    let sandbox = beside.map_or_else(String::new, |folder| {
        format!("; the sandbox of {} does not know it: its tokens need --sandbox", folder.display())
    });
    format!("the token is for the servers of the new database {name}{sandbox}")
}

async fn list(config: &Config) -> Result<(), Error> {
    needs_database(config)?;
    let store = app::open_store(config).await?;
    let clock = Clock::system();
    let tokens = Tokens::new(store.clone(), clock.clone()).list().await;
    store.close().await;
    print(&table(&tokens?, clock.now_ms()))
}

async fn revoke(config: &Config, name: &str) -> Result<(), Error> {
    // Whoever pastes the whole token means its name; the rest is nothing to be shown in an error.
    let name = name.split(':').next().unwrap_or_default();
    needs_database(config)?;
    let store = app::open_store(config).await?;
    let revoked = Tokens::new(store.clone(), Clock::system()).revoke(name).await;
    store.close().await;
    if revoked? { Ok(()) } else { Err(Error::NoToken(name.to_owned())) }
}

/// Columns for people; the description comes last, as it may have spaces.
fn table(tokens: &[TokenInfo], now_ms: i64) -> String {
    let heading =
        ["NAME", "USER", "ADMIN", "CREATED", "EXPIRES", "LAST USED", "DESCRIPTION"].map(str::to_owned);
    let rows = tokens.iter().map(|token| {
        let expires = match token.expires_ms {
            _ if !token.enabled => "user disabled".to_owned(),
            None => "never".to_owned(),
            Some(at) if at <= now_ms => "expired".to_owned(),
            Some(at) => moment(at),
        };
        [
            token.name.clone(),
            token.user_name.clone(),
            if token.admin { "yes" } else { "no" }.to_owned(),
            moment(token.created_ms),
            expires,
            token.last_used_ms.map_or_else(|| "never".to_owned(), moment),
            token.description.clone(),
        ]
    });
    columns(std::iter::once(heading).chain(rows))
}

/// Rows with their columns under each other, two spaces apart. Line breaks and other control characters become spaces:
/// each row stays one line.
pub(super) fn columns<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = rows.map(|row| row.map(|cell| cell.replace(plain_text::is_forbidden, " "))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// To the second, UTC.
pub(super) fn moment(at_ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000))
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| at_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::metadata::Metadata;

    #[test]
    fn the_list_lines_up_and_tells_expired_tokens() {
        let token = TokenInfo {
            name: "token-abcde".to_owned(),
            user_id: "user-abcde".to_owned(),
            user_name: "ann".to_owned(),
            admin: true,
            enabled: true,
            created_ms: 1_700_000_000_123,
            expires_ms: Some(1_700_000_001_000),
            last_used_ms: None,
            description: "two\nlines".to_owned(),
            cluster_id: None,
            metadata: Metadata::default(),
        };
        let ever = TokenInfo { name: "t".to_owned(), expires_ms: None, admin: false, ..token.clone() };
        let disabled = TokenInfo { name: "d".to_owned(), enabled: false, ..ever.clone() };
        assert_eq!(
            table(&[token, ever, disabled], 1_700_000_001_000),
            "NAME         USER  ADMIN  CREATED               EXPIRES        LAST USED  DESCRIPTION\n\
             token-abcde  ann   yes    2023-11-14T22:13:20Z  expired        never      two lines\n\
             t            ann   no     2023-11-14T22:13:20Z  never          never      two lines\n\
             d            ann   no     2023-11-14T22:13:20Z  user disabled  never      two lines"
        );
    }
}
