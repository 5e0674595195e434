// SPDX-License-Identifier: Apache-2.0

//! A provider's base URL, taken apart.
//!
//! The command makes a cluster of it, the provider seat makes `:authority` and `:path` of it. Only what both can
//! honour is accepted: `http` or `https`, a host, an optional port, an optional path. No query, no fragment, and
//! no user information, because a credential does not belong into a rendered file. The grammar is a part of
//! RFC 3986 (<https://www.rfc-editor.org/rfc/rfc3986#section-3>); international names must be written in their
//! ASCII form.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the scheme is `https`.
    pub is_tls: bool,
    /// A DNS name in lower case, or an IP address; an IPv6 address is without its brackets.
    pub host: String,
    /// The port, that of the scheme unless another is given.
    pub port: u16,
    /// The path: empty, or with a leading and without a trailing slash.
    pub path: String,
}

impl Endpoint {
    /// The address, if the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The value of `:authority`: the host, and the port unless it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.ip() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            Some(IpAddr::V4(_)) | None => self.host.clone(),
        };
        if self.port == default_port(self.is_tls) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Endpoint {
    /// What was expected, and what was found.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault =
            |found: &str| format!("expected a URL such as \"https://api.openai.com/v1\", found {found}");
        let (is_tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(fault(&format!(
                "\"{}\", which begins with neither https:// nor http://",
                text.escape_debug()
            )));
        };
        if let Some(odd) = rest.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(fault(&format!("the character {odd:?}")));
        }
        let (authority, path) = rest
            .find('/')
            .and_then(|at| rest.split_at_checked(at))
            .unwrap_or((rest, ""));
        for (sign, name) in [('?', "a query"), ('#', "a fragment")] {
            if rest.contains(sign) {
                return Err(fault(name));
            }
        }
        if path.split('/').any(|segment| segment == "..") {
            return Err(fault("a path with `..`"));
        }
        if authority.contains('@') {
            return Err(fault(
                "user information; name the credential under `credential` instead",
            ));
        }
        let (host, port) =
            host_and_port(authority).ok_or_else(|| fault(&format!("the host \"{authority}\"")))?;
        let port = match port {
            None => default_port(is_tls),
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| fault(&format!("the port \"{port}\"")))?,
        };
        Ok(Self {
            is_tls,
            host: host.to_ascii_lowercase(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

const fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((address, Some(port))),
            None => after.is_empty().then_some((address, None)),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    // A final dot says that the name is whole, which it is here in any case.
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if host.rsplit('.').next().is_some_and(is_number) && host.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    let is_name = !host.is_empty()
        && host.split('.').all(|label| !label.is_empty())
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    is_name.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    fn parse(text: &str) -> Result<Endpoint, String> {
        text.parse()
    }

    #[crate::test]
    fn a_url_is_taken_apart() {
        for (text, is_tls, host, port, path, authority) in [
            (
                "https://api.openai.com/v1",
                true,
                "api.openai.com",
                443,
                "/v1",
                "api.openai.com",
            ),
            (
                "https://API.anthropic.com",
                true,
                "api.anthropic.com",
                443,
                "",
                "api.anthropic.com",
            ),
            (
                "http://127.0.0.1:9001/v1/",
                false,
                "127.0.0.1",
                9001,
                "/v1",
                "127.0.0.1:9001",
            ),
            ("http://[::1]:80/a/b", false, "::1", 80, "/a/b", "[::1]"),
            ("https://vllm:8443", true, "vllm", 8443, "", "vllm:8443"),
            (
                "https://A.example./v1",
                true,
                "a.example",
                443,
                "/v1",
                "a.example",
            ),
            ("http://10.0.0.1", false, "10.0.0.1", 80, "", "10.0.0.1"),
        ] {
            let found = parse(text).unwrap();
            assert_eq!((found.is_tls, found.port), (is_tls, port), "{text}");
            assert_eq!((found.host.as_str(), found.path.as_str()), (host, path), "{text}");
            assert_eq!(found.authority(), authority, "{text}");
            assert_eq!(parse(&found.to_string()), Ok(found), "{text}");
        }
    }

    #[crate::test]
    fn what_envoy_could_not_honour_is_refused_and_named() {
        for (text, found) in [
            ("api.openai.com", "which begins with neither"),
            ("ftp://a", "which begins with neither"),
            ("https://", "the host \"\""),
            ("https:///v1", "the host \"\""),
            ("https://a..b", "the host \"a..b\""),
            ("https://[::1", "the host"),
            ("https://[::1]x", "the host"),
            ("https://a:0", "the port \"0\""),
            ("https://a:70000", "the port \"70000\""),
            ("https://a/b?c", "a query"),
            ("https://a#c", "a fragment"),
            ("https://me:secret@a", "user information"),
            ("https://a b", "the character ' '"),
            ("https://bücher.example", "the character 'ü'"),
            ("https://999.1.1.1", "the host \"999.1.1.1\""),
            ("https://1.2.3", "the host \"1.2.3\""),
            ("https://.", "the host \".\""),
            ("https://a/v1/../v2", "a path with `..`"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(
                message.starts_with("expected a URL") && message.contains(found),
                "{text}: {message}"
            );
        }
        assert!(!parse("https://me:secret@a").unwrap_err().contains("secret"));
    }
}
