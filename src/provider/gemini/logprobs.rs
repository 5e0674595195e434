// SPDX-License-Identifier: Apache-2.0

//! Log probabilities (<https://ai.google.dev/api/generate-content#LogprobsResult>).

use crate::protocol::gemini::response::{LogprobsCandidate, LogprobsResult};
use crate::protocol::openai::completion::{Logprob, Logprobs, LogprobsStep};
use serde_json::Number;
use std::borrow::Cow;

/// The counterpart of Gemini's log probabilities.
pub(super) fn logprobs<'a>(result: &'a LogprobsResult<'a>) -> Logprobs<'a> {
    let chosen = result.chosen_candidates.as_deref().unwrap_or_default();
    let top = result.top_candidates.as_deref().unwrap_or_default();
    let content = chosen.iter().enumerate().map(|(step, chosen)| {
        let alternatives = top.get(step).and_then(|step| step.candidates.as_deref());
        LogprobsStep {
            chosen: logprob(chosen),
            top_logprobs: alternatives.unwrap_or_default().iter().map(logprob).collect(),
        }
    });
    Logprobs {
        content: content.collect(),
        refusal: None,
    }
}

fn logprob<'a>(candidate: &'a LogprobsCandidate<'a>) -> Logprob<'a> {
    let text = candidate.text.as_deref().unwrap_or_default();
    Logprob {
        text: Cow::Borrowed(text),
        // A probability of one is 0, and like every 0 it may be left out.
        logprob: candidate
            .log_probability
            .clone()
            .unwrap_or_else(|| Number::from(0)),
        bytes: text.as_bytes().to_vec(),
    }
}
