// SPDX-License-Identifier: Apache-2.0

//! Estimates of tokens, learned from what providers report.
//!
//! Every answer says how many tokens its prompt had. So instead of carrying each vendor's tokenizer (30 MB, and
//! not public for Anthropic or Gemini), this keeps five running figures per provider model in shared memory:
//! tokens per byte of text, what a prompt hardly exceeds of them, tokens per image, bytes per output token, and the output that nine answers in ten
//! stay below. The exchange asks before a request and teaches after it.
//!
//! Ratios are averaged as logarithms, so twice as much and half as much weigh the same. Each lesson moves a figure
//! by a clipped step (Huber's influence function, <https://en.wikipedia.org/wiki/Huber_loss>) that shrinks with
//! experience to 1/32 of the difference: one absurd report moves a learned figure by about 1 %, and a changed
//! workload is followed within some hundred answers. The quantile moves up by 0.9 of a step when an answer was
//! larger and down by 0.1 when it was smaller (Robbins and Monro), which rests where one in ten is larger.
//!
//! Before anything is learned: text bytes / 4 rounded up, 1,000 tokens per image, 8 tokens for the frame of a
//! request, 4 bytes per output token. Figures stay within 0.05 to 1.5 tokens per byte, 16 to 20,000 tokens per
//! image and 0.5 to 16 bytes per output token, whatever is reported.
//!
//! Two workers that learn at once may lose one of the two lessons: one compare-and-swap is tried, and no more. The
//! store grows by one key of 41 bytes per provider model, fixed at configuration.

use crate::shared_store::SharedStore;
use std::cell::RefCell;

/// Tokens that a request has beside its text: roles, separators, the beginning of the answer.
const FRAME_TOKENS: f64 = 8.0;

/// Prompts with less text than this say more about their frame than about their text.
const MIN_TEXT_BYTES: u64 = 256;

/// Prompts with less text than this do not even say what may be exceeded.
const MIN_BOUND_BYTES: u64 = 64;

/// Answers with fewer tokens than this say little about bytes per token.
const MIN_OUTPUT_TOKENS: u64 = 8;

/// How many answers have to be seen before the learned output replaces the configured default.
const MIN_OUTPUT_LESSONS: u32 = 8;

/// How many prompts of text have to be seen before images are learned from what the text does not explain.
const MIN_TEXT_LESSONS: u32 = 8;

/// The part of answers that the expected output covers.
const QUANTILE: f32 = 0.9;

/// The largest output that is ever expected, in tokens.
const MAX_EXPECTED_OUTPUT: f32 = 1_000_000.0;

const VERSION: u8 = 2;

/// Tokens per byte that a prompt hardly exceeds, before anything is learned.
const FIRST_BOUND: f32 = 1.0 / 3.0;

/// How far the bound stays above the mean, and above the last prompt that exceeded it.
const BOUND_MARGIN: f32 = 1.1;

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptSize {
    /// Bytes of text.
    pub text_bytes: u64,
    /// Images.
    pub images: u64,
}

