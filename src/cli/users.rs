//! `user list`, `user disable`, `user enable` and `user remove`.

use clap::{Args, Subcommand};
use clock::Clock;

use super::error::Error;
use super::output::{eprint_message, format_time, print, table, yes_or_no};
use super::runtime::run_on_database;
use crate::config::{DatabaseScope, SettingFlags};
use crate::service;
use crate::service::name_list::format_count;
use crate::service::tokens::Tokens;
use crate::service::users::{AccountRow, RemovedUser, Users};
use crate::store::Store;

/// The commands for users.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print all users with the number of their objects.
    List(SettingFlags<DatabaseScope>),
    /// Disable a user: every running server rejects its tokens and closes its streams within two seconds. Its objects,
    /// tokens and memberships are kept.
    Disable(UserArgs),
    /// Enable a disabled user, with its tokens and memberships.
    Enable(UserArgs),
    /// Remove a user with its tokens and memberships; every running server closes its streams within two seconds.
    Remove(RemoveArgs),
}

#[derive(Args)]
pub(super) struct UserArgs {
    /// The user, by name or ID.
    name: String,
    #[command(flatten)]
    settings: SettingFlags<DatabaseScope>,
}

#[derive(Args)]
pub(super) struct RemoveArgs {
    /// The user, by name or ID.
    name: String,
    /// New owner of the user's clusters and cloud credentials [default: users who own clusters or cloud
    /// credentials are not removed]
    #[arg(long, value_name = "NAME")]
    hand_over_to: Option<String>,
    #[command(flatten)]
    settings: SettingFlags<DatabaseScope>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::List(settings) => {
            let accounts =
                run_on_database(settings, async |_, store| Ok(users(store).all_accounts().await?))?;
            print(&accounts_table(&accounts))
        }
        Command::Disable(UserArgs { name, settings }) => set_enabled(&name, false, settings),
        Command::Enable(UserArgs { name, settings }) => set_enabled(&name, true, settings),
        Command::Remove(RemoveArgs { name, hand_over_to, settings }) => {
            let removed = run_on_database(settings, async |_, store| {
                let removed = users(store).remove_by_name(&name, hand_over_to.as_deref()).await;
                removed.map_err(|error| map_not_found(error, &name))
            })?;
            eprint_message(&summary(&removed));
            Ok(())
        }
    }
}

fn set_enabled(name: &str, enabled: bool, settings: SettingFlags<DatabaseScope>) -> Result<(), Error> {
    let user = run_on_database(settings, async |_, store| {
        let user = users(store).set_enabled_by_name(name, enabled).await;
        user.map_err(|error| map_not_found(error, name))
    })?;
    eprint_message(&format!("{} is {} now", user.name, if enabled { "enabled" } else { "disabled" }));
    Ok(())
}

fn users(store: &Store) -> Users {
    let clock = Clock::system();
    Users::new(store.clone(), Tokens::new(store.clone(), clock.clone()), clock, None)
}

fn map_not_found(error: service::Error, name: &str) -> Error {
    match error {
        service::Error::NotFound { .. } => Error::NoUser(name.to_owned()),
        error => error.into(),
    }
}

fn summary(removed: &RemovedUser) -> String {
    let tokens = format_count(removed.tokens, "token");
    let memberships = format_count(removed.memberships.len(), "membership");
    let handed_over = removed.new_owner.as_ref().map_or_else(String::new, |owner| {
        let clusters = format_count(removed.owned.clusters.len(), "cluster");
        let credentials = format_count(removed.owned.credentials.len(), "cloud credential");
        format!("; handed over {clusters} and {credentials} to {}", owner.name)
    });
    format!("removed user {} with {tokens} and {memberships}{handed_over}", removed.user.name)
}

fn accounts_table(accounts: &[AccountRow]) -> String {
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
    ];
    let rows = accounts.iter().map(|account| {
        let user = &account.user;
        [
            user.name.clone(),
            user.id.clone(),
            yes_or_no(user.admin),
            if user.enabled { "enabled" } else { "disabled" }.to_owned(),
            account.tokens.to_string(),
            account.memberships.to_string(),
            account.clusters.to_string(),
            account.credentials.to_string(),
            format_time(Some(user.created_ms)),
            format_time(account.last_used_ms),
        ]
    });
    table(heading, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::users::{OwnedObjects, OwnedRow, User};

    fn user(name: &str, enabled: bool) -> User {
        let created_ms = 1_700_000_000_123;
        User { id: format!("user-{name}"), name: name.to_owned(), admin: !enabled, enabled, created_ms }
    }

    #[test]
    fn table_is_aligned_and_marks_disabled_users() {
        let account = |name, enabled, last_used_ms| AccountRow {
            user: user(name, enabled),
            tokens: 2,
            last_used_ms,
            memberships: 10,
            clusters: 1,
            credentials: 0,
        };
        assert_eq!(
            accounts_table(&[account("ann", true, None), account("ben", false, Some(1_700_000_060_000))]),
            "NAME  ID        ADMIN  STATE     TOKENS  MEMBERSHIPS  CLUSTERS  CREDENTIALS  CREATED               LAST USED\n\
             ann   user-ann  no     enabled   2       10           1         0            2023-11-14T22:13:20Z  never\n\
             ben   user-ben  yes    disabled  2       10           1         0            2023-11-14T22:13:20Z  2023-11-14T22:14:20Z"
        );
    }

    #[test]
    fn summary_counts_removed_and_handed_over_objects() {
        let cluster = OwnedRow { id: "c-1".to_owned(), name: String::new() };
        let mut removed = RemovedUser {
            user: user("ann", true),
            new_owner: Some(user("ben", true)),
            owned: OwnedObjects { clusters: vec![cluster], credentials: Vec::new() },
            memberships: vec!["c-2:crtb-1".to_owned(), "c-3:crtb-1".to_owned()],
            tokens: 1,
        };
        assert_eq!(
            summary(&removed),
            "removed user ann with 1 token and 2 memberships; handed over 1 cluster and 0 cloud credentials to ben"
        );
        removed.new_owner = None;
        assert_eq!(summary(&removed), "removed user ann with 1 token and 2 memberships");
    }
}
