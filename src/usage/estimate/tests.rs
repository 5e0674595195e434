// SPDX-License-Identifier: Apache-2.0

//! How estimates begin, learn and resist.

use super::model::BYTES;
use super::{Estimator, Learned, Model, PromptSize, key};
use crate::shared_store::{Conflict, LocalStore, SharedStore};

const fn text(text_bytes: u64) -> PromptSize {
    PromptSize {
        text_bytes,
        images: 0,
        audio_bytes: 0,
        file_bytes: 0,
        schema_bytes: 0,
    }
}

/// So many models of one provider.
fn estimator(models: usize) -> Estimator {
    Estimator::new(["m-0", "m-1"].into_iter().take(models).map(|model| ("p", model)))
}

const fn input(input_tokens: u64) -> Learned {
    Learned {
        input_tokens: Some(input_tokens),
        output_tokens: None,
        reasoning_tokens: None,
        output_bytes: 0,
        output_events: 0,
    }
}

const fn output(output_tokens: u64, output_bytes: u64) -> Learned {
    Learned {
        input_tokens: None,
        output_tokens: Some(output_tokens),
        reasoning_tokens: None,
        output_bytes,
        output_events: 0,
    }
}

/// A number below 1,000 that looks random.
const fn dice(n: u64) -> u64 {
    (n.wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
        >> 33)
        % 1_000
}

#[track_caller]
fn about(found: u64, expected: u64, percent: u64) {
    let off = found.abs_diff(expected) * 100;
    assert!(
        off <= expected * percent,
        "expected about {expected}, found {found}"
    );
}

#[crate::test]
fn before_anything_is_learned_the_defaults_hold() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for (bytes, tokens) in [
        (0, 8),
        (1, 9),
        (4, 9),
        (5, 10),
        (400, 108),
        (4_000_001, 1_000_009),
    ] {
        assert_eq!(estimator.input_tokens(0, text(bytes), &store), tokens, "{bytes}");
    }
    let with_images = PromptSize {
        text_bytes: 400,
        images: 2,
        ..PromptSize::default()
    };
    assert_eq!(estimator.input_tokens(0, with_images, &store), 2_108);
    assert_eq!(estimator.output_tokens(0, 1_024, &store), 1_024);
    assert_eq!(estimator.output_tokens(0, 0, &store), 1);
    for (bytes, tokens) in [(0, 0), (1, 1), (4, 1), (5, 2), (4_000, 1_000)] {
        assert_eq!(estimator.tokens_of_output(0, bytes, &store), tokens, "{bytes}");
    }
    assert_eq!(estimator.relative_error(0, &store), None);
    assert_eq!(
        estimator.input_tokens(9, text(400), &store),
        108,
        "an unknown model has the defaults"
    );
}

#[crate::test]
fn the_ratio_of_text_is_learned_from_any_beginning() {
    for (per_thousand_bytes, lessons) in [(60, 40), (180, 20), (250, 20), (400, 20), (1_400, 40)] {
        let (estimator, store) = (estimator(2), LocalStore::default());
        for n in 0..lessons {
            let bytes = 1_000 + dice(n) * 20;
            estimator.learn(
                0,
                text(bytes),
                input(8 + bytes * per_thousand_bytes / 1_000),
                &store,
            );
        }
        about(
            estimator.input_tokens(0, text(10_000), &store),
            8 + per_thousand_bytes * 10,
            5,
        );
        assert_eq!(
            estimator.input_tokens(1, text(400), &store),
            108,
            "models learn apart"
        );
    }
}

#[crate::test]
fn absurd_reports_hardly_move_what_was_learned() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for n in 0..100 {
        estimator.learn(0, text(4_000 + n), input(1_008), &store);
    }
    let before = estimator.input_tokens(0, text(100_000), &store);
    for absurd in [1, u64::MAX, 900_000] {
        estimator.learn(0, text(4_000), input(absurd), &store);
        about(estimator.input_tokens(0, text(100_000), &store), before, 3);
    }
    for n in 0..1_000 {
        let reported = if n % 10 == 0 { 50_000 } else { 1_008 };
        estimator.learn(0, text(4_000), input(reported), &store);
    }
    about(estimator.input_tokens(0, text(100_000), &store), before, 12);
}

