// SPDX-License-Identifier: Apache-2.0

//! What each provider's model costs: the operator's prices first, then the list that ships (`prices.json`).
//!
//! A name of the list stands for that model, its dated snapshots (`-2025-08-07`, `-20250805`, `-2505`) and `-latest`. It is
//! no prefix: `gpt-4o` says nothing of `gpt-4o-audio`. A model without a price has none, and is never guessed.

use super::rate_limit::RateLimiter;
use super::routing::Routes;
use crate::config::{ConfigError, Decimal, LongPrompt, Price, Provider, ProviderKind};
use crate::usage::price::{CostRates, ModelPrice, pico_from_micro};
use serde::Deserialize;
use std::collections::BTreeMap;

const SHIPPED: &str = include_str!("../../prices.json");

/// All prices.
#[derive(Debug, Default)]
pub struct Prices {
    own: Vec<(String, Pattern, ModelPrice)>,
    /// The vendor of each provider that has one in the list.
    vendors: BTreeMap<String, &'static str>,
    shipped: BTreeMap<String, BTreeMap<String, ModelPrice>>,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "about")]
    _about: String,
    vendors: BTreeMap<String, Vendor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vendor {
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "date")]
    _date: String,
    models: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    model: String,
    input: Decimal,
    cached_input: Option<Decimal>,
    cache_write: Option<Decimal>,
    output: Decimal,
    reasoning: Option<Decimal>,
    image: Option<Decimal>,
    request: Option<Decimal>,
    long_prompt: Option<LongPrompt>,
}

impl Prices {
    /// Reads the operator's prices and the list.
    ///
    /// # Errors
    ///
    /// A price of a provider that does not exist, or of a model that is no name and no prefix.
    pub fn new(own: &[Price], providers: &BTreeMap<String, Provider>) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let mut prices = Self {
            shipped: shipped(),
            ..Self::default()
        };
        for (index, price) in own.iter().enumerate() {
            let path = |key: &str| format!("prices[{index}].{key}");
            if !providers.contains_key(&price.provider) {
                let message = format!("expected a key of `providers`, found \"{}\"", price.provider);
                faults.push(ConfigError::new(path("provider"), message));
            }
            let name = price.model.strip_suffix('*');
            if price.model.is_empty() || name.unwrap_or(&price.model).contains('*') {
                let message = format!(
                    "expected a model's name or a prefix followed by one `*`, found \"{}\"",
                    price.model
                );
                faults.push(ConfigError::new(path("model"), message));
            }
            let pattern = name.map_or_else(
                || Pattern::Exact(price.model.clone()),
                |prefix| Pattern::Prefix(prefix.to_owned()),
            );
            prices
                .own
                .push((price.provider.clone(), pattern, ModelPrice::from(price)));
        }
        for (name, provider) in providers {
            if let Some(vendor) = vendor(provider.kind) {
                prices.vendors.insert(name.clone(), vendor);
            }
        }
        if faults.is_empty() {
            Ok(prices)
        } else {
            Err(faults)
        }
    }

    /// The price of a provider's model; `None` if nobody has said it. Of the operator's own the exact name wins
    /// over a prefix, and a longer prefix over a shorter one.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<ModelPrice> {
        let fits = |(whose, pattern, price): &(String, Pattern, ModelPrice)| {
            let length = match pattern {
                Pattern::Exact(name) => (name == model).then_some(usize::MAX),
                Pattern::Prefix(prefix) => model.starts_with(prefix.as_str()).then_some(prefix.len()),
            };
            length
                .filter(|_| whose == provider)
                .map(|length| (length, *price))
        };
        let own = self.own.iter().filter_map(fits).max_by_key(|(length, _)| *length);
        own.map(|(_, price)| price).or_else(|| {
            let models = self.shipped.get(*self.vendors.get(provider)?)?;
            models.get(model).or_else(|| models.get(undated(model)?)).copied()
        })
    }

    /// Targets whose price a limit has to know and nobody has said. Those that take any model are asked when it is named.
    #[must_use]
    pub fn missing(&self, routes: &Routes, limiter: &RateLimiter) -> Vec<ConfigError> {
        let mut faults = Vec::new();
        for route in routes.iter() {
            let Some(limit) = limiter.budgets_of(&route.name).next() else {
                continue;
            };
            let is_pattern = route.name.ends_with('*');
            for target in &route.targets {
                let name = target
                    .model
                    .as_deref()
                    .or_else(|| (!is_pattern).then_some(route.name.as_str()));
                if let Some(name) = name
                    && self.find(&target.provider, name).is_none()
                {
                    let message = format!(
                        "expected a price for `{name}` of provider `{}`, which serves `{}`: add it to `prices`",
                        target.provider, route.name
                    );
                    faults.push(ConfigError::new(format!("limits[{limit}].count"), message));
                }
            }
        }
        faults
    }
}

