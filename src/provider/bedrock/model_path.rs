// SPDX-License-Identifier: Apache-2.0

//! The model in the path.
//!
//! A model's name may come from the client, and it becomes a segment of the path that is signed with the
//! gateway's credential. Only the characters that ids and ARNs are made of are taken
//! (`modelId` in <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), and those
//! that mean something in a path are percent-encoded, as AWS's own SDKs do.

use crate::api_error::ApiError;

/// The longest id or ARN.
const MAX_BYTES: usize = 2048;

/// The path of an operation on a model, for example `/model/amazon.nova-lite-v1%3A0/converse`.
///
/// # Errors
///
/// 400 for a name that is no id and no ARN.
pub(super) fn path(model: &str, operation: &str) -> Result<String, ApiError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = !model.is_empty()
        && model.len() <= MAX_BYTES
        // Dots alone are a step in the path and no name.
        && model.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && model.bytes().all(|byte| is_plain(byte) || matches!(byte, b':' | b'/'));
    if !is_name {
        let message = "model: expected the id or the ARN of a model at Amazon Bedrock";
        return Err(ApiError::bad_request("model", message));
    }
    let mut path = String::with_capacity(model.len().saturating_add(operation.len()).saturating_add(16));
    path.push_str("/model/");
    for character in model.chars() {
        match character {
            ':' => path.push_str("%3A"),
            '/' => path.push_str("%2F"),
            plain => path.push(plain),
        }
    }
    path.push('/');
    path.push_str(operation);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::path;

    #[crate::test]
    fn ids_and_arns_are_one_segment() {
        for (model, expected) in [
            (
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2",
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aprovisioned-model%2Fa1b2/converse",
            ),
        ] {
            assert_eq!(path(model, "converse").unwrap(), expected);
        }
    }

    #[crate::test]
    fn what_would_leave_the_segment_is_refused() {
        for model in [
            "", ".", "..", "../x?y", "a b", "a?b", "a#b", "a%2Fb", "a\\b", "a;b", "a\r\nb", "\u{e9}", "a&b",
        ] {
            let error = path(model, "converse").unwrap_err();
            assert_eq!(
                (error.status, error.param.as_deref()),
                (400, Some("model")),
                "{model:?}"
            );
        }
        assert!(path(&"a".repeat(2049), "converse").is_err());
        // A slash is encoded, so no segment can be a step upwards.
        assert_eq!(path("../x", "converse").unwrap(), "/model/..%2Fx/converse");
    }
}
