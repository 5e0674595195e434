// SPDX-License-Identifier: Apache-2.0

//! Where a credential is found in a request.
//!
//! Three headers may carry one: `authorization` with the scheme `Bearer`
//! ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)), `x-api-key` as Anthropic's clients send it
//! and `api-key` as Azure's do. A further header and a query parameter may be configured. The same credential may
//! come in several of these places, since clients with a key for two dialects do that. Two different ones are
//! refused rather than ranked: a proxy in front that checks one header must not be led past by another.
//!
//! Length is checked before anything else is looked at.

use super::deny::Deny;
use crate::config::{ConfigError, Identity};
use crate::headers::Headers;
use std::borrow::Cow;

/// The headers that may carry a credential. None of them may reach a provider.
const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// The longest credential that is looked at, in bytes.
pub const MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

/// The longest header, or query parameter, that carries a credential: the scheme, and some white space, come before
/// it, and a percent-encoded byte takes three.
const MAX_HEADER_BYTES: usize = MAX_CREDENTIAL_BYTES + 64;
const MAX_QUERY_BYTES: usize = 3 * MAX_CREDENTIAL_BYTES;

/// The places that may carry a credential.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    header: Option<String>,
    query: Option<String>,
}

/// How a header's value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// `Bearer` stands before the credential.
    Bearer,
    /// It may.
    Optional,
    /// The value is the credential.
    None,
}

impl Sources {
    /// Reads the configured places; appends their faults to `faults`.
    pub(super) fn new(identity: &Identity, faults: &mut Vec<ConfigError>) -> Self {
        let header = identity.credential_header.as_ref();
        if let Some(name) = header
            && (!is_header_name(name) || name.starts_with("x-tollgate-"))
        {
            faults.push(ConfigError::new(
                "identity.credential_header",
                format!(
                    "expected a header's name in lower case such as \"x-gateway-key\", and none that begins with \
                     `x-tollgate-`, found \"{}\"",
                    name.escape_debug()
                ),
            ));
        }
        let query = identity.credential_query.as_ref();
        if let Some(name) = query
            && !is_plain_name(name)
        {
            faults.push(ConfigError::new(
                "identity.credential_query",
                format!(
                    "expected a parameter's name of letters, digits, `-` and `_`, found \"{}\"",
                    name.escape_debug()
                ),
            ));
        }
        Self {
            header: header.cloned(),
            query: query.cloned(),
        }
    }

    /// Finds the one credential of a request; `None` if there is no place for one.
    pub(super) fn find<'a>(&'a self, headers: &'a Headers) -> Result<Option<Cow<'a, str>>, Deny> {
        let mut found: Option<Cow<'a, str>> = None;
        let mut take = |credential: Cow<'a, str>| {
            if found.as_ref().is_some_and(|other| *other != credential) {
                return Err(Deny::Ambiguous);
            }
            found = Some(credential);
            Ok(())
        };
        for name in CREDENTIAL_HEADERS {
            let scheme = if name == "authorization" {
                Scheme::Bearer
            } else {
                Scheme::None
            };
            for (nth, value) in headers.all(name).enumerate() {
                if scheme == Scheme::Bearer && nth > 0 {
                    return Err(Deny::Ambiguous);
                }
                take(Cow::Borrowed(read(value, scheme)?))?;
            }
        }
        if let Some(name) = &self.header {
            for value in headers.all(name) {
                take(Cow::Borrowed(read(value, Scheme::Optional)?))?;
            }
        }
        if let Some(name) = &self.query {
            let path = headers.str(":path").unwrap_or_default();
            for value in parameters(path).filter_map(|part| value_of(part, name)) {
                take(read_query(value)?)?;
            }
        }
        Ok(found)
    }

    /// Whether a header may carry a credential, by its name in lower case.
    #[must_use]
    pub fn is_credential_header(&self, name: &str) -> bool {
        CREDENTIAL_HEADERS.contains(&name) || self.header.as_deref() == Some(name)
    }

    /// The path without the parameter that carries the credential; `None` if it has none.
    #[must_use]
    pub fn without_credential(&self, path: &str) -> Option<String> {
        let name = self.query.as_ref()?;
        parameters(path).find(|part| value_of(part, name).is_some())?;
        let (before, _) = path.split_once('?')?;
        let kept: Vec<_> = parameters(path)
            .filter(|part| value_of(part, name).is_none())
            .collect();
        Some(if kept.is_empty() {
            before.to_owned()
        } else {
            format!("{before}?{}", kept.join("&"))
        })
    }
}

/// The `name=value` parts of a path's query.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split_once('?')
        .map_or("", |(_, query)| query)
        .split('&')
        .filter(|part| !part.is_empty())
}

