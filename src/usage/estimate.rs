// SPDX-License-Identifier: Apache-2.0

//! Estimates of tokens, learned from what providers report.
//!
//! Every answer says how many tokens its prompt had. So instead of carrying each vendor's tokenizer (30 MB, and
//! not public for Anthropic or Gemini), this keeps running figures per provider model in shared memory: what each
//! kind of content costs (a byte of text, an image, a byte of audio, of a file, of a tool's schema) and what a prompt
//! hardly exceeds of that, bytes per output token, the output that nine answers in ten stay below, and the reasoning
//! that an answer does not show. The exchange asks before a request and teaches after it.
//!
//! Ratios are averaged as logarithms, so twice as much and half as much weigh the same. Each lesson moves a figure
//! by a clipped step (Huber's influence function, <https://en.wikipedia.org/wiki/Huber_loss>) that shrinks with
//! experience to 1/32 of the difference: one absurd report moves a learned figure by about 1 %, and a changed
//! workload is followed within some hundred answers. The quantile moves up by 0.9 of a step when an answer was
//! larger and down by 0.1 when it was smaller (Robbins and Monro), which rests where one in ten is larger.
//!
//! Text is learned from prompts of nothing but text, and every other kind from prompts that hold it beside text, once
//! text is known. Who always sends tools has them taken for text until then.
//!
//! Before anything is learned: a quarter of a token for a byte of text or schema, 1,000 tokens per image, one token
//! for 333 bytes of base64 of audio and for 33 of a file, 8 tokens for the frame of a request, 4 bytes per output
//! token and 3.2 at least. `model` has the bounds within which reports are believed.
//!
//! Two workers that learn at once may lose one of the two lessons: one compare-and-swap is tried, and no more. The
//! store grows by one key of 101 bytes per provider model, fixed at configuration. The key is a digest of the
//! provider's and the model's name, so a configuration that lists others beside them learns on.

mod model;

use crate::shared_store::SharedStore;
use model::Model;
use sha2::{Digest, Sha256};
use std::cell::RefCell;

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptSize {
    /// Bytes of text.
    pub text_bytes: u64,
    /// Images.
    pub images: u64,
    /// Bytes of audio, as base64.
    pub audio_bytes: u64,
    /// Bytes of files, as base64.
    pub file_bytes: u64,
    /// Bytes of the tools' and the answer's JSON schemas.
    pub schema_bytes: u64,
}

impl PromptSize {
    /// How much there is of each kind of content.
    const fn units(self) -> [u64; 5] {
        [
            self.text_bytes,
            self.images,
            self.audio_bytes,
            self.file_bytes,
            self.schema_bytes,
        ]
    }

    /// Whether there is anything that says something of tokens.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What an answer taught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Reported input tokens.
    pub input_tokens: Option<u64>,
    /// Reported output tokens.
    pub output_tokens: Option<u64>,
    /// Reported tokens of reasoning, a part of the output.
    pub reasoning_tokens: Option<u64>,
    /// Bytes of output that were seen.
    pub output_bytes: u64,
    /// Events of a stream with output; 0 if they were not counted.
    pub output_events: u64,
}

/// What is expected of a prompt, and what that rests on.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// Input tokens, at least 1.
    pub input_tokens: u64,
    /// Input tokens that the prompt hardly exceeds: what to reserve. Above the estimate, because a limit holds only
    /// if what is reserved is not less than what comes.
    pub input_bound: u64,
    /// Output tokens that nine answers in ten stay below; `None` until enough were seen.
    pub expected_output_tokens: Option<u64>,
    /// The largest answer of late; `None` until enough were seen.
    pub largest_output_tokens: Option<u64>,
    /// Bytes that an output token usually takes.
    pub bytes_per_output_token: f64,
    /// The fewest bytes that an output token has taken of late, over a whole answer.
    pub least_bytes_per_output_token: f64,
    /// The most output tokens for each event of a stream of late, over a whole answer.
    pub most_tokens_per_event: f64,
    /// Input tokens for each byte of text.
    pub tokens_per_byte: f64,
    /// How many prompts taught that; 0: it is the default.
    pub prompts_seen: u32,
    /// How far estimates were off lately, as a part of the true count.
    pub relative_error: f64,
}

impl Prediction {
    /// Bytes that so many output tokens usually take; at least one for each.
    #[must_use]
    pub fn bytes_of_output(&self, output_tokens: u64) -> u64 {
        ((output_tokens as f64 * self.bytes_per_output_token).ceil() as u64).max(output_tokens)
    }