/// What an answer taught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Reported input tokens.
    pub input_tokens: Option<u64>,
    /// Reported output tokens.
    pub output_tokens: Option<u64>,
    /// Bytes of output that were seen.
    pub output_bytes: u64,
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
    /// Bytes that an output token usually takes.
    pub bytes_per_output_token: f64,
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
    /// An estimator for the given number of provider models; they are known by index. An index beyond it learns
    /// nothing.
    #[must_use]
    pub fn new(provider_models: usize) -> Self {
        let keys = (0..provider_models)
            .map(|index| format!("tollgate.estimate.v2.{index}"))
            .collect();
        let known = RefCell::new(vec![Known::default(); provider_models]);
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
        let expected = self.model(provider_model, store).output_tokens;
        if expected.lessons < MIN_OUTPUT_LESSONS {
            default.max(1)
        } else {
            to_tokens(f64::from(expected.log.exp()))
        }
    }

    /// Output tokens of `bytes` that were streamed without a count: 0 if there were none, else at least 1.
    #[must_use]
    pub fn tokens_of_output(&self, provider_model: usize, bytes: u64, store: &dyn SharedStore) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let bytes_per_token = self.model(provider_model, store).bytes_per_output_token;
        to_tokens(bytes as f64 / f64::from(bytes_per_token.log.exp()))
    }

    /// How far estimates of input tokens were off lately, as a part of the true count: 0.1 is 10 % too much or too
    /// little. `None` until something was learned.
    #[must_use]
    pub fn relative_error(&self, provider_model: usize, store: &dyn SharedStore) -> Option<f64> {
        let model = self.model(provider_model, store);
        (model.tokens_per_byte.lessons > 0).then_some(f64::from(model.relative_error))
    }

    /// All that can be said of a prompt beforehand.
    #[must_use]
    pub fn predict(&self, provider_model: usize, prompt: PromptSize, store: &dyn SharedStore) -> Prediction {
        let model = self.model(provider_model, store);
        let has_answers = model.output_tokens.lessons >= MIN_OUTPUT_LESSONS;
        Prediction {
            input_tokens: to_tokens(model.input_tokens(prompt)),
            input_bound: to_tokens(model.input_tokens_bound(prompt)),
            expected_output_tokens: has_answers.then(|| to_tokens(f64::from(model.output_tokens.log.exp()))),
            bytes_per_output_token: f64::from(model.bytes_per_output_token.log.exp()),
            tokens_per_byte: f64::from(model.tokens_per_byte.log.exp()),
            prompts_seen: model.tokens_per_byte.lessons,
            relative_error: f64::from(model.relative_error),
        }
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
        let Some(model) = known
            .model
            .filter(|model| model.tokens_per_byte.lessons >= WELL_KNOWN)
        else {
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

/// A positive figure that is learned, as its natural logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figure {
    log: f32,
    lessons: u32,
}

impl Figure {
    const fn new(log: f32) -> Self {
        Self { log, lessons: 0 }
    }

    /// Moves towards an observed value; both are kept within `[least, most]`.
    fn follow(self, observed: f64, least: f32, most: f32) -> Self {
        let experience = self.lessons as f32 + 1.0;
        let clip = (4.0 / experience).max(0.35);
        let gain = (1.0 / experience).max(1.0 / 32.0);
        let observed = (observed as f32).clamp(least, most).ln();
        let step = gain * (observed - self.log).clamp(-clip, clip);
        self.moved(step, least, most)
    }

    /// Moves towards the quantile of the observed values.
    fn follow_quantile(self, observed: f64) -> Self {
        let observed = (observed as f32).clamp(1.0, MAX_EXPECTED_OUTPUT).ln();
        let step = if self.lessons == 0 {
            observed - self.log
        } else {
            let gain = (2.0 / (self.lessons as f32 + 1.0)).max(0.05);
            if observed > self.log {
                gain * QUANTILE
            } else {
                -gain * (1.0 - QUANTILE)
            }
        };
        self.moved(step, 1.0, MAX_EXPECTED_OUTPUT)
    }

    fn moved(self, step: f32, least: f32, most: f32) -> Self {
        Self {
            log: (self.log + step).clamp(least.ln(), most.ln()),
            lessons: self.lessons.saturating_add(1),
        }
    }
}

/// What is known of one provider model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Model {
    tokens_per_byte: Figure,
    tokens_per_image: Figure,
    output_tokens: Figure,
    bytes_per_output_token: Figure,
    relative_error: f32,
    /// Tokens per byte that a prompt hardly exceeds.
    bound_per_byte: f32,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            tokens_per_byte: Figure::new(-2.0 * core::f32::consts::LN_2),
            tokens_per_image: Figure::new(3.0 * core::f32::consts::LN_10),
            output_tokens: Figure::new(0.0),
            bytes_per_output_token: Figure::new(2.0 * core::f32::consts::LN_2),
            relative_error: 0.0,
            bound_per_byte: FIRST_BOUND,
        }
    }
}

impl Model {
    fn text_tokens(&self, prompt: PromptSize) -> f64 {
        // A quarter has no exact logarithm: shave the rounding off, lest 400 bytes make 101 tokens.
        let ratio = f64::from(self.tokens_per_byte.log.exp());
        (prompt.text_bytes as f64 * ratio - 1e-3).max(0.0).ceil() + FRAME_TOKENS
    }

    fn input_tokens(&self, prompt: PromptSize) -> f64 {
        self.text_tokens(prompt) + prompt.images as f64 * f64::from(self.tokens_per_image.log.exp()).round()
    }

    fn input_tokens_bound(&self, prompt: PromptSize) -> f64 {
        let text = prompt.text_bytes as f64 * f64::from(self.bound_per_byte) + 2.0 * FRAME_TOKENS;
        let per_image = f64::from(self.tokens_per_image.log.exp() * BOUND_MARGIN);
        (text + prompt.images as f64 * per_image).max(self.input_tokens(prompt))
    }

