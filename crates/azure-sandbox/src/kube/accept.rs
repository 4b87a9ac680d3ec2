//! What a client wants to be sent: the objects, a table of them, only their metadata, or a form of discovery.

/// What `Accept` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) form: Form,
    /// Whether discovery may be sent as one document (version `v2`).
    pub(crate) aggregated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Objects,
    Table,
    Metadata,
    /// None that there is.
    Other,
}

impl Accept {
    /// The first form of the header that there is here. Quality values are not looked at: Kubernetes' clients
    /// write their wishes in order.
    pub(crate) fn parse(header: &str) -> Self {
        let mut form = None;
        let mut aggregated = false;
        for wish in header.split(',').map(str::trim).filter(|wish| !wish.is_empty()) {
            let mut parts = wish.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            if !["application/json", "application/*", "*/*"].contains(&kind) {
                continue;
            }
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let get = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let found = match (get("as"), get("g"), get("v")) {
                (None, ..) => Some(Form::Objects),
                (Some("Table"), _, Some("v1")) => Some(Form::Table),
                (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), _, Some("v1")) => {
                    Some(Form::Metadata)
                }
                (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => {
                    aggregated = true;
                    None
                }
                _ => None,
            };
            form = form.or(found);
        }
        let silent = header.trim().is_empty();
        let form = form.unwrap_or(if silent { Form::Objects } else { Form::Other });
        Self { form, aggregated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_there_is_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (header, form) in [
            ("", Form::Objects),
            ("*/*", Form::Objects),
            ("application/json", Form::Objects),
            ("application/vnd.kubernetes.protobuf,application/json", Form::Objects),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form::Table),
            (&format!("application/vnd.kubernetes.protobuf;as=Table;v=v1, {table}"), Form::Table),
            ("application/json;as=Table;v=v1beta9;g=meta.k8s.io,application/json", Form::Objects),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form::Metadata),
            ("application/vnd.kubernetes.protobuf", Form::Other),
        ] {
            assert_eq!(Accept::parse(header).form, form, "{header}");
        }
        let discovery =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(Accept::parse(discovery), Accept { form: Form::Objects, aggregated: true });
    }
}