fn value_of<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    part.strip_prefix(name)?.strip_prefix('=')
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether `name` is a header's name as Envoy gives it (RFC 9110, section 5.6.2).
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Reads one header's value.
fn read(value: &[u8], scheme: Scheme) -> Result<&str, Deny> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(Deny::TooLong);
    }
    let text = simdutf8::basic::from_utf8(value)
        .map_err(|_| Deny::Malformed)?
        .trim();
    let credential = match (scheme, text.split_once(' ')) {
        (Scheme::None, _) | (Scheme::Optional, None) => text,
        (Scheme::Bearer | Scheme::Optional, Some((word, rest))) if word.eq_ignore_ascii_case("bearer") => {
            rest.trim_start()
        }
        (Scheme::Bearer | Scheme::Optional, _) => return Err(Deny::Malformed),
    };
    checked(credential)?;
    Ok(credential)
}

/// Reads a query parameter's value, which may be percent-encoded (RFC 3986, section 2.1).
fn read_query(value: &str) -> Result<Cow<'_, str>, Deny> {
    if value.len() > MAX_QUERY_BYTES {
        return Err(Deny::TooLong);
    }
    let credential = if value.contains('%') {
        Cow::Owned(decoded(value).ok_or(Deny::Malformed)?)
    } else {
        Cow::Borrowed(value)
    };
    checked(&credential)?;
    Ok(credential)
}