    fn learn(mut self, prompt: PromptSize, tally: Learned) -> Self {
        if let Some(reported) = tally.input_tokens.filter(|reported| *reported > 0) {
            self.learn_input(prompt, reported as f64);
        }
        if let Some(reported) = tally.output_tokens.filter(|reported| *reported > 0) {
            self.output_tokens = self.output_tokens.follow_quantile(reported as f64);
            if reported >= MIN_OUTPUT_TOKENS && tally.output_bytes > 0 {
                let observed = tally.output_bytes as f64 / reported as f64;
                self.bytes_per_output_token = self.bytes_per_output_token.follow(observed, 0.5, 16.0);
            }
        }
        self
    }

    fn learn_input(&mut self, prompt: PromptSize, reported: f64) {
        if prompt.images == 0 {
            let observed = (reported - FRAME_TOKENS) / prompt.text_bytes.max(1) as f64;
            if prompt.text_bytes >= MIN_BOUND_BYTES && reported > self.input_tokens_bound(prompt) {
                self.bound_per_byte = (observed as f32 * BOUND_MARGIN).min(2.0);
            }
            if prompt.text_bytes < MIN_TEXT_BYTES {
                return;
            }
            // An error above 100 % counts as 100 %.
            let error = ((self.input_tokens(prompt) - reported).abs() / reported).min(1.0) as f32;
            let gain = (1.0 / (self.tokens_per_byte.lessons as f32 + 1.0)).max(1.0 / 32.0);
            self.relative_error += gain * (error - self.relative_error);
            self.tokens_per_byte = self.tokens_per_byte.follow(observed, 0.05, 1.5);
            let floor = (observed as f32).max(self.tokens_per_byte.log.exp()) * BOUND_MARGIN;
            self.bound_per_byte += (floor - self.bound_per_byte).min(0.0) / 32.0;
        } else if self.tokens_per_byte.lessons >= MIN_TEXT_LESSONS {
            let observed = (reported - self.text_tokens(prompt)) / prompt.images as f64;
            self.tokens_per_image = self.tokens_per_image.follow(observed, 16.0, 20_000.0);
        }
    }

    const fn figures(&self) -> [Figure; 4] {
        [
            self.tokens_per_byte,
            self.tokens_per_image,
            self.output_tokens,
            self.bytes_per_output_token,
        ]
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(41);
        out.push(VERSION);
        for figure in self.figures() {
            out.extend_from_slice(&figure.log.to_le_bytes());
            out.extend_from_slice(&figure.lessons.to_le_bytes());
        }
        out.extend_from_slice(&self.relative_error.to_le_bytes());
        out.extend_from_slice(&self.bound_per_byte.to_le_bytes());
        out
    }

    /// Bytes that are no model are a model that has learned nothing.
    fn read(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, mut rest) = bytes.split_first()? else {
            return None;
        };
        let tokens_per_byte = take_figure(&mut rest)?;
        let tokens_per_image = take_figure(&mut rest)?;
        let output_tokens = take_figure(&mut rest)?;
        let bytes_per_output_token = take_figure(&mut rest)?;
        let (relative_error, rest) = rest.split_first_chunk::<4>()?;
        let relative_error = f32::from_le_bytes(*relative_error);
        let bound_per_byte = f32::from_le_bytes(rest.try_into().ok()?);
        (relative_error.is_finite() && (0.0..=2.0).contains(&bound_per_byte)).then_some(Self {
            tokens_per_byte,
            tokens_per_image,
            output_tokens,
            bytes_per_output_token,
            relative_error,
            bound_per_byte,
        })
    }
}

fn take_figure(bytes: &mut &[u8]) -> Option<Figure> {
    let (log, rest) = bytes.split_first_chunk::<4>()?;
    let (lessons, rest) = rest.split_first_chunk::<4>()?;
    *bytes = rest;
    let log = f32::from_le_bytes(*log);
    // All bounds of all figures lie within this; it also sorts out what is no number.
    (-3.0..=14.0).contains(&log).then_some(Figure {
        log,
        lessons: u32::from_le_bytes(*lessons),
    })
}

/// Rounds up to a whole number of tokens, at least 1. Float casts saturate.
fn to_tokens(estimate: f64) -> u64 {
    ((estimate - 1e-3).ceil() as u64).max(1)
}

#[cfg(test)]
mod corpora;
#[cfg(test)]
mod tests;