#[crate::test]
fn a_changed_workload_is_followed() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for _ in 0..500 {
        estimator.learn(0, text(4_000), input(1_008), &store);
    }
    for _ in 0..300 {
        estimator.learn(0, text(4_000), input(2_008), &store);
    }
    about(estimator.input_tokens(0, text(4_000), &store), 2_008, 3);
    // Once estimates are right again only now and then is one compared, so the error is forgotten more slowly.
    for _ in 0..1_000 {
        estimator.learn(0, text(4_000), input(2_008), &store);
    }
    assert!(estimator.relative_error(0, &store).unwrap() < 0.03);
}

#[crate::test]
fn images_are_learned_once_the_text_is_known() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    let prompt = PromptSize {
        text_bytes: 800,
        images: 3,
        ..PromptSize::default()
    };
    estimator.learn(0, prompt, input(208 + 3 * 85), &store);
    assert_eq!(store.get(&key("p", "m-0")), None, "the text is not known yet");
    for _ in 0..10 {
        estimator.learn(0, text(800), input(208), &store);
    }
    for _ in 0..60 {
        estimator.learn(0, prompt, input(208 + 3 * 85), &store);
    }
    about(estimator.input_tokens(0, prompt, &store), 463, 3);
    about(estimator.input_tokens(0, text(800), &store), 208, 1);
}

#[crate::test]
fn nine_answers_in_ten_stay_below_the_expected_output() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for n in 0..8 {
        assert_eq!(estimator.output_tokens(0, 777, &store), 777, "after {n}");
        estimator.learn(0, text(0), output(1 + dice(n), 0), &store);
    }
    let mut below = 0;
    for n in 8..4_008 {
        let answer = 1 + dice(n);
        below += u64::from(answer <= estimator.output_tokens(0, 777, &store));
        estimator.learn(0, text(0), output(answer, 0), &store);
    }
    assert!((3_480..=3_720).contains(&below), "{below} of 4000");
}

#[crate::test]
fn bytes_per_output_token_are_learned() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for n in 0..50 {
        estimator.learn(0, text(0), output(100 + n, (100 + n) * 3), &store);
        estimator.learn(0, text(0), output(2, 400), &store);
    }
    about(estimator.tokens_of_output(0, 3_000, &store), 1_000, 3);
}

#[crate::test]
fn what_is_not_reported_teaches_nothing() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for tally in [
        Learned::default(),
        input(0),
        output(0, 100),
        Learned {
            output_bytes: 9,
            ..Learned::default()
        },
    ] {
        estimator.learn(0, text(4_000), tally, &store);
    }
    estimator.learn(0, text(63), input(1_000), &store);
    estimator.learn(1, text(4_000), input(1_000), &store);
    assert_eq!(store.get(&key("p", "m-0")), None);
    assert_eq!(store.get(&key("p", "m-1")), None);
}

#[crate::test]
fn figures_stay_within_their_bounds() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for _ in 0..500 {
        estimator.learn(0, text(u64::MAX), input(1), &store);
        estimator.learn(
            0,
            PromptSize {
                text_bytes: 64,
                images: u64::MAX,
                ..PromptSize::default()
            },
            input(1),
            &store,
        );
        estimator.learn(0, text(0), output(u64::MAX, 1), &store);
    }
    assert_eq!(estimator.input_tokens(0, text(10_000), &store), 508);
    assert_eq!(
        estimator.input_tokens(
            0,
            PromptSize {
                text_bytes: 0,
                images: 10,
                ..PromptSize::default()
            },
            &store
        ),
        168
    );
    assert_eq!(estimator.tokens_of_output(0, 1_000, &store), 2_000);
    about(estimator.output_tokens(0, 1, &store), 1_000_000, 1);
    for _ in 0..500 {
        estimator.learn(0, text(256), input(u64::MAX), &store);
    }
    about(estimator.input_tokens(0, text(10_000), &store), 15_008, 1);
    let _ = estimator.input_tokens(
        0,
        PromptSize {
            text_bytes: u64::MAX,
            images: u64::MAX,
            ..PromptSize::default()
        },
        &store,
    );
}

