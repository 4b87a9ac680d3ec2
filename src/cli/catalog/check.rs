//! `check --credential`: requests the check of a stored credential from a running server, and prints the result.
//! `cli/check.rs` tests the settings of this machine.

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::client::Query;
use super::table::{Cell, Column, Row, Table, wrap};
use super::terminal::{Color, Terminal};
use super::{Output, Reason, Verdict, load, print_json, run as run_client};
use crate::cli::error::{Error, ServerError};
use crate::cli::output::{one_line, print};
use crate::config::{self, ClientFlags, ServeScope, SettingFlags, help_after_flags};

/// The settings of this machine, or a credential.
#[derive(Args)]
#[command(
    after_help = help_after_flags(),
    mut_arg("server", |arg| arg.requires("credential")),
    mut_arg("token_file", |arg| arg.requires("credential")),
    mut_arg("ca_file", |arg| arg.requires("credential")),
)]
pub(in crate::cli) struct Check {
    /// Check on a running server what this stored credential can do in Azure, instead of testing the settings; without an ID, use
    /// the sandbox's credential [env: NORMAN_AKS_CREDENTIAL]
    #[arg(long, value_name = "ID", num_args = 0..=1, help_heading = "Credential")]
    #[expect(clippy::option_option, reason = "the flag is missing, or has no value, or has one")]
    credential: Option<Option<String>>,
    /// Check the rights on this resource group too; can be repeated
    #[arg(long, value_name = "NAME", requires = "credential", help_heading = "Credential")]
    resource_group: Vec<String>,
    /// table, or json for the response of the server
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "table",
        requires = "credential",
        help_heading = "Credential"
    )]
    output: Output,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    settings: SettingFlags<ServeScope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    verdict: Verdict,
    reasons: Vec<Reason>,
    subscription_id: Option<String>,
    client_id: Option<String>,
    login: Login,
    subscription_state: Option<String>,
    operations: Vec<Operation>,
    assignments: Vec<Assignment>,
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Login {
    status: String,
    aadsts: Vec<u64>,
}

#[derive(Deserialize)]
struct Operation {
    action: String,
    purposes: Vec<String>,
    condition: Option<String>,
    needed: bool,
    scope: String,
    status: String,
}

#[derive(Deserialize)]
struct Assignment {
    condition: Option<String>,
    command: String,
}

#[derive(Deserialize)]
struct Provider {
    namespace: String,
    registered: Option<bool>,
    state: Option<String>,
}

impl Check {
    /// The flags of the settings; `None` if a credential is checked.
    pub(in crate::cli) fn settings(&self) -> Option<SettingFlags<ServeScope>> {
        self.credential.is_none().then(|| self.settings.clone())
    }
}

pub(in crate::cli) fn run(command: Check) -> Result<(), Error> {
    let settings = command.settings.into_flags();
    let config = load(&command.client, command.credential.flatten(), settings.data_dir())?;
    let id = config.credential()?;
    let path = format!("/api/v1/credentials/{}/check", utf8_percent_encode(id, NON_ALPHANUMERIC));
    let groups = command.resource_group.into_iter().map(|group| ("resourceGroup", group));
    let query = Query(groups.collect());
    run_client(&config, async |client| {
        let json = client.get(&path, &query).await?;
        let report: Report = client.parse(&json)?;
        match command.output {
            Output::Json => print_json(&json)?,
            Output::Table => print(&render(id, &report, Terminal::stdout(&config::environment())))?,
        }
        match report.verdict {
            Verdict::Unusable => Err(ServerError::Credential { id: id.to_owned() }.into()),
            _ => Ok(()),
        }
    })
}

