//! The API document: made from the routes themselves, so that nothing is served undocumented.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    SecurityRequirement, ServerBuilder,
};

/// What the document says before the routes are in it.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("norman-aks")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Rancher's AKS actions, Azure cloud credentials and AKS clusters. The wire is Rancher's; \
             docs/COMPATIBILITY.md of the project lists every difference.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("norman-aks")).build()))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the form `token-<name>:<secret>`."))
        .build();
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("The two halves of a token as user name and password."))
        .build();
    let cookie = ApiKeyValue::with_description("R_SESS", "A token in a browser's cookie.");
    let components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("basic", SecurityScheme::Http(basic))
        .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let any_of =
        ["bearer", "basic", "cookie"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
    let tag = |name: &str, text: &str| TagBuilder::new().name(name).description(Some(text)).build();
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url("/").description(Some("This server")).build()]))
        .components(Some(components.build()))
        .security(Some(any_of))
        .tags(Some([
            tag("AKS actions", "What Azure offers to a credential: the nine actions of Rancher."),
            tag("Cloud credentials", "Azure credentials, stored under encryption."),
            tag("Clusters", "AKS clusters as Rancher's objects."),
            tag("Schemas", "What there is under /v3."),
            tag("Health", "Whether the server works; needs no token."),
        ]))
        .build()
}

/// The whole document, indented, as `openapi/openapi.json` holds it.
pub fn openapi_json() -> String {
    let (_, document) = super::documented().split_for_parts();
    match document.to_pretty_json() {
        Ok(json) => json + "\n",
        // Only a map with keys that are no texts has no form in JSON; the document has none.
        Err(error) => {
            tracing::error!(%error, "the API document cannot be written");
            String::from("{}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    /// `UPDATE_OPENAPI=1 cargo test openapi` writes it anew.
    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
        let made = super::openapi_json();
        #[expect(clippy::disallowed_methods, reason = "a switch for people, of no part of the program")]
        if std::env::var("UPDATE_OPENAPI").is_ok() {
            std::fs::write(path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            made == committed,
            "openapi/openapi.json is stale: UPDATE_OPENAPI=1 cargo test --lib openapi"
        );
    }
}
