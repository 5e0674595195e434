// SPDX-License-Identifier: Apache-2.0

//! What is known of one provider model: running figures, how they move, and their bytes in the shared store.

use super::{Learned, PromptSize};

/// Tokens that a request has beside its text: roles, separators, the beginning of the answer.
const FRAME_TOKENS: f64 = 8.0;

/// Prompts with less text than this say more about their frame than about their text.
const MIN_TEXT_BYTES: u64 = 256;

/// Prompts with less text than this do not even say what may be exceeded.
const MIN_BOUND_BYTES: u64 = 64;

/// Answers with fewer tokens than this say little about bytes per token.
const MIN_OUTPUT_TOKENS: u64 = 8;

/// Answers with fewer tokens than this do not say how short tokens can be on the whole.
const MIN_SHORTEST_TOKENS: u64 = 32;

/// How many prompts of text have to be seen before anything else is learned from what the text does not explain.
const MIN_TEXT_LESSONS: u32 = 8;

/// How many answers have to be seen before what they are like replaces a default.
const MIN_OUTPUT_LESSONS: u32 = 8;

/// The part of answers that the expected output covers.
const QUANTILE: f32 = 0.9;

/// The largest output that is ever expected, in tokens.
const MAX_EXPECTED_OUTPUT: f32 = 1_000_000.0;

/// How far a bound stays above the mean, and above the last prompt that exceeded it.
const BOUND_MARGIN: f32 = 1.1;

/// What is thought possible of one event before any was seen: then bytes alone tell.
const MOST_TOKENS_PER_EVENT: f32 = 4_096.0;

const VERSION: u8 = 3;

/// The length of a model in the store.
pub(super) const BYTES: usize = 1 + KINDS * 12 + 3 * 8 + 4 * 4;

const KINDS: usize = 5;

/// A kind of content: what one unit of it costs before anything is learned, and within which limits it is believed.
#[derive(Clone, Copy)]
struct Kind {
    first: f32,
    /// The first bound.
    first_bound: f32,
    least: f32,
    most: f32,
}

/// By bytes: a quarter of a token at first.
const TEXT: Kind = Kind {
    first: 0.25,
    first_bound: 1.0 / 3.0,
    least: 0.05,
    most: 1.5,
};

/// By their number.
const IMAGE: Kind = Kind {
    first: 1_000.0,
    first_bound: 1_100.0,
    least: 16.0,
    most: 20_000.0,
};

/// By bytes of base64: 32 tokens for a second of 64 kbit/s, which is Google's count; OpenAI has ten.
const AUDIO: Kind = Kind {
    first: 1.0 / 333.0,
    first_bound: 1.0 / 200.0,
    least: 1.0 / 65_536.0,
    most: 1.0 / 16.0,
};

/// By bytes of base64: 3,000 tokens for a page of 100 KB.
const FILE: Kind = Kind {
    first: 1.0 / 33.0,
    first_bound: 1.0 / 20.0,
    least: 1.0 / 4_096.0,
    most: 1.5,
};

/// By bytes of JSON: like text.
const SCHEMA: Kind = TEXT;

/// In the order of a model's figures.
const ALL: [Kind; KINDS] = [TEXT, IMAGE, AUDIO, FILE, SCHEMA];

/// A positive figure that is learned, as its natural logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    log: f32,
    pub(super) lessons: u32,
}

impl Figure {
    fn new(value: f32) -> Self {
        Self {
            log: value.ln(),
            lessons: 0,
        }
    }

    pub(super) fn value(self) -> f64 {
        f64::from(self.log.exp())
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

/// What one unit of a kind of content costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) mean: Figure,
    /// What it hardly exceeds.
    bound: f32,
}

impl Rate {
    fn new(kind: Kind) -> Self {
        Self {
            mean: Figure::new(kind.first),
            bound: kind.first_bound,
        }
    }

    /// Follows what a unit has cost. The bound rises at once where `is_exceeded`, and sinks slowly.
    fn follow(&mut self, observed: f64, is_exceeded: bool, kind: Kind) {
        if is_exceeded {
            self.exceed(observed, kind);
        }
        self.mean = self.mean.follow(observed, kind.least, kind.most);
        let floor = (observed as f32).max(self.mean.log.exp()) * BOUND_MARGIN;
        self.bound += (floor - self.bound).min(0.0) / 32.0;
    }