/// The report as text: the verdict and its reasons, the uses, the missing operations, the resource providers, and the commands
/// that add what is missing. Only the JSON contains all operations.
fn render(id: &str, report: &Report, terminal: Terminal) -> String {
    let mut sections = vec![heading(id, report, terminal)];
    if !report.operations.is_empty() {
        sections.push(uses_table(&uses(report)).render(terminal, false));
    }
    let missing = missing_operations_table(report);
    if !missing.rows.is_empty() {
        sections.push(missing.render(terminal, false));
    }
    if !report.providers.is_empty() {
        sections.push(providers_table(&report.providers).render(terminal, false));
    }
    if !report.assignments.is_empty() {
        let mut lines = vec!["Commands that add what is missing:".to_owned()];
        for Assignment { condition, command } in &report.assignments {
            // Commands are not wrapped, so that they can be copied.
            let comment =
                condition.as_ref().map_or_else(String::new, |condition| format!("  # only for {condition}"));
            lines.push(one_line(&format!("  {command}{comment}")));
        }
        sections.push(lines.join("\n"));
    }
    sections.join("\n\n")
}

fn heading(id: &str, report: &Report, terminal: Terminal) -> String {
    let verdict = terminal.paint(Some(report.verdict.color()), report.verdict.as_str());
    let codes: Vec<_> = report.login.aadsts.iter().map(|number| format!(" AADSTS{number}")).collect();
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let properties = [
        ("login", format!("{}{}", report.login.status, codes.concat())),
        ("application", or_unknown(&report.client_id)),
        ("subscription", or_unknown(&report.subscription_id)),
        ("state", or_unknown(&report.subscription_state)),
    ];
    let mut lines = vec![format!("{:<14}{}  {verdict}", "credential", one_line(id))];
    lines.extend(properties.iter().map(|(name, value)| format!("{name:<14}{}", one_line(value))));
    for reason in &report.reasons {
        lines.extend(wrap(&reason.note(), terminal.width, 2, 4));
    }
    lines.join("\n")
}

impl Operation {
    fn status(&self) -> Cell {
        let color = match (self.status.as_str(), self.needed) {
            ("allowed", _) => Color::Green,
            ("denied", true) => Color::Red,
            _ => Color::Yellow,
        };
        Cell::colored(&self.status, color)
    }

    fn is_allowed(&self) -> bool {
        self.status == "allowed"
    }
}

/// A purpose for which the server uses the credential on a scope, with the operations that it needs.
struct Use<'a> {
    name: String,
    scope: &'a str,
    operations: Vec<&'a Operation>,
}

/// Groups the operations by use and scope. Operations that only some clusters need are uses of their own.
fn uses(report: &Report) -> Vec<Use<'_>> {
    let subscription = report.subscription_id.as_deref().unwrap_or_default();
    let mut uses: Vec<Use<'_>> = Vec::new();
    for operation in &report.operations {
        let only_for = operation.condition.as_deref().filter(|_| !operation.needed);
        let names = only_for
            .map_or_else(|| operation.purposes.clone(), |condition| vec![format!("only for {condition}")]);
        let scope = scope_name(&operation.scope, subscription);
        for name in names {
            match uses.iter_mut().find(|existing| existing.name == name && existing.scope == scope) {
                Some(existing) => existing.operations.push(operation),
                None => uses.push(Use { name, scope, operations: vec![operation] }),
            }
        }
    }
    // Uses that only some clusters need are last.
    uses.sort_by_key(|group| group.name.starts_with("only for "));
    uses
}

