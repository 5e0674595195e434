// SPDX-License-Identifier: Apache-2.0

//! A provider that refuses the credential, or one whose credential is not there yet.
//!
//! If it is the gateway's, the caller can do nothing about it and must not take it for a refusal of its own credential, so it is told
//! that the gateway is at fault, in a sentence that holds nothing of the provider's: providers repeat parts of
//! the credential in theirs. The operator is told which provider it was. If the caller has brought it, the caller is
//! at fault, and no other provider is asked at the gateway's expense.

use super::ProviderSeat;
use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST};
use crate::clock::Timestamp;
use crate::handoff::CredentialOwner;
use crate::provider::UpstreamFault;
use core::time::Duration;

/// How often the log tells it of one provider, for each worker.
const INTERVAL: Duration = Duration::from_secs(60);

/// Whether this status refuses a credential.
pub(super) const fn is_refusal(status: u16) -> bool {
    matches!(status, 401 | 403)
}

/// What the caller is told. Another provider, with another credential, may do better.
pub(super) fn refused(owner: CredentialOwner) -> UpstreamFault {
    if owner == CredentialOwner::Caller {
        let message = "The provider refused the credential that you brought for it.";
        return UpstreamFault {
            error: ApiError::new(401, INVALID_REQUEST, message).with_code("provider_credential_refused"),
            is_retryable: false,
        };
    }
    let message = "The provider refused the gateway's credential.";
    UpstreamFault {
        error: ApiError::new(502, API_ERROR, message).with_code("upstream_credential_refused"),
        is_retryable: true,
    }
}

/// What the caller is told while no access token for the provider has come.
pub(super) fn awaited(provider: &str) -> ApiError {
    let message = format!("The gateway has no access token for the provider {provider} yet. Try again soon.");
    ApiError::new(503, API_ERROR, message).with_code("upstream_credential_unavailable")
}

/// Puts [`refused`] in place of a fault that means it, and tells whether it is the
/// operator's to know. A fault that no other provider
/// could mend is one of the request, whatever its status (a prompt that moderation has flagged). A translator whose
/// provider refuses credentials with another status says so by the code.
pub(super) fn replace(fault: &mut UpstreamFault, owner: CredentialOwner) -> bool {
    let is_refused = fault.is_retryable
        && (is_refusal(fault.error.status)
            || fault.error.code.as_deref() == Some("upstream_credential_refused"));
    if is_refused {
        *fault = refused(owner);
    }
    is_refused && owner != CredentialOwner::Caller
}

impl ProviderSeat {
    /// Whether the log should tell at `now` that the provider has refused the credential.
    #[must_use]
    pub fn is_refusal_news(&self, now: Timestamp) -> bool {
        let is_news = self
            .told_of_refusal
            .get()
            .is_none_or(|last| now.since(last) >= INTERVAL);
        if is_news {
            self.told_of_refusal.set(Some(now));
        }
        is_news
    }
}
