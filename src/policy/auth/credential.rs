// SPDX-License-Identifier: Apache-2.0

//! Where a credential is found in the headers.
//!
//! Three headers may carry one: `authorization` with the scheme `Bearer`
//! ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)), `x-api-key` as Anthropic's clients send it
//! and `api-key` as Azure's do. The same credential may come in several of them, since clients with a key for
//! two dialects do that. Two different ones are refused rather than ranked: a proxy in front that checks one
//! header must not be led past by another.
//!
//! Length is checked before anything else is looked at.

use super::deny::Deny;
use crate::headers::Headers;

/// The headers that may carry a credential. None of them may reach a provider.
pub const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// The longest credential that is looked at, in bytes.
pub const MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

/// The longest `authorization` header: the scheme, and some white space, come before the credential.
const MAX_HEADER_BYTES: usize = MAX_CREDENTIAL_BYTES + 64;

/// Finds the one credential of a request; `None` if there is no header for one.
pub(super) fn find(headers: &Headers) -> Result<Option<&str>, Deny> {
    let mut found = None;
    for name in CREDENTIAL_HEADERS {
        let is_authorization = name == "authorization";
        for (nth, value) in headers.all(name).enumerate() {
            if is_authorization && nth > 0 {
                return Err(Deny::Ambiguous);
            }
            let credential = read(value, is_authorization)?;
            if found.is_some_and(|other| other != credential) {
                return Err(Deny::Ambiguous);
            }
            found = Some(credential);
        }
    }
    Ok(found)
}

/// Reads one header's value.
fn read(value: &[u8], has_scheme: bool) -> Result<&str, Deny> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(Deny::TooLong);
    }
    let text = simdutf8::basic::from_utf8(value)
        .map_err(|_| Deny::Malformed)?
        .trim();
    let credential = if has_scheme {
        let (scheme, rest) = text.split_once(' ').ok_or(Deny::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Deny::Malformed);
        }
        rest.trim_start()
    } else {
        text
    };
    if credential.len() > MAX_CREDENTIAL_BYTES {
        return Err(Deny::TooLong);
    }
    if credential.is_empty() || !is_one_word(credential) {
        return Err(Deny::Malformed);
    }
    Ok(credential)
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
    use super::{MAX_CREDENTIAL_BYTES, find};
    use crate::headers::Headers;
    use crate::policy::auth::Deny;

    fn check(pairs: &[(&str, &str)], expected: Result<Option<&str>, Deny>) {
        let headers: Headers = pairs.iter().copied().collect();
        assert_eq!(find(&headers), expected, "{pairs:?}");
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
        assert_eq!(find(&headers), Err(Deny::Malformed));
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
        assert_eq!(find(&headers), Err(Deny::TooLong));
    }
}
