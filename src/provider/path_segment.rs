// SPDX-License-Identifier: Apache-2.0

//! A model's name as one segment of a path.
//!
//! Under a pattern the name is the client's to choose, and `../` or `?` in it would reach another resource with the
//! gateway's credential.

use crate::api_error::ApiError;
use core::fmt::Write as _;

/// The name, with everything but unreserved characters percent-encoded
/// (<https://www.rfc-editor.org/rfc/rfc3986#section-2.3>).
///
/// # Errors
///
/// 400 for a name that means another folder whatever its spelling.
pub(super) fn path_segment(name: &str) -> Result<String, ApiError> {
    if name.is_empty() || name.bytes().all(|byte| byte == b'.') {
        return Err(ApiError::bad_request(
            "model",
            "model: expected a name, found dots alone",
        ));
    }
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::path_segment;

    #[crate::test]
    fn a_name_stays_within_its_segment() {
        for (name, expected) in [
            ("gpt-4o_2024.05~x", "gpt-4o_2024.05~x"),
            ("a/../b", "a%2F..%2Fb"),
            ("a?api-version=1#x", "a%3Fapi-version%3D1%23x"),
            ("a%2fb", "a%252fb"),
            ("a b\r\n", "a%20b%0D%0A"),
        ] {
            assert_eq!(path_segment(name).unwrap(), expected);
        }
        for name in ["", ".", "..", "..."] {
            assert_eq!(path_segment(name).unwrap_err().status, 400, "{name}");
        }
    }
}