#[crate::test]
fn foreign_bytes_are_a_model_that_has_learned_nothing() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    estimator.learn(0, text(4_000), input(3_000), &store);
    let (bytes, _) = store.get(&key("p", "m-0")).unwrap();
    assert_eq!(bytes.len(), BYTES);
    assert_eq!(BYTES, 101);
    assert_ne!(Model::read(&bytes), Model::default());
    for cut in 0..bytes.len() {
        assert_eq!(Model::read(&bytes[..cut]), Model::default());
    }
    let mut not_a_number = bytes.clone();
    not_a_number[1..5].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(Model::read(&not_a_number), Model::default());
    let newer: Vec<u8> = [4].into_iter().chain(bytes[1..].iter().copied()).collect();
    assert_eq!(Model::read(&newer), Model::default());
}

/// Refuses every write, and counts them.
struct Contended(core::cell::Cell<u32>);

impl SharedStore for Contended {
    fn get(&self, _: &str) -> Option<(Vec<u8>, u32)> {
        None
    }
    fn compare_and_swap(&self, _: &str, _: &[u8], _: Option<u32>) -> Result<(), Conflict> {
        self.0.set(self.0.get() + 1);
        Err(Conflict)
    }
}

#[crate::test]
fn a_lesson_is_offered_once() {
    let store = Contended(core::cell::Cell::new(0));
    estimator(1).learn(0, text(4_000), input(1_000), &store);
    assert_eq!(store.0.get(), 1);
}

/// What is reserved may not lie below what comes, whatever the prompts before it were like.
#[crate::test]
fn small_prompts_do_not_teach_how_large_ones_are_reserved() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for _ in 0..500 {
        estimator.learn(0, text(75), input(13), &store);
    }
    assert!(estimator.input_tokens_bound(0, text(4_000), &store) >= 1_010);
}

#[crate::test]
fn the_bound_rises_at_once_and_sinks_slowly() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for _ in 0..500 {
        estimator.learn(0, text(2_000), input(508), &store);
    }
    let settled = estimator.input_tokens_bound(0, text(2_000), &store);
    assert!((540..=580).contains(&settled), "{settled}");
    estimator.learn(0, text(2_000), input(1_208), &store);
    assert!(estimator.input_tokens_bound(0, text(2_000), &store) >= 1_208);
    for _ in 0..16 {
        estimator.learn(0, text(2_000), input(508), &store);
    }
    assert!(
        estimator.input_tokens_bound(0, text(2_000), &store) > 1_000,
        "one batch is not forgotten at once"
    );
}

/// A prompt of one kind of content beside text of this length.
fn beside(text_bytes: u64, kind: usize, units: u64) -> PromptSize {
    let mut prompt = text(text_bytes);
    match kind {
        0 => prompt.images = units,
        1 => prompt.audio_bytes = units,
        2 => prompt.file_bytes = units,
        _ => prompt.schema_bytes = units,
    }
    prompt
}

#[crate::test]
fn every_kind_of_content_costs_something_from_the_first() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for (kind, units, tokens) in [
        (0, 1, 1_000),
        (1, 66_600, 200),
        (2, 100_000, 3_031),
        (3, 400, 100),
    ] {
        let found = estimator.input_tokens(0, beside(400, kind, units), &store);
        about(found, 108 + tokens, 1);
        let bound = estimator.input_tokens_bound(0, beside(400, kind, units), &store);
        assert!(bound >= found + tokens / 20, "{bound} of {found}");
    }
}