    /// What holds for either of two models: the larger of all that is reserved.
    fn or(self, other: Self) -> Self {
        let larger = if other.input_bound > self.input_bound {
            other
        } else {
            self
        };
        Self {
            input_tokens: self.input_tokens.max(other.input_tokens),
            expected_output_tokens: self.expected_output_tokens.max(other.expected_output_tokens),
            largest_output_tokens: self.largest_output_tokens.max(other.largest_output_tokens),
            bytes_per_output_token: self.bytes_per_output_token.max(other.bytes_per_output_token),
            least_bytes_per_output_token: self
                .least_bytes_per_output_token
                .min(other.least_bytes_per_output_token),
            most_tokens_per_event: self.most_tokens_per_event.max(other.most_tokens_per_event),
            ..larger
        }
    }
}

/// Learns how many tokens a provider model makes of a prompt.
#[derive(Debug, Default)]
pub struct Estimator {
    /// The keys of the provider models, in order.
    keys: Vec<String>,
    /// What this worker last read of each.
    known: RefCell<Vec<Known>>,
}

/// A model as it was read, and how long that may serve.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    model: Option<Model>,
    uses: u32,
    answers: u32,
}

/// How often a model is used before it is read again. The store is shared by all workers and each access costs
/// more than the arithmetic.
const USES: u32 = 16;

/// Of a model that has taught this much, one answer in `USES` is enough to follow it.
const WELL_KNOWN: u32 = 64;

/// An estimate that is off by more than this part of the truth is always a lesson.
const SURPRISE: f64 = 0.03;