fn shipped() -> BTreeMap<String, BTreeMap<String, ModelPrice>> {
    // That it can be read is a test's business.
    let list = serde_json::from_str::<List>(SHIPPED).ok();
    list.into_iter()
        .flat_map(|list| list.vendors)
        .map(|(vendor, Vendor { models, .. })| {
            let models = models
                .into_iter()
                .map(|listed| (listed.model.clone(), ModelPrice::from(&listed)));
            (vendor, models.collect())
        })
        .collect()
}

/// Whose prices in the list are those of a provider. Who serves many vendors' models, or
/// models under names of the customer's, has prices of its own.
const fn vendor(kind: ProviderKind) -> Option<&'static str> {
    match kind {
        ProviderKind::Anthropic => Some("anthropic"),
        ProviderKind::Gemini => Some("google"),
        ProviderKind::Mistral => Some("mistral"),
        ProviderKind::OpenAi => Some("openai"),
        ProviderKind::AwsBedrock
        | ProviderKind::AwsSageMaker
        | ProviderKind::AzureOpenAi
        | ProviderKind::Cohere
        | ProviderKind::OpenAiCompatible
        | ProviderKind::OpenRouter
        | ProviderKind::VertexAi => None,
    }
}

/// A model's name without the date of its snapshot.
fn undated(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let (name, last) = model.rsplit_once('-')?;
    let is_number =
        |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(last, 8) || is_number(last, 4) {
        return Some(name);
    }
    let (name, month) = name.rsplit_once('-')?;
    let (name, year) = name.rsplit_once('-')?;
    (is_number(last, 2) && is_number(month, 2) && is_number(year, 4)).then_some(name)
}

/// Micro-USD for a million tokens are pico-USD for one.
fn rates(
    input: Decimal,
    cached_input: Option<Decimal>,
    cache_write: Option<Decimal>,
    output: Decimal,
    reasoning: Option<Decimal>,
) -> CostRates {
    CostRates {
        input: input.0,
        cached_input: cached_input.unwrap_or(input).0,
        cache_write: cache_write.unwrap_or(input).0,
        output: output.0,
        reasoning: reasoning.unwrap_or(output).0,
        image: 0,
        request: 0,
    }
}

fn long_rates(long: &LongPrompt) -> CostRates {
    rates(
        long.input,
        long.cached_input,
        long.cache_write,
        long.output,
        long.reasoning,
    )
}

/// The price of a model whose images and requests cost so much beside its tokens.
fn model_price(
    by_kind: CostRates,
    image: Option<Decimal>,
    request: Option<Decimal>,
    long_prompt: Option<&LongPrompt>,
) -> ModelPrice {
    let micro = |usd: Option<Decimal>| pico_from_micro(usd.unwrap_or_default().0);
    let beside = |rates: CostRates| CostRates {
        image: micro(image),
        request: micro(request),
        ..rates
    };
    ModelPrice {
        rates: beside(by_kind),
        long_prompt: long_prompt.map(|long| (long.above, beside(long_rates(long)))),
    }
}

impl From<&Price> for ModelPrice {
    fn from(price: &Price) -> Self {
        let by_kind = rates(
            price.input,
            price.cached_input,
            price.cache_write,
            price.output,
            price.reasoning,
        );
        model_price(by_kind, price.image, price.request, price.long_prompt.as_ref())
    }
}

