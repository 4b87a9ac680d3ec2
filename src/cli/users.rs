//! `user list`, `user disable`, `user enable`, `user remove`.

use clap::{Args, Subcommand};
use clock::Clock;

use super::tokens::{columns, moment};
use super::{Error, briefly, load_quietly, needs_database, print, tell};
use crate::app;
use crate::config::{Config, DataOnly, SettingFlags};
use crate::service::tokens::Tokens;
use crate::service::users::{Account, Removed, Users};
use crate::{service, store};

/// The commands for users.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print all users with what belongs to them.
    List(SettingFlags<DataOnly>),
    /// End a user's access; every running server refuses its tokens and ends its streams within two seconds. What it owns,
    /// its tokens and its memberships stay, without effect.
    Disable(Named),
    /// Give a disabled user its access back, with the tokens and memberships that it had.
    Enable(Named),
    /// Remove a user with its tokens and memberships, as `disable` in every running server.
    Remove(Remove),
}

#[derive(Args)]
pub(super) struct Named {
    /// The user, by name or ID.
    name: String,
    #[command(flatten)]
    settings: SettingFlags<DataOnly>,
}

#[derive(Args)]
pub(super) struct Remove {
    /// The user, by name or ID.
    name: String,
    /// Who gets the user's clusters and cloud credentials [default: a user who owns any is not removed]
    #[arg(long, value_name = "NAME")]
    hand_over_to: Option<String>,
    #[command(flatten)]
    settings: SettingFlags<DataOnly>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::List(settings) => {
            let config = load_quietly(&settings.into_flags())?;
            briefly(&config, list(&config))
        }
        Command::Disable(Named { name, settings }) => switch(&name, false, settings),
        Command::Enable(Named { name, settings }) => switch(&name, true, settings),
        Command::Remove(Remove { name, hand_over_to, settings }) => {
            let config = load_quietly(&settings.into_flags())?;
            briefly(&config, remove(&config, &name, hand_over_to.as_deref()))
        }
    }
}

fn switch(name: &str, enabled: bool, settings: SettingFlags<DataOnly>) -> Result<(), Error> {
    let config = load_quietly(&settings.into_flags())?;
    briefly(&config, async {
        let (users, store) = open(&config).await?;
        let switched = users.set_enabled_by_name(name, enabled).await;
        store.close().await;
        let user = switched.map_err(|error| named(error, name))?;
        tell(&format!("{} is {} now", user.name, if enabled { "enabled" } else { "disabled" }));
        Ok(())
    })
}

async fn list(config: &Config) -> Result<(), Error> {
    let (users, store) = open(config).await?;
    let accounts = users.all_accounts().await;
    store.close().await;
    print(&table(&accounts?))
}

async fn remove(config: &Config, name: &str, hand_over_to: Option<&str>) -> Result<(), Error> {
    let (users, store) = open(config).await?;
    let removed = users.remove_by_name(name, hand_over_to).await;
    store.close().await;
    tell(&summary(&removed.map_err(|error| named(error, name))?));
    Ok(())
}

async fn open(config: &Config) -> Result<(Users, store::Store), Error> {
    needs_database(config)?;
    let (store, clock) = (app::open_store(config).await?, Clock::system());
    Ok((Users::new(store.clone(), Tokens::new(store.clone(), clock.clone()), clock, None), store))
}

/// The error of a command about a user of that name.
fn named(error: service::Error, name: &str) -> Error {
    match error {
        service::Error::NotFound { .. } => Error::NoUser(name.to_owned()),
        error => error.into(),
    }
}

/// The end of a removal, in one line.
fn summary(removed: &Removed) -> String {
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let ended = format!(
        "{} and {} ended",
        count(usize::try_from(removed.tokens).unwrap_or(usize::MAX), "token"),
        count(removed.memberships.len(), "membership"),
    );
    let owned = removed.new_owner.as_ref().map_or_else(String::new, |owner| {
        let (clusters, credentials) = (&removed.properties.clusters, &removed.properties.credentials);
        let (clusters, credentials) =
            (count(clusters.len(), "cluster"), count(credentials.len(), "cloud credential"));
        format!("; {} has {clusters} and {credentials} from it", owner.name)
    });
    format!("{} is removed: {ended}{owned}", removed.user.name)
}

fn table(accounts: &[Account]) -> String {
    let heading = [
        "NAME",
        "ID",
        "ADMIN",
        "STATE",
        "TOKENS",
        "MEMBERSHIPS",
        "CLUSTERS",
        "CREDENTIALS",
        "CREATED",
        "LAST USED",
    ]
    .map(str::to_owned);
    let rows = accounts.iter().map(|account| {
        let user = &account.user;
        [
            user.name.clone(),
            user.id.clone(),
            if user.admin { "yes" } else { "no" }.to_owned(),
            if user.enabled { "enabled" } else { "disabled" }.to_owned(),
            account.tokens.to_string(),
            account.memberships.to_string(),
            account.clusters.to_string(),
            account.credentials.to_string(),
            moment(user.created_ms),
            account.last_used_ms.map_or_else(|| "never".to_owned(), moment),
        ]
    });
    columns(std::iter::once(heading).chain(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::users::{Properties, Property, User};

    fn user(name: &str, enabled: bool) -> User {
        let created_ms = 1_700_000_000_123;
        User { id: format!("user-{name}"), name: name.to_owned(), admin: !enabled, enabled, created_ms }
    }

    #[test]
    fn list_lines_up_and_shows_disabled_users() {
        let account = |name, enabled, last_used_ms| Account {
            user: user(name, enabled),
            tokens: 2,
            last_used_ms,
            memberships: 10,
            clusters: 1,
            credentials: 0,
        };
        assert_eq!(
            table(&[account("ann", true, None), account("ben", false, Some(1_700_000_060_000))]),
            "NAME  ID        ADMIN  STATE     TOKENS  MEMBERSHIPS  CLUSTERS  CREDENTIALS  CREATED               LAST USED\n\
             ann   user-ann  no     enabled   2       10           1         0            2023-11-14T22:13:20Z  never\n\
             ben   user-ben  yes    disabled  2       10           1         0            2023-11-14T22:13:20Z  2023-11-14T22:14:20Z"
        );
    }

    #[test]
    fn summary_counts_what_ended_and_who_has_the_rest() {
        let cluster = Property { id: "c-1".to_owned(), name: String::new() };
        let mut removed = Removed {
            user: user("ann", true),
            new_owner: Some(user("ben", true)),
            properties: Properties { clusters: vec![cluster], credentials: Vec::new() },
            memberships: vec!["c-2:crtb-1".to_owned(), "c-3:crtb-1".to_owned()],
            tokens: 1,
        };
        assert_eq!(
            summary(&removed),
            "ann is removed: 1 token and 2 memberships ended; ben has 1 cluster and 0 cloud credentials from it"
        );
        removed.new_owner = None;
        assert_eq!(summary(&removed), "ann is removed: 1 token and 2 memberships ended");
    }
}
