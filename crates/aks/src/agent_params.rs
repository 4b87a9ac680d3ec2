//! The parameters that an agent sends when it opens a tunnel: base64 of JSON with the cluster's address, its CA certificate and
//! a service account token. They are not used: the address comes from Azure, and this server needs no cluster token. They are
//! validated as in Rancher (`docs/contract/registration.md#refusals`) and then dropped.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// The reason why parameters are rejected. The messages are Rancher's; agents log them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParams {
    /// The parameters are empty, or the JSON is truncated.
    #[error("unexpected end of JSON input")]
    Incomplete,
    /// A byte is not valid in base64.
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    /// The first character is not valid JSON.
    #[error("invalid character {0} looking for beginning of value")]
    Character(String),
    /// Another part is not valid JSON.
    #[error("the parameters are not JSON")]
    Json,
    /// The parameters contain neither a cluster nor a node.
    #[error("missing node or cluster registration info")]
    NoCluster,
    /// The parameters contain a node. AKS nodes have no agents.
    #[error("invalid input, hostname empty")]
    Node,
    /// A field of the cluster is missing or empty.
    #[error("invalid input, {0} empty")]
    Empty(&'static str),
}

/// Checks the value of the header `X-API-Tunnel-Params`.
///
/// # Errors
/// Rancher's message.
pub fn check(header: &[u8]) -> Result<(), InvalidParams> {
    let json =
        BASE64_STANDARD.decode(header).map_err(|_| InvalidParams::Base64(first_illegal_position(header)))?;
    let params: Value = serde_json::from_slice(&json).map_err(|error| to_json_error(&json, &error))?;
    let Some(cluster) = params.get("cluster").filter(|cluster| !cluster.is_null()) else {
        let is_node = params.get("node").is_some_and(|node| !node.is_null());
        return Err(if is_node { InvalidParams::Node } else { InvalidParams::NoCluster });
    };
    let is_empty = |field: &str| cluster.get(field).and_then(Value::as_str).is_none_or(str::is_empty);
    match ["address", "token", "caCert"].into_iter().find(|field| is_empty(field)) {
        Some(field) => Err(InvalidParams::Empty(field)),
        None => Ok(()),
    }
}

/// The position that Go reports: that of the first byte outside the alphabet, else the end.
fn first_illegal_position(header: &[u8]) -> usize {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    header.iter().position(|byte| !is_legal(byte)).unwrap_or(header.len())
}

fn to_json_error(json: &[u8], error: &serde_json::Error) -> InvalidParams {
    if error.is_eof() {
        return InvalidParams::Incomplete;
    }
    let json = String::from_utf8_lossy(json);
    match json.trim_start().chars().next() {
        Some(first) if !matches!(first, '{' | '[' | '"' | '-' | '0'..='9' | 't' | 'f' | 'n') => {
            InvalidParams::Character(format!("'{}'", first.escape_default()))
        }
        _ => InvalidParams::Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_parameters_have_ranchers_messages() {
        let encode = |json: &str| BASE64_STANDARD.encode(json);
        let valid = r#"{"cluster":{"address":"10.0.0.1:443","caCert":"Q0E=","token":"canary"}}"#;
        assert_eq!(check(encode(valid).as_bytes()), Ok(()));
        for (header, message) in [
            (String::new(), "unexpected end of JSON input"),
            (encode("{"), "unexpected end of JSON input"),
            ("!!!".to_owned(), "illegal base64 data at input byte 0"),
            ("QUJD!".to_owned(), "illegal base64 data at input byte 4"),
            (encode("hello"), "invalid character 'h' looking for beginning of value"),
            (encode("{}"), "missing node or cluster registration info"),
            (encode(r#"{"cluster":null}"#), "missing node or cluster registration info"),
            (encode(r#"{"node":{}}"#), "invalid input, hostname empty"),
            (encode(r#"{"cluster":{}}"#), "invalid input, address empty"),
            (encode(r#"{"cluster":{"address":"a"}}"#), "invalid input, token empty"),
            (encode(r#"{"cluster":{"address":"a","token":"t"}}"#), "invalid input, caCert empty"),
            (encode(r#"{"cluster":{"address":1,"token":"t"}}"#), "invalid input, address empty"),
        ] {
            assert_eq!(check(header.as_bytes()).unwrap_err().to_string(), message, "{header}");
        }
    }
}
