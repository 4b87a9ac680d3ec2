//! The parameters that an agent sends with its token.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::settings::Endpoint;

/// The placeholder for the certificate authority. The field must be base64.
const NO_CA: &str = "not provided: the server has the certificate authority from Azure";

/// The placeholder for the service account token.
const NO_TOKEN: &str = "not provided: this agent has no service account token";

#[derive(Serialize)]
struct Params {
    cluster: ClusterParams,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterParams {
    address: String,
    ca_cert: String,
    token: &'static str,
}

/// The value of `X-API-Tunnel-Params`: JSON in base64.
///
/// Rancher's agents send the API server's address, its certificate authority and a cluster administrator's token, and servers
/// reject an agent that omits any of them. For AKS clusters, servers check only that these are present: the address and the
/// authority come from Azure. This agent has no such token, so it sends placeholders.
pub(crate) fn header_value(api_server: &Endpoint) -> String {
    let cluster = ClusterParams {
        address: api_server.to_string(),
        ca_cert: BASE64_STANDARD.encode(NO_CA),
        token: NO_TOKEN,
    };
    // Strings always serialize.
    BASE64_STANDARD.encode(serde_json::to_vec(&Params { cluster }).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_have_the_three_required_fields() {
        let header = header_value(&Endpoint { host: "fd00::1".to_owned(), port: 443 });
        let json: serde_json::Value =
            serde_json::from_slice(&BASE64_STANDARD.decode(header).unwrap()).unwrap();
        let cluster = &json["cluster"];
        assert_eq!(cluster["address"], "[fd00::1]:443");
        assert_eq!(cluster["token"], NO_TOKEN);
        let ca = BASE64_STANDARD.decode(cluster["caCert"].as_str().unwrap()).unwrap();
        assert_eq!(ca, NO_CA.as_bytes());
    }
}
