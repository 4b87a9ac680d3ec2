//! The headers in which Azure reports the number of remaining requests.
//!
//! Resource Manager: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>.
//! Compute: <https://learn.microsoft.com/troubleshoot/azure/virtual-machines/troubleshooting-throttling-errors>.

use http::{HeaderMap, Method};

/// The code of Resource Manager's own 429. Other codes are those of a resource provider.
pub(super) const ARM_THROTTLED_CODE: &str = "SubscriptionRequestsThrottled";

const COMPUTE_HEADER: &str = "x-ms-ratelimit-remaining-resource";

/// The limit of Resource Manager that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArmLimit {
    Reads,
    Writes,
    Deletes,
}

/// A limit of Resource Manager: the size of the bucket, the tokens that are added each second, and the headers with the
/// remaining requests of the application and of all applications together.
#[derive(Clone, Copy, Debug)]
pub(super) struct DocumentedLimit {
    pub(super) bucket_size: u32,
    pub(super) refill_per_second: u32,
    pub(super) header: &'static str,
    pub(super) global_header: &'static str,
}

/// The limits of all applications of a subscription together, as a multiple of the limits of one application.
pub(super) const GLOBAL_FACTOR: u32 = 15;

impl ArmLimit {
    pub(super) const ALL: [Self; 3] = [Self::Reads, Self::Writes, Self::Deletes];

    pub(super) fn new(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }

    /// The value of the label `kind` in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
        }
    }

    pub(super) fn documented(self) -> DocumentedLimit {
        let (bucket_size, refill_per_second) = match self {
            Self::Reads => (250, 25),
            Self::Writes | Self::Deletes => (200, 10),
        };
        let (header, global_header) = match self {
            Self::Reads => (
                "x-ms-ratelimit-remaining-subscription-reads",
                "x-ms-ratelimit-remaining-subscription-global-reads",
            ),
            Self::Writes => (
                "x-ms-ratelimit-remaining-subscription-writes",
                "x-ms-ratelimit-remaining-subscription-global-writes",
            ),
            Self::Deletes => (
                "x-ms-ratelimit-remaining-subscription-deletes",
                "x-ms-ratelimit-remaining-subscription-global-deletes",
            ),
        };
        DocumentedLimit { bucket_size, refill_per_second, header, global_header }
    }
}

/// The number of remaining requests in a header.
pub(super) fn parse_remaining(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The smallest number of remaining requests that Compute reports. The header has `<policy>;<number>` for each of its policies,
/// for example `Microsoft.Compute/HighCostGet3Min;107`, in one line or in several.
pub(super) fn parse_compute_remaining(headers: &HeaderMap) -> Option<u32> {
    let lines = headers.get_all(COMPUTE_HEADER).iter().filter_map(|line| line.to_str().ok());
    let policies = lines.flat_map(|line| line.split(','));
    policies.filter_map(|policy| policy.rsplit_once(';')?.1.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::response;

    #[test]
    fn methods_count_against_their_limit() {
        for (method, limit) in [
            (Method::GET, ArmLimit::Reads),
            (Method::HEAD, ArmLimit::Reads),
            (Method::POST, ArmLimit::Writes),
            (Method::PUT, ArmLimit::Writes),
            (Method::PATCH, ArmLimit::Writes),
            (Method::DELETE, ArmLimit::Deletes),
        ] {
            assert_eq!(ArmLimit::new(&method), limit, "{method}");
        }
    }

    #[test]
    fn numbers_are_read_from_headers() {
        let name = ArmLimit::Reads.documented().header;
        for (value, expected) in
            [("249", Some(249)), (" 7 ", Some(7)), ("0", Some(0)), ("-1", None), ("", None)]
        {
            let headers = response(200, &[(name, value)], "").headers;
            assert_eq!(parse_remaining(&headers, name), expected, "{value:?}");
        }
        assert_eq!(parse_remaining(&HeaderMap::new(), name), None);
    }

    #[test]
    fn compute_limit_is_the_minimum_of_its_policies() {
        for (lines, expected) in [
            (&["Microsoft.Compute/HighCostGet3Min;107"][..], Some(107)),
            (
                &[
                    "Microsoft.Compute/GetOperationStatus3Min;137, Microsoft.Compute/GetOperationStatus30Min;78",
                ],
                Some(78),
            ),
            (&["Microsoft.Compute/HighCostGet3Min;9", "Microsoft.Compute/HighCostGet30Min;700"], Some(9)),
            (&["Microsoft.Compute/HighCostGet3Min"], None),
            (&["Microsoft.Compute/HighCostGet3Min;x"], None),
            (&[], None),
        ] {
            let headers = lines
                .iter()
                .map(|line| (http::HeaderName::from_static(COMPUTE_HEADER), line.parse().unwrap()));
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value);
            }
            assert_eq!(parse_compute_remaining(&map), expected, "{lines:?}");
        }
    }
}