/// A row for each use, with the worst status of its operations.
fn uses_table(uses: &[Use<'_>]) -> Table {
    let rows = uses.iter().map(|Use { name, scope, operations }| {
        let allowed = operations.iter().filter(|operation| operation.is_allowed()).count();
        let severity = |operation: &&&Operation| (!operation.is_allowed(), operation.status == "denied");
        let worst = operations.iter().max_by_key(severity);
        let cells = vec![
            name.as_str().into(),
            worst.map_or_else(Cell::default, |operation| operation.status()),
            format!("{allowed} of {}", operations.len()).into(),
            (*scope).into(),
        ];
        Row { cells, notes: Vec::new() }
    });
    let columns = vec![
        Column::text("USE", 0),
        Column::text("STATUS", 0),
        Column::text("OPERATIONS", 1),
        Column::text("SCOPE", 2).shortened_to(14),
    ];
    Table { rows: rows.collect(), columns, column_replaced_by_notes: "" }
}

/// The operations that are not allowed.
fn missing_operations_table(report: &Report) -> Table {
    let subscription = report.subscription_id.as_deref().unwrap_or_default();
    let columns = vec![
        Column::text("MISSING OPERATION", 0),
        Column::text("STATUS", 0),
        Column::text("NEEDED TO", 1).shortened_to(14),
        Column::text("ONLY FOR", 3),
        Column::text("SCOPE", 2).shortened_to(14),
    ];
    let rows = report.operations.iter().filter(|operation| !operation.is_allowed()).map(|operation| {
        let cells = vec![
            operation.action.as_str().into(),
            operation.status(),
            operation.purposes.join(", ").into(),
            operation.condition.as_deref().unwrap_or_default().into(),
            scope_name(&operation.scope, subscription).into(),
        ];
        Row { cells, notes: Vec::new() }
    });
    Table { rows: rows.collect(), columns, column_replaced_by_notes: "" }
}

/// The resource group in the ID of a scope, or `subscription`.
fn scope_name<'a>(id: &'a str, subscription: &str) -> &'a str {
    let rest = id.strip_prefix(&format!("/subscriptions/{subscription}")).unwrap_or(id);
    if rest.is_empty() { "subscription" } else { rest.strip_prefix("/resourceGroups/").unwrap_or(rest) }
}

fn providers_table(providers: &[Provider]) -> Table {
    let rows = providers.iter().map(|provider| {
        let color = if provider.registered == Some(true) { Color::Green } else { Color::Yellow };
        let state = provider.state.as_deref().unwrap_or("unknown");
        Row {
            cells: vec![provider.namespace.as_str().into(), Cell::colored(state, color)],
            notes: Vec::new(),
        }
    });
    let columns = vec![Column::text("RESOURCE PROVIDER", 0), Column::text("STATE", 0)];
    Table { rows: rows.collect(), columns, column_replaced_by_notes: "" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn report_has_verdict_reasons_operations_and_commands() {
        let report = json!({
            "verdict": "limited", "subscriptionId": "9d1f", "clientId": "c0ff", "subscriptionState": "Enabled",
            "reasons": [{"code": "operationDenied", "message": "may not write", "remedy": "assign a role"}],
            "login": {"status": "accepted", "aadsts": []},
            "operations": [
                {"action": "Microsoft.A/b/write", "purposes": ["create", "change"], "condition": null, "needed": true,
                    "scope": "/subscriptions/9d1f", "status": "denied"},
                {"action": "Microsoft.A/b/read", "purposes": ["list"], "condition": "ownNetwork", "needed": false,
                    "scope": "/subscriptions/9d1f/resourceGroups/rancher", "status": "allowed"},
            ],
            "assignments": [{"condition": null, "command": "az role assignment create --role 'A Role' --assignee c0ff"},
                {"condition": "ownNetwork", "command": "az x"}],
            "providers": [{"namespace": "Microsoft.A", "registered": true, "state": "Registered"}],
        });
        let report: Report = serde_json::from_value(report).unwrap();
        let text = render("cc-a", &report, Terminal { width: Some(60), ..Terminal::default() });
        let expected = "credential    cc-a  limited\n\
                        login         accepted\n\
                        application   c0ff\n\
                        subscription  9d1f\n\
                        state         Enabled\n\
                        \x20 operationDenied: may not write; assign a role\n\
                        \n\
                        USE                  STATUS   OPERATIONS  SCOPE\n\
                        create               denied   0 of 1      subscription\n\
                        change               denied   0 of 1      subscription\n\
                        only for ownNetwork  allowed  1 of 1      rancher\n\
                        \n\
                        MISSING OPERATION    STATUS  NEEDED TO       SCOPE\n\
                        Microsoft.A/b/write  denied  create, change  subscription\n\
                        \n\
                        RESOURCE PROVIDER  STATE\n\
                        Microsoft.A        Registered\n\
                        \n\
                        Commands that add what is missing:\n\
                        \x20 az role assignment create --role 'A Role' --assignee c0ff\n\
                        \x20 az x  # only for ownNetwork";
        assert_eq!(text, expected);
    }
}