    fn exceed(&mut self, observed: f64, kind: Kind) {
        self.bound = (observed as f32 * BOUND_MARGIN).min(kind.most * 4.0 / 3.0);
    }
}

/// What is known of one provider model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Model {
    /// By kind of content.
    rates: [Rate; KINDS],
    /// What nine answers in ten stay below.
    pub(super) output_tokens: Figure,
    /// Bytes for each token of the output that is seen.
    pub(super) bytes_per_output_token: Figure,
    /// One more than the tokens of an answer that are not seen: reasoning that the provider keeps to itself.
    hidden: Figure,
    pub(super) relative_error: f32,
    /// The largest answer of late.
    largest_output: f32,
    /// The fewest bytes for each output token of late, over a whole answer.
    pub(super) least_bytes_per_token: f32,
    /// The most output tokens for each event of a stream of late, over a whole answer.
    pub(super) most_tokens_per_event: f32,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            rates: ALL.map(Rate::new),
            output_tokens: Figure::new(1.0),
            bytes_per_output_token: Figure::new(4.0),
            hidden: Figure::new(1.0),
            relative_error: 0.0,
            largest_output: 0.0,
            least_bytes_per_token: 3.2,
            most_tokens_per_event: MOST_TOKENS_PER_EVENT,
        }
    }
}

impl Model {
    pub(super) const fn text(&self) -> &Figure {
        let [text, ..] = &self.rates;
        &text.mean
    }

    /// What the prompt costs by these figures, rounded up kind by kind.
    fn sum(&self, prompt: PromptSize, rate: impl Fn(&Rate) -> f64) -> f64 {
        let units = prompt.units();
        let costs = units.iter().zip(&self.rates).map(|(units, each)| {
            if *units == 0 {
                return 0.0;
            }
            // A quarter has no exact logarithm: shave the rounding off, lest 400 bytes make 101 tokens.
            (*units as f64 * rate(each) - 1e-3).max(0.0).ceil()
        });
        costs.sum()
    }

    pub(super) fn input_tokens(&self, prompt: PromptSize) -> f64 {
        FRAME_TOKENS + self.sum(prompt, |rate| rate.mean.value())
    }

    pub(super) fn input_tokens_bound(&self, prompt: PromptSize) -> f64 {
        let bound = |rate: &Rate| f64::from(rate.bound);
        (2.0 * FRAME_TOKENS + self.sum(prompt, bound)).max(self.input_tokens(prompt))
    }

    /// What nine answers in ten stay below, once enough were seen.
    pub(super) fn expected_output(&self) -> Option<f64> {
        let figure = self.output_tokens;
        (figure.lessons >= MIN_OUTPUT_LESSONS).then(|| figure.value())
    }

    /// The largest answer of late, once enough were seen.
    pub(super) fn largest_output(&self) -> Option<f64> {
        (self.output_tokens.lessons >= MIN_OUTPUT_LESSONS).then(|| f64::from(self.largest_output))
    }

    /// Tokens of an answer that are usually not seen.
    pub(super) fn hidden_tokens(&self) -> f64 {
        (self.hidden.value() - 1.0).max(0.0).round()
    }

    pub(super) fn learn(mut self, prompt: PromptSize, tally: Learned) -> Self {
        if let Some(reported) = tally.input_tokens.filter(|reported| *reported > 0) {
            self.learn_input(prompt, reported as f64);
        }
        if let Some(reported) = tally.output_tokens.filter(|reported| *reported > 0) {
            self.learn_output(reported, tally);
        }
        self
    }

    fn learn_output(&mut self, reported: u64, tally: Learned) {
        self.output_tokens = self.output_tokens.follow_quantile(reported as f64);
        self.largest_output = (reported as f32)
            .min(MAX_EXPECTED_OUTPUT)
            .max(self.largest_output * 0.999);
        if reported < MIN_OUTPUT_TOKENS || tally.output_bytes == 0 {
            return;
        }
        let hidden = self.hidden_of(reported, tally);
        let seen = reported.saturating_sub(hidden).max(1);
        let observed = tally.output_bytes as f64 / seen as f64;
        self.hidden = self.hidden.follow(hidden as f64 + 1.0, 1.0, MAX_EXPECTED_OUTPUT);
        self.bytes_per_output_token = self.bytes_per_output_token.follow(observed, 0.5, 16.0);
        if seen >= MIN_SHORTEST_TOKENS {
            let usual = self.bytes_per_output_token.log.exp();
            let risen = self.least_bytes_per_token + (usual - self.least_bytes_per_token).max(0.0) / 256.0;
            self.least_bytes_per_token = risen.min(observed as f32).clamp(0.5, 16.0);
            self.learn_events(seen as f32, tally.output_events);
        }
    }

    fn learn_events(&mut self, seen: f32, events: u64) {
        if events == 0 {
            return;
        }
        let observed = (seen / events as f32).clamp(1.0, MOST_TOKENS_PER_EVENT);
        let is_first = self.most_tokens_per_event >= MOST_TOKENS_PER_EVENT;
        let most = self.most_tokens_per_event;
        let sunk = if is_first {
            observed
        } else {
            most + (observed - most).min(0.0) / 256.0
        };
        self.most_tokens_per_event = sunk.max(observed);
    }