impl From<&Listed> for ModelPrice {
    fn from(listed: &Listed) -> Self {
        let by_kind = rates(
            listed.input,
            listed.cached_input,
            listed.cache_write,
            listed.output,
            listed.reasoning,
        );
        model_price(by_kind, listed.image, listed.request, listed.long_prompt.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::{List, Listed, Prices, SHIPPED};
    use crate::config::{Price, Provider};
    use crate::usage::price::ModelPrice;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn prices(own: serde_json::Value) -> Result<Prices, Vec<String>> {
        let providers: BTreeMap<String, Provider> = serde_json::from_value(json!({
            "openai": {"kind": "openai", "endpoint": "https://a.example"},
            "claude": {"kind": "anthropic", "endpoint": "https://b.example"},
            "local": {"kind": "openai_compatible", "endpoint": "https://c.example"},
        }))
        .unwrap();
        let own: Vec<Price> = serde_json::from_value(own).unwrap();
        Prices::new(&own, &providers).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// Input and output price in USD per million tokens, times a million.
    fn found(prices: &Prices, provider: &str, model: &str) -> Option<(u64, u64)> {
        let rates = prices.find(provider, model)?.rates;
        Some((rates.input, rates.output))
    }

    #[crate::test]
    fn the_list_that_ships_can_be_read_and_names_each_model_once() {
        let list: List = serde_json::from_str(SHIPPED).unwrap();
        let listed: usize = list.vendors.values().map(|vendor| vendor.models.len()).sum();
        let kept: usize = super::shipped().values().map(BTreeMap::len).sum();
        assert!(listed > 40);
        assert_eq!(kept, listed);
        for models in super::shipped().values() {
            for (model, price) in models {
                let rates = price.rates;
                assert!(
                    rates.cached_input <= rates.input && rates.input <= rates.output,
                    "{model}"
                );
                assert!(rates.input > 0, "{model}");
            }
        }
    }

    #[crate::test]
    fn the_list_may_name_all_that_a_price_of_one_s_own_may() {
        let text =
            r#"{"model": "m", "input": 1, "output": 2, "reasoning": 3, "image": 0.5, "request": 0.25}"#;
        let listed: Listed = serde_json::from_str(text).unwrap();
        let rates = ModelPrice::from(&listed).rates;
        assert_eq!(rates.reasoning, 3_000_000);
        assert_eq!((rates.image, rates.request), (500_000_000_000, 250_000_000_000));
        assert!(serde_json::from_str::<Listed>(&text.replace("image", "imgae")).is_err());
    }

    #[crate::test]
    fn a_listed_name_stands_for_its_snapshots_and_for_nothing_else() {
        let prices = prices(json!([])).unwrap();
        for model in ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-20240806", "gpt-4o-latest"] {
            assert_eq!(
                found(&prices, "openai", model),
                Some((2_500_000, 10_000_000)),
                "{model}"
            );
        }
        assert_eq!(
            found(&prices, "openai", "gpt-4o-2024-05-13"),
            Some((5_000_000, 15_000_000)),
            "a snapshot with a price of its own"
        );
        assert_eq!(
            found(&prices, "claude", "claude-haiku-4-5-20251001"),
            Some((1_000_000, 5_000_000))
        );
        for (provider, model) in [
            ("openai", "gpt-4o-audio-preview"),
            ("openai", "gpt"),
            ("openai", "claude-haiku-4-5"),
            ("local", "gpt-4o"),
            ("nobody", "gpt-4o"),
        ] {
            assert_eq!(found(&prices, provider, model), None, "{provider} {model}");
        }
    }

    #[crate::test]
    fn the_operator_s_own_prices_win_the_more_exact_first() {
        let prices = prices(json!([
            {"provider": "openai", "model": "gpt-4o*", "input": 1, "output": 2},
            {"provider": "openai", "model": "gpt-4o", "input": "0.5", "output": 3, "cached_input": 0.1, "image": 0.01},
            {"provider": "openai", "model": "gpt-4o-m*", "input": 7, "output": 8},
            {"provider": "local", "model": "*", "input": 0, "output": 0},
        ]))
        .unwrap();
        let rates = prices.find("openai", "gpt-4o").unwrap().rates;
        assert_eq!(
            (rates.input, rates.output, rates.cached_input),
            (500_000, 3_000_000, 100_000)
        );
        assert_eq!((rates.cache_write, rates.reasoning), (500_000, 3_000_000));
        assert_eq!(rates.image, 10_000_000_000);
        assert_eq!(
            found(&prices, "openai", "gpt-4o-mini"),
            Some((7_000_000, 8_000_000))
        );
        assert_eq!(found(&prices, "openai", "gpt-4o-x"), Some((1_000_000, 2_000_000)));
        assert_eq!(found(&prices, "local", "any"), Some((0, 0)));
        assert_eq!(found(&prices, "openai", "gpt-4.1"), Some((2_000_000, 8_000_000)));
    }

    #[crate::test]
    fn a_price_names_a_provider_and_a_model() {
        let faults = prices(json!([
            {"provider": "opnai", "model": "a*b", "input": 1, "output": 2},
            {"provider": "local", "model": "", "input": 1, "output": 2},
        ]));
        let expected = [
            "prices[0].provider: expected a key of `providers`, found \"opnai\"",
            "prices[0].model: expected a model's name or a prefix followed by one `*`, found \"a*b\"",
            "prices[1].model: expected a model's name or a prefix followed by one `*`, found \"\"",
        ];
        assert_eq!(faults.unwrap_err(), expected);
    }
}
