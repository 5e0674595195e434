// SPDX-License-Identifier: Apache-2.0

//! Counts of model tokens, and estimates of them.

pub mod estimate;
pub mod price;
mod token_usage;

pub use token_usage::TokenUsage;
