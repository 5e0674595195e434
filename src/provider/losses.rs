// SPDX-License-Identifier: Apache-2.0

//! What is taken out of a request that is otherwise passed on as it came ([`super::json_edit`]).
//!
//! An edit goes through an object member by member and cannot stop half way, so what is lost is collected, and refused
//! in the end if it is to be.

use super::dropped::{Dropped, is_told_by_answers, plain_name};
use super::unsupported::unsupported;
use crate::api_error::ApiError;
use crate::config::OnUnsupported;
use std::borrow::Cow;
use std::cell::RefCell;

/// Where a message stands.
pub(super) const MESSAGE: &str = "messages[]";
/// Where a call stands in it.
pub(super) const TOOL_CALL: &str = "messages[].tool_calls[]";

/// What has no counterpart.
#[derive(Default)]
pub(super) struct Losses {
    dropped: RefCell<Dropped>,
    /// The first loss that is a reason to refuse the request.
    refused: RefCell<Option<String>>,
}

impl Losses {
    /// A member of the object at `path`, which is empty for the request itself.
    pub(super) fn add(&self, path: &str, member: &str) {
        let dot = if path.is_empty() { "" } else { "." };
        let is_answer_s = matches!(path, MESSAGE | TOOL_CALL) && is_told_by_answers(member);
        let is_refusable = !is_answer_s;
        let path = [path, dot, plain_name(member)].concat();
        if is_refusable {
            self.refused.borrow_mut().get_or_insert_with(|| path.clone());
        }
        self.dropped.borrow_mut().add(path.into());
    }

    /// What was left out, or the refusal of the first of it.
    pub(super) fn into_dropped(
        self,
        on_unsupported: OnUnsupported,
    ) -> Result<Vec<Cow<'static, str>>, ApiError> {
        match (on_unsupported, self.refused.into_inner()) {
            (OnUnsupported::Reject, Some(first)) => Err(unsupported(first)),
            _ => Ok(self.dropped.into_inner().into_paths()),
        }
    }
}
