//! The credential body of the nine actions, parsed like Go's `encoding/json`: keys match regardless of case,
//! unknown keys are skipped, the last duplicate wins, `null` leaves a field empty, and errors have Go's messages
//! (`docs/contract/credentials.md#request-body`).

use aks::input;
use secrecy::{ExposeSecret as _, SecretString};

use super::go_json::{self, Kind};
use crate::service::azure_access::InlineCredential;

/// The fields of the body; missing ones are empty. The name is that of Rancher's Go type.
#[derive(Debug, Default)]
pub(super) struct Capabilities {
    pub(super) credential: InlineCredential,
    pub(super) region: String,
    pub(super) cluster_id: String,
}

/// The keys, in Rancher's spelling; all values must be strings. The values of `baseUrl` and `authBaseUrl` are dropped: a caller
/// could use them to make this server send secrets to any host.
const KEYS: [&str; 9] = [
    "authBaseUrl",
    "baseUrl",
    "tenantId",
    "subscriptionId",
    "clientId",
    "clientSecret",
    "region",
    "environment",
    "clusterId",
];

impl Capabilities {
    /// Parses a body; the error is Go's text without a prefix.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        // Go rejects a byte order mark. It is skipped here, because editors add one.
        let text = input::strip_bom(body).map_err(|utf16| match go_json::parse(body) {
            Ok(_) => utf16.to_string(),
            Err(reason) => format!("{reason}: {utf16}"),
        })?;
        let members = match go_json::parse(text)? {
            go_json::Value::Object(members) => members,
            // Rancher crashes on `null`. Here, `null` is an empty object, whose first missing field is reported.
            go_json::Value::Other(Kind::Null) => return Ok(Self::default()),
            go_json::Value::Other(kind) => {
                return Err(format!("json: cannot unmarshal {kind} into Go value of type aks.Capabilities"));
            }
        };
        let mut capabilities = Self::default();
        let mut first_error = None;
        for (name, member) in members {
            let Some(key) = KEYS
                .iter()
                .find(|key| **key == name)
                .or_else(|| KEYS.iter().find(|key| key.eq_ignore_ascii_case(&name)))
            else {
                continue;
            };
            match member {
                go_json::Member::String(value) => capabilities.set(key, value),
                go_json::Member::Other(Kind::Null) => {}
                go_json::Member::Other(kind) => {
                    first_error.get_or_insert_with(|| {
                        format!("json: cannot unmarshal {kind} into Go struct field Capabilities.{key} of type string")
                    });
                }
            }
        }
        first_error.map_or(Ok(capabilities), Err)
    }

    /// Trims whitespace and invisible characters, which pasting adds.
    pub(super) fn trimmed(mut self) -> Self {
        let credential = &mut self.credential;
        for value in [
            &mut credential.tenant_id,
            &mut credential.subscription_id,
            &mut credential.client_id,
            &mut self.region,
            &mut credential.environment,
            &mut self.cluster_id,
        ] {
            let trimmed = input::trim(value);
            if trimmed.len() != value.len() {
                *value = trimmed.to_owned();
            }
        }
        let secret = input::trim(credential.client_secret.expose_secret());
        if secret.len() != credential.client_secret.expose_secret().len() {
            credential.client_secret = SecretString::from(secret);
        }
        self
    }

    fn set(&mut self, key: &str, value: String) {
        let credential = &mut self.credential;
        match key {
            "tenantId" => credential.tenant_id = value,
            "subscriptionId" => credential.subscription_id = value,
            "clientId" => credential.client_id = value,
            "clientSecret" => credential.client_secret = SecretString::from(value),
            "region" => self.region = value,
            "environment" => credential.environment = value,
            "clusterId" => self.cluster_id = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_parsed_as_in_go() {
        let capabilities = Capabilities::parse(
            br#" {"SUBSCRIPTIONID":"a","subscriptionId":"b","x":[1,{"y":null}],"clientId":null,"region":"E\u0061st \ud83d\ude00\ud800","clientSecret":"s","baseUrl":"http://x"} "#,
        )
        .unwrap();
        assert_eq!(capabilities.credential.subscription_id, "b");
        assert_eq!(capabilities.credential.client_id, "");
        assert_eq!(capabilities.region, "East \u{1f600}\u{fffd}");
        assert_eq!(capabilities.credential.client_secret.expose_secret(), "s");
        assert!(Capabilities::parse(b"null").unwrap().credential.tenant_id.is_empty());
        assert!(!format!("{capabilities:?}").contains("\"s\""));
    }

    #[test]
    fn byte_order_mark_is_skipped_and_utf16_is_reported() {
        let capabilities = Capabilities::parse(b"\xef\xbb\xbf{\"clientId\":\"c\"}").unwrap();
        assert_eq!(capabilities.credential.client_id, "c");
        for (body, start) in [
            (&b"\xff\xfe{\0}\0"[..], "invalid character 'ÿ' looking for beginning of value: "),
            (b"\xfe\xff\0{\0}", "invalid character 'þ' looking for beginning of value: "),
            (b"{\0}\0", "invalid character '\\x00' looking for beginning of object key string: "),
        ] {
            let reason = Capabilities::parse(body).unwrap_err();
            assert!(reason.starts_with(start) && reason.contains("the body is UTF-16"), "{reason}");
        }
    }

    #[test]
    fn values_are_trimmed() {
        let capabilities = Capabilities::parse(
            "{\"tenantId\":\"\\n t \",\"clientSecret\":\"\u{a0}s s~\\r\\n\",\"environment\":\" \"}"
                .as_bytes(),
        );
        let credential = capabilities.unwrap().trimmed().credential;
        assert_eq!((credential.tenant_id.as_str(), credential.environment.as_str()), ("t", ""));
        assert_eq!(credential.client_secret.expose_secret(), "s s~");
    }

    #[test]
    fn parse_errors_match_go() {
        for (body, reason) in [
            ("", "unexpected end of JSON input"),
            ("  ", "unexpected end of JSON input"),
            (r#"{"subscriptionId": "#, "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{1}", "invalid character '1' looking for beginning of object key string"),
            ("{} x", "invalid character 'x' after top-level value"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a":[1 2]}"#, "invalid character '2' after array element"),
            (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            (r#"{"a":-}"#, "invalid character '}' in numeric literal"),
            (r#"{"a":1.}"#, "invalid character '}' after decimal point in numeric literal"),
            (r#"{"a":1e}"#, "invalid character '}' in exponent of numeric literal"),
            ("{\"a\":\"\n\"}", "invalid character '\\n' in string literal"),
            (r#"{"a":"\q"}"#, "invalid character 'q' in string escape code"),
            (r#"{"a":"\u00g0"}"#, "invalid character 'g' in \\u hexadecimal character escape"),
            (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
            (
                r#"{"region":1}"#,
                "json: cannot unmarshal number into Go struct field Capabilities.region of type string",
            ),
            (
                r#"{"REGION":true}"#,
                "json: cannot unmarshal bool into Go struct field Capabilities.region of type string",
            ),
            (
                r#"{"region":{},"tenantId":[]}"#,
                "json: cannot unmarshal object into Go struct field Capabilities.region of type string",
            ),
            (
                r#"{"tenantId":[]}"#,
                "json: cannot unmarshal array into Go struct field Capabilities.tenantId of type string",
            ),
            ("[]", "json: cannot unmarshal array into Go value of type aks.Capabilities"),
            (r#""x""#, "json: cannot unmarshal string into Go value of type aks.Capabilities"),
            ("1", "json: cannot unmarshal number into Go value of type aks.Capabilities"),
            ("true", "json: cannot unmarshal bool into Go value of type aks.Capabilities"),
        ] {
            assert_eq!(Capabilities::parse(body.as_bytes()).unwrap_err(), reason, "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_rejected_without_stack_overflow() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(Capabilities::parse(deep.as_bytes()).unwrap_err(), "exceeded max depth");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(body: Vec<u8>) {
            let _ = Capabilities::parse(&body);
        }

        #[test]
        fn json_accepted_by_serde_is_accepted(body in r#"[\[\]{}",:0-9a-z\\. eE+-]{0,24}"#) {
            // The converse is false: serde_json rejects numbers that do not fit and lone surrogates, which Go accepts.
            if serde_json::from_str::<serde_json::Value>(&body).is_ok() {
                assert!(go_json::parse(body.as_bytes()).is_ok(), "{body}");
            }
        }
    }
}
