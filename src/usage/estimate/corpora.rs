// SPDX-License-Identifier: Apache-2.0

//! How far estimates are off after twenty prompts, on prompts of several languages whose tokens are known exactly.

use super::{Estimator, Learned, PromptSize};
use crate::shared_store::LocalStore;
use std::collections::BTreeMap;

const PROMPTS: &str = include_str!("../../../tests/fixtures/corpora/prompts.json");
const LESSONS: usize = 20;

/// Median and 95th percentile.
fn quantiles(mut errors: Vec<f64>) -> (f64, f64) {
    errors.sort_by(f64::total_cmp);
    let at = |part: f64| errors[((errors.len() - 1) as f64 * part).round() as usize];
    (at(0.5), at(0.95))
}

/// The errors on all other prompts after each run of twenty in a row has been learned.
fn errors(prompts: &[(u64, u64)], estimate: impl Fn(&Estimator, &LocalStore, u64) -> u64) -> (f64, f64) {
    let mut errors = Vec::new();
    for start in 0..prompts.len() {
        let (estimator, store) = (Estimator::new([("p", "m")]), LocalStore::default());
        let turned: Vec<_> = prompts.iter().cycle().skip(start).take(prompts.len()).collect();
        let (lessons, asked) = turned.split_at(LESSONS);
        for (text_bytes, tokens_counted) in lessons {
            let prompt = PromptSize {
                text_bytes: *text_bytes,
                ..PromptSize::default()
            };
            let learned = Learned {
                input_tokens: Some(*tokens_counted),
                ..Learned::default()
            };
            estimator.learn(0, prompt, learned, &store);
        }
        for (text_bytes, tokens_counted) in asked {
            let found = estimate(&estimator, &store, *text_bytes) as f64;
            errors.push((found / *tokens_counted as f64 - 1.0).abs());
        }
    }
    quantiles(errors)
}

#[crate::test]
fn twenty_prompts_teach_any_language() {
    let corpora: BTreeMap<String, Vec<(u64, u64)>> = serde_json::from_str(PROMPTS).unwrap();
    assert_eq!(corpora.len(), 10);
    for (name, prompts) in &corpora {
        let learned = errors(prompts, |estimator, store, text_bytes| {
            let prompt = PromptSize {
                text_bytes,
                ..PromptSize::default()
            };
            estimator.input_tokens(0, prompt, store)
        });
        let quarter = errors(prompts, |_, _, text_bytes| text_bytes.div_ceil(4));
        println!(
            "{name}: median {:.1} %, p95 {:.1} %; bytes/4: {:.1} %, {:.1} %",
            learned.0 * 100.0,
            learned.1 * 100.0,
            quarter.0 * 100.0,
            quarter.1 * 100.0
        );
        // Passages of code that are half comments differ more from one another than any one ratio can follow.
        let most = if name.starts_with("rust") {
            (0.065, 0.21)
        } else {
            (0.05, 0.15)
        };
        assert!(learned.0 < most.0 && learned.1 < most.1, "{name}: {learned:?}");
    }
}