fn decoded(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn checked(credential: &str) -> Result<(), Deny> {
    if credential.len() > MAX_CREDENTIAL_BYTES {
        return Err(Deny::TooLong);
    }
    if credential.is_empty() || !is_one_word(credential) {
        return Err(Deny::Malformed);
    }
    Ok(())
}

/// Whether there is neither white space nor a control character. Nearly all credentials are visible ASCII, which is
/// told without decoding, and without stopping early so that many bytes are looked at in one step.
fn is_one_word(text: &str) -> bool {
    let is_ascii_word = text
        .bytes()
        .fold(true, |is_word, byte| is_word & byte.is_ascii_graphic());
    is_ascii_word || !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::{MAX_CREDENTIAL_BYTES, Sources};
    use crate::config::Identity;
    use crate::headers::Headers;
    use crate::policy::auth::Deny;

    fn check(pairs: &[(&str, &str)], expected: Result<Option<&str>, Deny>) {
        let headers: Headers = pairs.iter().copied().collect();
        check_sources(&Sources::default(), &headers, expected, pairs);
    }

    fn check_sources(
        sources: &Sources,
        headers: &Headers,
        expected: Result<Option<&str>, Deny>,
        what: &[(&str, &str)],
    ) {
        let found = sources.find(headers);
        assert_eq!(
            found.as_ref().map(Option::as_deref),
            expected.as_ref().map(|e| *e),
            "{what:?}"
        );
    }

    fn sources(header: Option<&str>, query: Option<&str>) -> Result<Sources, Vec<String>> {
        let identity = Identity {
            credential_header: header.map(str::to_owned),
            credential_query: query.map(str::to_owned),
            ..Identity::default()
        };
        let mut faults = Vec::new();
        let sources = Sources::new(&identity, &mut faults);
        if faults.is_empty() {
            Ok(sources)
        } else {
            Err(faults.into_iter().map(|fault| fault.path).collect())
        }
    }

    #[crate::test]
    fn a_configured_header_and_query_parameter_carry_one_too() {
        let sources = sources(Some("x-gateway-key"), Some("key")).unwrap();
        for (path, header, expected) in [
            ("/v1/models", None, Ok(None)),
            ("/v1/models?key=k", None, Ok(Some("k"))),
            ("/v1/models?a=b&key=%6B%2e1&c", None, Ok(Some("k.1"))),
            ("/v1/models?key=k&key=k", Some("k"), Ok(Some("k"))),
            ("/v1/models?key=k", Some("Bearer k"), Ok(Some("k"))),
            ("/v1/models?key=k&key=l", None, Err(Deny::Ambiguous)),
            ("/v1/models?key=k", Some("l"), Err(Deny::Ambiguous)),
            ("/v1/models?key=", None, Err(Deny::Malformed)),
            ("/v1/models?key=%", None, Err(Deny::Malformed)),
            ("/v1/models?key=%+1", None, Err(Deny::Malformed)),
            ("/v1/models?key=%ff", None, Err(Deny::Malformed)),
            ("/v1/models?key=a%20b", None, Err(Deny::Malformed)),
            ("/v1/models?monkey=k&key2=k", None, Ok(None)),
            ("/v1/models", Some("Basic k"), Err(Deny::Malformed)),
        ] {
            let pairs: Vec<_> = [(":path", path)]
                .into_iter()
                .chain(header.map(|value| ("x-gateway-key", value)))
                .collect();
            let headers: Headers = pairs.iter().copied().collect();
            check_sources(&sources, &headers, expected, &pairs);
        }
        let long = format!("/v1/models?key={}", "%6B".repeat(MAX_CREDENTIAL_BYTES + 1));
        let headers: Headers = [(":path", long.as_str())].into_iter().collect();
        check_sources(&sources, &headers, Err(Deny::TooLong), &[]);
        check(&[(":path", "/?key=k"), ("x-gateway-key", "k")], Ok(None));
    }

    #[crate::test]
    fn the_query_parameter_is_taken_out_of_the_path() {
        let sources = sources(None, Some("key")).unwrap();
        for (path, expected) in [
            ("/a", None),
            ("/a?b=c", None),
            ("/a?key=k", Some("/a")),
            ("/a?b=c&key=k&d=e&key=l", Some("/a?b=c&d=e")),
            ("/a?key=%", Some("/a")),
        ] {
            assert_eq!(sources.without_credential(path).as_deref(), expected, "{path}");
        }
        assert_eq!(Sources::default().without_credential("/a?key=k"), None);
        assert!(Sources::default().is_credential_header("api-key"));
        assert!(!sources.is_credential_header("x-gateway-key"));
    }

    #[crate::test]
    fn a_place_that_cannot_be_one_is_a_fault() {
        for header in ["", "X-Key", "a b", "x-tollgate-key", ":path"] {
            assert_eq!(
                sources(Some(header), None).err(),
                Some(vec!["identity.credential_header".to_owned()]),
                "{header}"
            );
        }
        for query in ["", "a=b", "a&b", "a b"] {
            assert_eq!(
                sources(None, Some(query)).err(),
                Some(vec!["identity.credential_query".to_owned()]),
                "{query}"
            );
        }
    }

    #[crate::test]
    fn a_credential_is_found_in_three_headers() {
        check(&[], Ok(None));
        check(&[("x-other", "k")], Ok(None));
        check(&[("x-api-key", "k")], Ok(Some("k")));
        check(&[("api-key", " k ")], Ok(Some("k")));
        for value in ["Bearer k", "bearer k", "BEARER   k", " bEARER k "] {
            check(&[("authorization", value)], Ok(Some("k")));
        }
    }

    #[crate::test]
    fn one_credential_may_come_twice_but_two_may_not() {
        check(
            &[
                ("authorization", "Bearer k"),
                ("x-api-key", "k"),
                ("api-key", "k"),
            ],
            Ok(Some("k")),
        );
        check(&[("x-api-key", "k"), ("x-api-key", "k")], Ok(Some("k")));
        check(&[("x-api-key", "k"), ("x-api-key", "l")], Err(Deny::Ambiguous));
        check(
            &[("authorization", "Bearer k"), ("x-api-key", "l")],
            Err(Deny::Ambiguous),
        );
        check(&[("x-api-key", "k"), ("api-key", "K")], Err(Deny::Ambiguous));
        check(
            &[("authorization", "Bearer k"), ("authorization", "Bearer k")],
            Err(Deny::Ambiguous),
        );
    }

    #[crate::test]
    fn a_header_without_a_readable_credential_is_malformed() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "k",
            "Basic azo=",
            "Bearerk",
            "Bearer a b",
            "Bearer a\tb",
            "Bearer a\0b",
        ] {
            check(&[("authorization", value)], Err(Deny::Malformed));
        }
        check(&[("x-api-key", "")], Err(Deny::Malformed));
        check(
            &[("x-api-key", ""), ("authorization", "Bearer k")],
            Err(Deny::Malformed),
        );
        let headers: Headers = [("x-api-key", &[b'k', 0xff][..])].into_iter().collect();
        check_sources(&Sources::default(), &headers, Err(Deny::Malformed), &[]);
    }

    #[crate::test]
    fn length_is_judged_before_content() {
        let longest = "k".repeat(MAX_CREDENTIAL_BYTES);
        check(&[("x-api-key", &longest)], Ok(Some(&longest)));
        check(
            &[("authorization", &format!("Bearer {longest}"))],
            Ok(Some(&longest)),
        );
        check(&[("x-api-key", &format!("{longest}k"))], Err(Deny::TooLong));
        check(
            &[("authorization", &format!("Bearer {longest}k"))],
            Err(Deny::TooLong),
        );
        let long = vec![0xff; 1 << 20];
        let headers: Headers = [("authorization", &long[..])].into_iter().collect();
        check_sources(&Sources::default(), &headers, Err(Deny::TooLong), &[]);
    }
}
