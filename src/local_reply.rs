// SPDX-License-Identifier: Apache-2.0

//! An answer of the gateway's own, in Envoy's word for it.

use crate::api_error::ApiError;
use core::time::Duration;

/// An answer that no provider gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl LocalReply {
    /// A JSON body.
    #[must_use]
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body,
        }
    }
}

impl From<&ApiError> for LocalReply {
    fn from(error: &ApiError) -> Self {
        let mut reply = Self::json(error.status, error.to_json());
        if let Some(wait) = error.retry_after {
            reply
                .headers
                .push(("retry-after", whole_seconds(wait).to_string()));
        }
        if error.status == 401 {
            reply.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        reply
    }
}

impl From<ApiError> for LocalReply {
    fn from(error: ApiError) -> Self {
        Self::from(&error)
    }
}

/// Seconds, rounded up: a client that waits that long has waited long enough.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::LocalReply;
    use crate::api_error::{ApiError, RATE_LIMIT};
    use core::time::Duration;

    #[crate::test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let error = ApiError::new(429, RATE_LIMIT, "Wait.").with_retry_after(Duration::from_millis(1200));
        let reply = LocalReply::from(&error);
        assert!(reply.headers.contains(&("retry-after", "2".to_owned())));
    }
}