#[crate::test]
fn every_kind_of_content_is_learned_by_itself_and_leaves_the_text_alone() {
    for (kind, units, tokens) in [(0, 2, 500), (1, 90_000, 90), (2, 80_000, 12_000), (3, 4_000, 700)] {
        let (estimator, store) = (estimator(1), LocalStore::default());
        for _ in 0..10 {
            estimator.learn(0, text(800), input(208), &store);
        }
        for _ in 0..80 {
            estimator.learn(0, beside(800, kind, units), input(208 + tokens), &store);
        }
        about(
            estimator.input_tokens(0, beside(800, kind, units), &store),
            208 + tokens,
            3,
        );
        about(estimator.input_tokens(0, text(800), &store), 208, 1);
        let more = beside(800, kind, units * 2);
        assert!(
            estimator.input_tokens_bound(0, more, &store) >= 200 + 2 * tokens,
            "{kind}"
        );
        let two = PromptSize {
            images: 1,
            audio_bytes: 9_000,
            ..text(800)
        };
        let before = estimator.input_tokens(0, two, &store);
        estimator.learn(0, two, input(9_000), &store);
        assert_eq!(
            estimator.input_tokens(0, two, &store),
            before,
            "two unknowns teach nothing"
        );
    }
}

#[crate::test]
fn who_always_sends_tools_is_learned_all_the_same() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    for n in 0..40 {
        let prompt = beside(1_000 + dice(n), 3, 6_000);
        estimator.learn(0, prompt, input(8 + (7_000 + dice(n)) / 5), &store);
    }
    about(
        estimator.input_tokens(0, beside(1_500, 3, 6_000), &store),
        1_508,
        5,
    );
}

#[crate::test]
fn reasoning_that_is_not_shown_is_learned_and_no_other() {
    let (estimator, store) = (estimator(2), LocalStore::default());
    for n in 0..60 {
        let reasoned = |output_bytes| Learned {
            reasoning_tokens: Some(300),
            ..output(400 + n, output_bytes)
        };
        // A hundred tokens and some are seen of the one, all of them of the other.
        estimator.learn(0, text(0), reasoned((100 + n) * 4), &store);
        estimator.learn(1, text(0), reasoned((400 + n) * 4), &store);
    }
    about(estimator.hidden_tokens(0, &store), 300, 3);
    assert_eq!(estimator.hidden_tokens(1, &store), 0);
    for model in [0, 1] {
        about(estimator.tokens_of_output(model, 4_000, &store), 1_000, 3);
    }
}

#[crate::test]
fn the_largest_answer_and_the_shortest_tokens_are_remembered_for_a_while() {
    let (estimator, store) = (estimator(1), LocalStore::default());
    assert_eq!(estimator.predict(0, text(9), &store).largest_output_tokens, None);
    for _ in 0..10 {
        estimator.learn(0, text(0), output(100, 400), &store);
    }
    estimator.learn(0, text(0), output(3_000, 6_600), &store);
    let seen = estimator.predict(0, text(9), &store);
    assert_eq!(seen.largest_output_tokens, Some(3_000));
    assert!((2.0..=2.3).contains(&seen.least_bytes_per_output_token));
    let in_events = |output_events| Learned {
        output_events,
        ..output(120, 480)
    };
    for (events, most) in [(60, 2.0), (20, 6.0), (120, 6.0)] {
        estimator.learn(0, text(0), in_events(events), &store);
        let found = estimator.predict(0, text(9), &store).most_tokens_per_event;
        assert!((found - most).abs() < 0.1, "{found}");
    }
    for _ in 0..2_000 {
        estimator.learn(0, text(0), output(100, 400), &store);
    }
    let later = estimator.predict(0, text(9), &store);
    assert!(later.largest_output_tokens < Some(600));
    assert!(later.least_bytes_per_output_token > 3.5);
}

#[crate::test]
fn of_several_models_the_one_that_makes_most_of_a_prompt_counts() {
    let (estimator, store) = (estimator(2), LocalStore::default());
    for _ in 0..20 {
        estimator.learn(0, text(4_000), input(808), &store);
        estimator.learn(1, text(4_000), input(1_608), &store);
    }
    let either = estimator.predict_any([0, 1].into_iter(), text(4_000), &store);
    about(either.input_tokens, 1_608, 3);
    assert_eq!(
        either,
        estimator.predict_any([1, 0].into_iter(), text(4_000), &store)
    );
    assert_ne!(key("p", "m-0"), key("p", "m-1"));
}
