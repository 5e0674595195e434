// SPDX-License-Identifier: Apache-2.0

//! Anthropic's error object (<https://docs.claude.com/en/api/errors>).

use serde::Deserialize;
use std::borrow::Cow;

/// The body of an answer with a status of 400 or above.
#[derive(Debug, Deserialize)]
pub struct ErrorResponse<'a> {
    /// What went wrong.
    #[serde(borrow)]
    pub error: ErrorObject<'a>,
}

/// What went wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorObject<'a> {
    /// For example `overloaded_error`.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Cow<'a, str>>,
    /// For a person to read.
    #[serde(borrow)]
    pub message: Option<Cow<'a, str>>,
}
