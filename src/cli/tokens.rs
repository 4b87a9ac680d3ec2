//! `token create`, `token list` and `token revoke`.

use std::time::Duration;

use clap::{Args, Subcommand};
use clock::Clock;
use secrecy::ExposeSecret as _;

use super::error::Error;
use super::output::{eprint_message, format_time, print, table, yes_or_no};
use super::runtime::{load, run_command, run_on_database};
use crate::app;
use crate::config::{Config, DatabaseScope, SettingFlags};
use crate::service::tokens::{TokenInfo, Tokens, parse_ttl};

/// The commands for tokens.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a token, and its user if there is none; prints only the token.
    Create(Create),
    /// Print all tokens with their users, without secrets, which are not stored.
    List(SettingFlags<DatabaseScope>),
    /// Revoke a token; every running server rejects it within two seconds.
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Create {
    /// The user of the token.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Make the user an administrator, who may see and do everything [default: existing users keep their role, new users
    /// are ordinary users]
    #[arg(long)]
    admin: bool,
    /// Make the user an ordinary user
    #[arg(long, conflicts_with = "admin")]
    no_admin: bool,
    /// Lifetime of the token: a number with s, m, h or d, for example 30d [default: unlimited]
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    ttl: Option<Duration>,
    /// Description of the token, printed by `token list` [default: none]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    #[command(flatten)]
    settings: SettingFlags<DatabaseScope>,
}

#[derive(Args)]
pub(super) struct Revoke {
    /// The token's name, the part before the colon.
    name: String,
    #[command(flatten)]
    settings: SettingFlags<DatabaseScope>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Create(options) => {
            let config = load(&options.settings.clone().into_flags())?.print_warnings();
            run_command(&config, create(&config, &options))
        }
        Command::List(settings) => {
            let clock = Clock::system();
            let tokens = run_on_database(settings, async |_, store| {
                Ok(Tokens::new(store.clone(), clock.clone()).list().await?)
            })?;
            print(&tokens_table(&tokens, clock.now_ms()))
        }
        Command::Revoke(Revoke { name, settings }) => {
            // The argument may be the whole token, whose secret must not appear in an error.
            let name = name.split(':').next().unwrap_or_default();
            let revoked = run_on_database(settings, async |_, store| {
                Ok(Tokens::new(store.clone(), Clock::system()).revoke(name).await?)
            })?;
            if revoked { Ok(()) } else { Err(Error::NoToken(name.to_owned())) }
        }
    }
}

async fn create(config: &Config, options: &Create) -> Result<(), Error> {
    let Create { user, admin, no_admin, ttl, description, .. } = options;
    let admin = (*admin || *no_admin).then_some(*admin);
    let is_new_database = config.sqlite_file().is_some_and(|file| !file.exists());
    let store = app::open_store(config).await?;
    let tokens = Tokens::new(store.clone(), Clock::system());
    let created = async {
        let was_admin = tokens.is_administrator(user).await?;
        Ok::<_, Error>((tokens.create(user, admin, *ttl, description).await?, was_admin))
    };
    let created = created.await;
    store.close().await;
    let (token, was_admin) = created?;
    if let Some(message) = role_change_message(user, was_admin, admin) {
        eprint_message(&message);
    }
    eprint_message(&database_message(config, is_new_database));
    print(token.to_bearer().expose_secret())
}

/// A message if the role of an existing user changes, which affects all of the user's tokens.
fn role_change_message(user: &str, was_admin: Option<bool>, admin: Option<bool>) -> Option<String> {
    match (was_admin, admin) {
        (Some(false), Some(true)) => {
            Some(format!("{user} is now an administrator, with all of its tokens; `--no-admin` reverts this"))
        }
        (Some(true), Some(false)) => {
            Some(format!("{user} is now an ordinary user, with all of its tokens; `--admin` reverts this"))
        }
        _ => None,
    }
}

/// A message with the database of the token, because servers of other databases reject the token.
fn database_message(config: &Config, is_new: bool) -> String {
    let name = config.database_name();
    if !is_new {
        return format!("the token is valid for servers of the database {name}");
    }
    let sandbox = config.adjacent_sandbox().filter(|directory| directory.exists());
    let sandbox = sandbox.map_or_else(String::new, |directory| {
        format!("; for the sandbox of {} create it with --sandbox", directory.display())
    });
    format!("the token is valid for servers of the new database {name}{sandbox}")
}

/// The table of tokens. The description is the last column, because it may contain spaces.
fn tokens_table(tokens: &[TokenInfo], now_ms: i64) -> String {
    let heading = ["NAME", "USER", "ADMIN", "CREATED", "EXPIRES", "LAST USED", "DESCRIPTION"];
    let rows = tokens.iter().map(|token| {
        let expires = match token.expires_ms {
            _ if !token.enabled => "user disabled".to_owned(),
            Some(expires_ms) if expires_ms <= now_ms => "expired".to_owned(),
            expires_ms => format_time(expires_ms),
        };
        [
            token.name.clone(),
            token.user_name.clone(),
            yes_or_no(token.admin),
            format_time(Some(token.created_ms)),
            expires,
            format_time(token.last_used_ms),
            token.description.clone(),
        ]
    });
    table(heading, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::metadata::Metadata;

    #[test]
    fn table_is_aligned_and_marks_unusable_tokens() {
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
        let unlimited = TokenInfo { name: "t".to_owned(), expires_ms: None, admin: false, ..token.clone() };
        let disabled = TokenInfo { name: "d".to_owned(), enabled: false, ..unlimited.clone() };
        assert_eq!(
            tokens_table(&[token, unlimited, disabled], 1_700_000_001_000),
            "NAME         USER  ADMIN  CREATED               EXPIRES        LAST USED  DESCRIPTION\n\
             token-abcde  ann   yes    2023-11-14T22:13:20Z  expired        never      two lines\n\
             t            ann   no     2023-11-14T22:13:20Z  never          never      two lines\n\
             d            ann   no     2023-11-14T22:13:20Z  user disabled  never      two lines"
        );
    }
}