impl Estimator {
    /// An estimator for these models, each with its provider; they are known by their place. A place beyond them
    /// learns nothing.
    #[must_use]
    pub fn new<'a>(provider_models: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let models = provider_models.into_iter();
        let keys: Vec<_> = models.map(|(provider, model)| key(provider, model)).collect();
        let known = RefCell::new(vec![Known::default(); keys.len()]);
        Self { keys, known }
    }

    /// Input tokens of a prompt for a provider model, at least 1.
    #[must_use]
    pub fn input_tokens(&self, provider_model: usize, prompt: PromptSize, store: &dyn SharedStore) -> u64 {
        to_tokens(self.model(provider_model, store).input_tokens(prompt))
    }

    /// Input tokens that a prompt hardly exceeds: what to reserve. Above the estimate, because a limit holds only
    /// if what is reserved is not less than what comes. Rises at once to what it was exceeded by, and sinks slowly.
    #[must_use]
    pub fn input_tokens_bound(
        &self,
        provider_model: usize,
        prompt: PromptSize,
        store: &dyn SharedStore,
    ) -> u64 {
        to_tokens(self.model(provider_model, store).input_tokens_bound(prompt))
    }

    /// Output tokens that a request without a bound is expected to take, at least 1: nine in ten take no more;
    /// `default` until something was learned.
    #[must_use]
    pub fn output_tokens(&self, provider_model: usize, default: u64, store: &dyn SharedStore) -> u64 {
        let expected = self.model(provider_model, store).expected_output();
        expected.map_or_else(|| default.max(1), to_tokens)
    }

    /// Output tokens of `bytes` that were streamed without a count: 0 if there were none, else at least 1.
    #[must_use]
    pub fn tokens_of_output(&self, provider_model: usize, bytes: u64, store: &dyn SharedStore) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let bytes_per_token = self.model(provider_model, store).bytes_per_output_token;
        to_tokens(bytes as f64 / bytes_per_token.value())
    }

    /// Output tokens of an answer that are usually not seen: reasoning that the provider keeps to itself.
    #[must_use]
    pub fn hidden_tokens(&self, provider_model: usize, store: &dyn SharedStore) -> u64 {
        self.model(provider_model, store).hidden_tokens() as u64
    }

    /// How far estimates of input tokens were off lately, as a part of the true count: 0.1 is 10 % too much or too
    /// little. `None` until something was learned.
    #[must_use]
    pub fn relative_error(&self, provider_model: usize, store: &dyn SharedStore) -> Option<f64> {
        let model = self.model(provider_model, store);
        (model.text().lessons > 0).then_some(f64::from(model.relative_error))
    }

    /// All that can be said of a prompt beforehand.
    #[must_use]
    pub fn predict(&self, provider_model: usize, prompt: PromptSize, store: &dyn SharedStore) -> Prediction {
        let model = self.model(provider_model, store);
        Prediction {
            input_tokens: to_tokens(model.input_tokens(prompt)),
            input_bound: to_tokens(model.input_tokens_bound(prompt)),
            expected_output_tokens: model.expected_output().map(to_tokens),
            largest_output_tokens: model.largest_output().map(to_tokens),
            bytes_per_output_token: model.bytes_per_output_token.value(),
            least_bytes_per_output_token: f64::from(model.least_bytes_per_token),
            most_tokens_per_event: f64::from(model.most_tokens_per_event),
            tokens_per_byte: model.text().value(),
            prompts_seen: model.text().lessons,
            relative_error: f64::from(model.relative_error),
        }
    }

    /// The same where any of several models may be asked: the most that one of them makes of it.
    #[must_use]
    pub fn predict_any(
        &self,
        provider_models: impl Iterator<Item = usize>,
        prompt: PromptSize,
        store: &dyn SharedStore,
    ) -> Prediction {
        let all = provider_models.map(|index| self.predict(index, prompt, store));
        all.reduce(Prediction::or)
            .unwrap_or_else(|| self.predict(usize::MAX, prompt, store))
    }

    /// Learns from an answer. What was not reported teaches nothing.
    pub fn learn(&self, provider_model: usize, prompt: PromptSize, tally: Learned, store: &dyn SharedStore) {
        let Some(key) = self.keys.get(provider_model) else {
            return;
        };
        if !self.is_due(provider_model, prompt, tally.input_tokens) {
            return;
        }
        let (old, version) = match store.get(key) {
            Some((bytes, version)) => (Model::read(&bytes), Some(version)),
            None => (Model::default(), None),
        };
        let new = old.learn(prompt, tally);
        if new != old {
            // A lesson that is lost to a conflict is lost: waiting for it would cost more than it is worth.
            let _ = store.compare_and_swap(key, &new.write(), version);
        }
        self.remember(provider_model, new);
    }

    /// Whether an answer is worth learning from: while little is known, when it surprises, and now and then.
    fn is_due(&self, provider_model: usize, prompt: PromptSize, reported: Option<u64>) -> bool {
        let Ok(mut known) = self.known.try_borrow_mut() else {
            return false;
        };
        let Some(known) = known.get_mut(provider_model) else {
            return false;
        };
        known.answers = known.answers.wrapping_add(1);
        let Some(model) = known.model.filter(|model| model.text().lessons >= WELL_KNOWN) else {
            return true;
        };
        let is_surprising = reported.is_some_and(|reported| {
            let reported = reported as f64;
            (model.input_tokens(prompt) - reported).abs() > reported * SURPRISE
                || reported > model.input_tokens_bound(prompt)
        });
        is_surprising || known.answers.is_multiple_of(USES)
    }

    fn remember(&self, provider_model: usize, model: Model) {
        if let Ok(mut known) = self.known.try_borrow_mut()
            && let Some(known) = known.get_mut(provider_model)
        {
            (known.model, known.uses) = (Some(model), 0);
        }
    }

    fn recall(&self, provider_model: usize) -> Option<Model> {
        let mut known = self.known.try_borrow_mut().ok()?;
        let known = known.get_mut(provider_model)?;
        known.uses += 1;
        known.model.filter(|_| known.uses < USES)
    }

    fn model(&self, provider_model: usize, store: &dyn SharedStore) -> Model {
        if let Some(model) = self.recall(provider_model) {
            return model;
        }
        let key = self.keys.get(provider_model);
        let model = key
            .and_then(|key| store.get(key))
            .map_or_else(Model::default, |(bytes, _)| Model::read(&bytes));
        self.remember(provider_model, model);
        model
    }
}

fn key(provider: &str, model: &str) -> String {
    let mut digest = Sha256::new();
    // No provider's name holds a zero byte, so no two pairs look alike.
    digest.update(provider.as_bytes());
    digest.update([0]);
    digest.update(model.as_bytes());
    let digest = digest.finalize();
    let mut key = String::from("tollgate.estimate.v3.");
    for byte in digest.iter().take(8) {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

/// Rounds up to a whole number of tokens, at least 1. Float casts saturate.
fn to_tokens(estimate: f64) -> u64 {
    ((estimate - 1e-3).ceil() as u64).max(1)
}

#[cfg(test)]
mod corpora;
#[cfg(test)]
mod tests;
