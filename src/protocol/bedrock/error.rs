// SPDX-License-Identifier: Apache-2.0

//! An error of an AWS service that speaks JSON
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>).

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The header that names an HTTP error, for example `ValidationException:http://internal.amazon.com/coral/`.
pub const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// The body of an error. Services and their front ends spell the message in two ways.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorBody<'a> {
    /// What went wrong.
    #[serde(borrow)]
    pub message: Option<Cow<'a, str>>,
    /// What went wrong, in the front ends' spelling.
    #[serde(borrow, rename = "Message")]
    pub capital_message: Option<Cow<'a, str>>,
    /// The error's name, where the header is missing.
    #[serde(borrow, rename = "__type")]
    pub kind: Option<Cow<'a, str>>,
    /// There in answers only: what has it is no error.
    pub output: Option<IgnoredAny>,
}

impl<'a> ErrorBody<'a> {
    /// The message, by either spelling.
    #[must_use]
    pub fn into_message(self) -> Option<Cow<'a, str>> {
        self.message.or(self.capital_message)
    }
}

/// The name of an error without namespace and address: `com.amazon#ThrottlingException:http://…` is
/// `ThrottlingException`.
#[must_use]
pub fn plain_kind(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or(kind);
    kind.rsplit('#').next().unwrap_or(kind).trim()
}

#[cfg(test)]
mod tests {
    use super::plain_kind;

    #[crate::test]
    fn names_lose_their_surroundings() {
        for (given, expected) in [
            ("ThrottlingException", "ThrottlingException"),
            (
                "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/",
                "AccessDeniedException",
            ),
            (
                "com.amazon.coral.service#UnknownOperationException",
                "UnknownOperationException",
            ),
            ("", ""),
        ] {
            assert_eq!(plain_kind(given), expected);
        }
    }
}