    /// The reasoning of an answer, unless it was among the bytes that were seen: they tell, for a token of what is
    /// seen takes about the bytes that it always does.
    fn hidden_of(&self, reported: u64, tally: Learned) -> u64 {
        let reasoning = tally.reasoning_tokens.unwrap_or(0).min(reported);
        let off = |seen: u64| {
            let observed = tally.output_bytes as f32 / seen.max(1) as f32;
            (observed.ln() - self.bytes_per_output_token.log).abs()
        };
        if reasoning > 0 && off(reported.saturating_sub(reasoning)) < off(reported) {
            reasoning
        } else {
            0
        }
    }

    fn learn_input(&mut self, prompt: PromptSize, reported: f64) {
        let [text, _, _, _, schema] = prompt.units();
        let is_exceeded = reported > self.input_tokens_bound(prompt);
        let others = prompt.units().iter().skip(1).filter(|units| **units > 0).count();
        let knows_text = self.text().lessons >= MIN_TEXT_LESSONS;
        match others {
            0 => self.learn_text(prompt, text, reported, is_exceeded),
            // Who always sends tools never sends text alone: both are taken for alike until they can be told apart.
            1 if schema > 0 && !knows_text => {
                self.learn_text(prompt, text.saturating_add(schema), reported, is_exceeded);
                let [text, _, _, _, schema] = &mut self.rates;
                *schema = *text;
            }
            1 if knows_text => self.learn_other(prompt, reported, is_exceeded),
            // Of several unknowns nothing can be said.
            _ => {}
        }
    }

    fn learn_text(&mut self, prompt: PromptSize, bytes: u64, reported: f64, is_exceeded: bool) {
        let estimate = self.input_tokens(prompt);
        let [text, ..] = &mut self.rates;
        let observed = (reported - FRAME_TOKENS) / bytes.max(1) as f64;
        if bytes < MIN_TEXT_BYTES {
            if bytes >= MIN_BOUND_BYTES && is_exceeded {
                text.exceed(observed, TEXT);
            }
            return;
        }
        // An error above 100 % counts as 100 %.
        let error = ((estimate - reported).abs() / reported).min(1.0) as f32;
        let gain = (1.0 / (text.mean.lessons as f32 + 1.0)).max(1.0 / 32.0);
        self.relative_error += gain * (error - self.relative_error);
        text.follow(observed, is_exceeded, TEXT);
    }

    /// Learns the one other kind of a prompt from what its text does not explain.
    fn learn_other(&mut self, prompt: PromptSize, reported: f64, is_exceeded: bool) {
        let text = PromptSize {
            text_bytes: prompt.text_bytes,
            ..PromptSize::default()
        };
        let rest = reported - self.input_tokens(text);
        let kinds = prompt.units().into_iter().zip(ALL).zip(&mut self.rates).skip(1);
        for ((units, kind), rate) in kinds.filter(|((units, _), _)| *units > 0) {
            rate.follow(rest / units as f64, is_exceeded, kind);
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BYTES);
        out.push(VERSION);
        for rate in &self.rates {
            put_figure(rate.mean, &mut out);
            out.extend_from_slice(&rate.bound.to_le_bytes());
        }
        for figure in [self.output_tokens, self.bytes_per_output_token, self.hidden] {
            put_figure(figure, &mut out);
        }
        for number in [
            self.relative_error,
            self.largest_output,
            self.least_bytes_per_token,
            self.most_tokens_per_event,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// Bytes that are no model are a model that has learned nothing.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, mut rest) = bytes.split_first()? else {
            return None;
        };
        let mut model = Self::default();
        for rate in &mut model.rates {
            rate.mean = take_figure(&mut rest)?;
            rate.bound = take_number(&mut rest)?;
        }
        for figure in [
            &mut model.output_tokens,
            &mut model.bytes_per_output_token,
            &mut model.hidden,
        ] {
            *figure = take_figure(&mut rest)?;
        }
        for number in [
            &mut model.relative_error,
            &mut model.largest_output,
            &mut model.least_bytes_per_token,
            &mut model.most_tokens_per_event,
        ] {
            *number = take_number(&mut rest)?;
        }
        rest.is_empty().then_some(model)
    }
}

fn put_figure(figure: Figure, out: &mut Vec<u8>) {
    out.extend_from_slice(&figure.log.to_le_bytes());
    out.extend_from_slice(&figure.lessons.to_le_bytes());
}

/// A number that is none of ours is sorted out: all lie within this.
fn take_number(bytes: &mut &[u8]) -> Option<f32> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(f32::from_le_bytes(*number)).filter(|number| (0.0..=2_000_000.0).contains(number))
}

fn take_figure(bytes: &mut &[u8]) -> Option<Figure> {
    let (log, rest) = bytes.split_first_chunk::<4>()?;
    let (lessons, rest) = rest.split_first_chunk::<4>()?;
    *bytes = rest;
    let log = f32::from_le_bytes(*log);
    // All bounds of all figures lie within this; it also sorts out what is no number.
    (-12.0..=14.0).contains(&log).then_some(Figure {
        log,
        lessons: u32::from_le_bytes(*lessons),
    })
}
