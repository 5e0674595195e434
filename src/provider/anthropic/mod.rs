// SPDX-License-Identifier: Apache-2.0

//! Anthropic Messages.

use super::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use crate::api_error::ApiError;

pub(super) fn translate_request(
    _body: &[u8],
    _settings: &Settings,
    _out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    Err(ApiError::new(501, "api_error", "not built yet"))
}

pub(super) fn translate_response(
    _body: &[u8],
    _settings: &Settings,
    _out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    Ok(Tally::default())
}

pub(super) fn translate_error(status: u16, _body: &[u8]) -> UpstreamFault {
    UpstreamFault {
        error: ApiError::new(status, "api_error", "not built yet"),
        is_retryable: true,
    }
}

/// Anthropic's stream, retold as OpenAI chunks.
pub struct MessageStream;

impl MessageStream {
    pub(super) fn new(_settings: &Settings, _request: &UpstreamRequest) -> Self {
        Self
    }
}

impl ResponseStream for MessageStream {
    fn on_bytes(&mut self, _chunk: &[u8], _out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        Ok(Progress::Preamble)
    }
    fn on_end(&mut self, _out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        Ok(())
    }
    fn tally(&self) -> Tally {
        Tally::default()
    }
}
