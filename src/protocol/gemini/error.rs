// SPDX-License-Identifier: Apache-2.0

//! Google's error object (<https://cloud.google.com/apis/design/errors>).

use serde::Deserialize;
use std::borrow::Cow;

/// The body of an answer with a status of 400 or above. Some endpoints send a list that holds one.
#[derive(Debug, Deserialize)]
pub struct ErrorResponse<'a> {
    /// What went wrong.
    #[serde(borrow)]
    pub error: Status<'a>,
}

/// What went wrong: `google.rpc.Status` as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status<'a> {
    /// The HTTP status.
    pub code: Option<u16>,
    /// For a person to read.
    #[serde(borrow)]
    pub message: Option<Cow<'a, str>>,
    /// A name of `google.rpc.Code`, for example `RESOURCE_EXHAUSTED`.
    #[serde(borrow)]
    pub status: Option<Cow<'a, str>>,
    /// More, each of its own type.
    #[serde(borrow)]
    pub details: Option<Vec<Detail<'a>>>,
}

/// More on an error, as far as it is acted on
/// (<https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Detail<'a> {
    /// For example `type.googleapis.com/google.rpc.RetryInfo`.
    #[serde(rename = "@type", borrow)]
    pub kind: Cow<'a, str>,
    /// `ErrorInfo`: for example `API_KEY_INVALID`.
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    /// `RetryInfo`: how long to wait, for example `37.5s`.
    #[serde(rename = "retryDelay", borrow)]
    pub retry_delay: Option<Cow<'a, str>>,
}
