//! Addresses.
use reqwest::Url;

/// An address that can be asked.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let without_login = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let url: Url = text.parse().map_err(|error| format!("{without_login:?} is no address: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        _ => return Err(format!("{without_login:?} does not begin with http:// or https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a login in it".into());
    }
    Ok(url)
}

/// An address as users are shown it: without what may be a secret, or long.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let (scheme, host, path) = (url.scheme(), url.host_str().unwrap_or_default(), url.path());
    format!("{scheme}://{host}{port}{path}")
}

/// The parameters of an address.
pub(super) fn pairs(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// The same address with these parameters instead of those of the same names.
pub(super) fn with(mut url: Url, set: &[(String, String)]) -> Url {
    if set.is_empty() {
        return url;
    }
    let mut all = pairs(&url);
    all.retain(|(name, _)| !set.iter().any(|(other, _)| other == name));
    all.extend_from_slice(set);
    url.query_pairs_mut().clear().extend_pairs(all);
    url
}

/// The same address without a parameter, untouched if it has none of this name.
pub(super) fn without(mut url: Url, name: &str) -> Url {
    let all = pairs(&url);
    if all.iter().any(|(other, _)| other == name) {
        let rest: Vec<_> = all.into_iter().filter(|(other, _)| other != name).collect();
        match rest.is_empty() {
            true => url.set_query(None),
            false => _ = url.query_pairs_mut().clear().extend_pairs(rest),
        }
    }
    url
}

/// Whether two addresses are of one server: what is secret to one may be shown to the other.
pub(super) fn same_server(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}
