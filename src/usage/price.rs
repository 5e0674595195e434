// SPDX-License-Identifier: Apache-2.0

//! What tokens cost.
//!
//! Money is counted in pico-USD (10^-12 USD), in whole numbers. Vendors price a million tokens, with up to six
//! decimal places; one token of a price of 0.000001 USD per million costs exactly one pico-USD. So the cost of a
//! request, and of a month of them, is a sum of whole numbers without any rounding. 64 bits hold 18 million USD.

use super::TokenUsage;

/// Pico-USD in one micro-USD.
const PICO_PER_MICRO: u64 = 1_000_000;

/// Pico-USD in one USD.
pub const PICO_PER_USD: u64 = PICO_PER_MICRO * 1_000_000;

/// What each thing costs, in pico-USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostRates {
    /// An input token.
    pub input: u64,
    /// An input token that was read from a cache.
    pub cached_input: u64,
    /// An input token that was written to a cache.
    pub cache_write: u64,
    /// An output token.
    pub output: u64,
    /// An output token of reasoning.
    pub reasoning: u64,
    /// An image of the prompt.
    pub image: u64,
    /// A request.
    pub request: u64,
}

/// The price of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPrice {
    /// What it costs.
    pub rates: CostRates,
    /// With more input tokens than this, all of the request costs the second.
    pub long_prompt: Option<(u64, CostRates)>,
}

/// The most that a request may cost, in pico-USD: a fixed part, and for each token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostBound {
    /// The request and its images.
    pub fixed: u64,
    /// An input token.
    pub input: u64,
    /// An output token.
    pub output: u64,
}

impl ModelPrice {
    /// What one answered request costs, in pico-USD.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage, images: u64) -> u64 {
        let input_tokens = usage.input_tokens.unwrap_or(0);
        let output_tokens = usage.output_tokens.unwrap_or(0);
        let rates = self.rates_for(input_tokens);
        let cached = usage.cache_read_input_tokens.unwrap_or(0).min(input_tokens);
        let written = usage
            .cache_creation_input_tokens
            .unwrap_or(0)
            .min(input_tokens.saturating_sub(cached));
        let plain = input_tokens.saturating_sub(cached).saturating_sub(written);
        let reasoning = usage.reasoning_output_tokens.unwrap_or(0).min(output_tokens);
        [
            (1, rates.request),
            (images, rates.image),
            (plain, rates.input),
            (cached, rates.cached_input),
            (written, rates.cache_write),
            (output_tokens.saturating_sub(reasoning), rates.output),
            (reasoning, rates.reasoning),
        ]
        .iter()
        .fold(0, |sum: u64, (count, rate)| {
            sum.saturating_add(count.saturating_mul(*rate))
        })
    }

    /// What a request with so much input costs at the very most.
    #[must_use]
    pub fn bound(&self, input_tokens: u64, images: u64) -> CostBound {
        let rates = self.rates_for(input_tokens);
        CostBound {
            fixed: rates.request.saturating_add(images.saturating_mul(rates.image)),
            input: rates.input.max(rates.cached_input).max(rates.cache_write),
            output: rates.output.max(rates.reasoning),
        }
    }

    const fn rates_for(&self, input_tokens: u64) -> CostRates {
        match self.long_prompt {
            Some((above, rates)) if input_tokens > above => rates,
            _ => self.rates,
        }
    }
}

impl CostBound {
    /// The larger of two bounds in every part: for a request that may go either way.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            fixed: self.fixed.max(other.fixed),
            input: self.input.max(other.input),
            output: self.output.max(other.output),
        }
    }
}

/// An amount of pico-USD in USD, exactly, without zeros at its end: `0.000123`.
#[must_use]
pub fn usd(pico: u64) -> String {
    let (whole, part) = (pico / PICO_PER_USD, pico % PICO_PER_USD);
    if part == 0 {
        return whole.to_string();
    }
    let part = format!("{part:012}");
    format!("{whole}.{}", part.trim_end_matches('0'))
}

/// Pico-USD of an amount in micro-USD.
#[must_use]
pub const fn pico_from_micro(micro: u64) -> u64 {
    micro.saturating_mul(PICO_PER_MICRO)
}

#[cfg(test)]
mod tests {
    use super::{CostBound, CostRates, ModelPrice, PICO_PER_USD, usd};
    use crate::usage::TokenUsage;

    const RATES: CostRates = CostRates {
        input: 2_500_000,
        cached_input: 1_250_000,
        cache_write: 3_125_000,
        output: 10_000_000,
        reasoning: 12_000_000,
        image: 1_000_000_000,
        request: 7,
    };
    const PRICE: ModelPrice = ModelPrice {
        rates: RATES,
        long_prompt: Some((
            1_000,
            CostRates {
                input: 5_000_000,
                ..RATES
            },
        )),
    };

    #[crate::test]
    fn every_kind_of_token_has_its_price() {
        let usage = TokenUsage {
            input_tokens: Some(100),
            output_tokens: Some(50),
            cache_read_input_tokens: Some(30),
            cache_creation_input_tokens: Some(20),
            reasoning_output_tokens: Some(40),
        };
        let expected = 7
            + 2_000_000_000
            + 50 * 2_500_000
            + 30 * 1_250_000
            + 20 * 3_125_000
            + 10 * 10_000_000
            + 40 * 12_000_000;
        assert_eq!(PRICE.cost(&usage, 2), expected);
        assert_eq!(PRICE.cost(&TokenUsage::default(), 0), 7);
    }

    #[crate::test]
    fn a_long_prompt_has_a_price_of_its_own_and_parts_never_exceed_the_whole() {
        let long = TokenUsage {
            input_tokens: Some(1_001),
            cache_read_input_tokens: Some(9_000),
            ..TokenUsage::default()
        };
        assert_eq!(PRICE.cost(&long, 0), 7 + 1_001 * 1_250_000);
        assert_eq!(PRICE.bound(1_000, 0).input, 3_125_000);
        assert_eq!(
            PRICE.bound(1_001, 1),
            CostBound {
                fixed: 1_000_000_007,
                input: 5_000_000,
                output: 12_000_000
            }
        );
    }

    #[crate::test]
    fn a_month_of_the_smallest_costs_loses_nothing() {
        let price = ModelPrice {
            rates: CostRates {
                input: 1,
                output: 3,
                ..CostRates::default()
            },
            long_prompt: None,
        };
        let usage = TokenUsage {
            input_tokens: Some(7),
            output_tokens: Some(1),
            ..TokenUsage::default()
        };
        let month: u64 = (0..1_000_000).map(|_| price.cost(&usage, 0)).sum();
        assert_eq!(month, 10_000_000);
        assert_eq!(usd(month), "0.00001");
    }

    #[crate::test]
    fn money_is_written_exactly() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (PICO_PER_USD, "1"),
            (12_345_600_000_000, "12.3456"),
            (u64::MAX, "18446744.073709551615"),
        ] {
            assert_eq!(usd(pico), text);
        }
        let dearest = ModelPrice {
            rates: CostRates {
                output: u64::MAX,
                ..CostRates::default()
            },
            long_prompt: None,
        };
        let usage = TokenUsage {
            output_tokens: Some(u64::MAX),
            ..TokenUsage::default()
        };
        assert_eq!(dearest.cost(&usage, u64::MAX), u64::MAX, "saturates");
    }
}
