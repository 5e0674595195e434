// SPDX-License-Identifier: Apache-2.0

//! What a request is for, by its method and path.

use crate::api_error::{ApiError, INVALID_REQUEST};
use crate::provider::Operation;

/// What the gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `POST /v1/chat/completions` and the like: what a provider serves.
    Inference(Operation),
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/tollgate/usage`.
    Usage,
    /// `GET /healthz`, without credentials.
    Health,
}

impl Endpoint {
    /// Finds the endpoint; a query string does not matter.
    pub(super) fn find(method: &str, path: &str) -> Result<Self, ApiError> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let (endpoint, allowed) = match path {
            "/v1/chat/completions" => (Self::Inference(Operation::Chat), "POST"),
            "/v1/embeddings" => (Self::Inference(Operation::Embeddings), "POST"),
            "/v1/models" => (Self::Models, "GET"),
            "/v1/tollgate/usage" => (Self::Usage, "GET"),
            "/healthz" => (Self::Health, "GET"),
            _ => {
                return Err(
                    ApiError::new(404, INVALID_REQUEST, "Unknown request URL.").with_code("unknown_url")
                );
            }
        };
        if method == allowed || (method == "HEAD" && allowed == "GET") {
            return Ok(endpoint);
        }
        let message = format!("Expected the method {allowed} for this URL.");
        Err(ApiError::new(405, INVALID_REQUEST, message).with_code("method_not_supported"))
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;
    use crate::provider::Operation;

    #[crate::test]
    fn an_endpoint_is_found_by_method_and_path() {
        assert_eq!(
            Endpoint::find("POST", "/v1/chat/completions?x=1").unwrap(),
            Endpoint::Inference(Operation::Chat)
        );
        assert_eq!(
            Endpoint::find("POST", "/v1/embeddings").unwrap(),
            Endpoint::Inference(Operation::Embeddings)
        );
        assert_eq!(Endpoint::find("HEAD", "/healthz").unwrap(), Endpoint::Health);
        assert_eq!(
            Endpoint::find("GET", "/v1/chat/completions").unwrap_err().status,
            405
        );
        assert_eq!(
            Endpoint::find("POST", "/v1/chat/completions/")
                .unwrap_err()
                .status,
            404
        );
    }
}
