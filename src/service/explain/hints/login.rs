//! Hints for errors of the login service, by `AADSTS` number. Microsoft's list of Entra error codes defines the numbers
//! (learn.microsoft.com/entra/identity-platform/reference-error-codes). Those below can occur when an application logs in with
//! a secret.

use aks::shell;
use azure::{Cloud, EntraError};

/// The application ID of Azure Resource Manager, the same in every tenant.
const RESOURCE_MANAGER_APP: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";

/// The hint for the first number that has one: some errors have a general number before the specific one.
pub(super) fn hint(error: &EntraError) -> Option<String> {
    error.aadsts.iter().find_map(|number| for_number(*number, error))
}

fn for_number(number: u64, error: &EntraError) -> Option<String> {
    let fixed = match number {
        7_000_215 | 70_002 | 50_012 => {
            "the client secret is wrong: use the value of the secret, not its ID, and update the cloud credential"
        }
        7_000_218 | 7_000_216 => {
            "the request has no client secret: store clientSecret in the cloud credential"
        }
        700_016 | 700_011 | 70_001 => {
            "the tenant has no application with this clientId: check clientId, tenantId and environment"
        }
        90_002 | 900_021 | 900_023 => {
            "the tenant does not exist: check tenantId and environment, or omit tenantId to have it discovered"
        }
        50_059 | 50_128 | 90_019 => {
            "tenantId does not name a tenant: set it to the Directory (tenant) ID, or omit it to have it discovered"
        }
        7_000_112 | 1_000_031 => {
            "the application is disabled: an administrator of the tenant must enable its sign-in"
        }
        50_057 => {
            "the account that signs in is disabled: an administrator of the tenant must enable it again"
        }
        500_014 => {
            "the tenant's service principal of Azure Resource Manager is disabled, or a subscription of the tenant has lapsed: an \
             administrator of the tenant must enable it under Enterprise applications"
        }
        53_003 | 530_032 | 53_000 | 53_001 | 53_002 | 50_131 => {
            "a conditional access policy of the tenant blocks the sign-in: change it to allow this application from this server"
        }
        530_035 => {
            "the security defaults of the tenant block the sign-in: an administrator of the tenant must replace them with \
             conditional access policies that allow this application"
        }
        530_004 => {
            "a conditional access policy of the tenant requires a compliant device, which a server is not: an administrator of \
             the tenant must exclude this application from it"
        }
        50_053 => {
            "the sign-in is blocked after many failures, or because of this server's address: an administrator of the tenant \
             sees the reason in its sign-in logs"
        }
        500_021 | 500_022 | 50_002 => {
            "a proxy in between allows only certain tenants (tenant restrictions): ask for this tenant to be added"
        }
        500_212 | 500_213 => {
            "a cross-tenant access policy blocks the sign-in: use an application of the subscription's own tenant"
        }
        700_025 => {
            "the application is a public client, which takes no secret: switch off \"Allow public client flows\" of its \
             registration"
        }
        65_001 | 90_094 => {
            "an administrator of the tenant has not consented to the application: grant admin consent for it"
        }
        900_144 | 90_014 => "the request is incomplete: check that clientId and clientSecret are set",
        7_000_222 => {
            return Some(format!(
                "the client secret has expired: create a new one{} and update the cloud credential",
                client_command(error, &["az", "ad", "app", "credential", "reset", "--id"])
            ));
        }
        7_000_229 => {
            return Some(format!(
                "the application has no service principal in this tenant: create one{}",
                client_command(error, &["az", "ad", "sp", "create", "--id"])
            ));
        }
        500_011 | 650_052 => {
            let command = shell::command(&["az", "ad", "sp", "create", "--id", RESOURCE_MANAGER_APP]);
            return Some(format!(
                "the tenant does not know Azure Resource Manager: check that tenantId is the subscription's tenant and that \
                 environment is its cloud; an administrator of the tenant can add the service ({command})"
            ));
        }
        90_038 | 900_382 | 900_432 | 90_051 | 1_000_104 => return Some(other_cloud_hint(error)),
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// A command for the application that logs in, in parentheses; empty if the application is unknown.
fn client_command(error: &EntraError, command: &[&str]) -> String {
    match error.client_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => format!(" ({} {})", shell::command(command), shell::quote(id)),
        None => String::new(),
    }
}

/// The hint for an application or tenant of a cloud other than that of the request.
fn other_cloud_hint(error: &EntraError) -> String {
    let current = Cloud::ALL.into_iter().find(|cloud| error.url.starts_with(cloud.login_authority()));
    let others = Cloud::ALL.into_iter().filter(|cloud| Some(*cloud) != current).map(Cloud::environment);
    format!(
        "the application belongs to another cloud: set environment to {}",
        others.collect::<Vec<_>>().join(" or ")
    )
}
