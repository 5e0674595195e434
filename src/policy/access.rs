// SPDX-License-Identifier: Apache-2.0

//! Which principal may use which model, and for what.
//!
//! A request is served if no `deny` rule fits it and, where there are `allow` rules, one of them does. So the order of
//! rules means nothing, and a rule can be read by itself. Without any `allow` rule the default decides.
//!
//! A model is *visible* to a principal if the smallest request for it would be served: text, not streamed, of no
//! length. A rule asks for no less of a larger request, so whatever is served is visible, and `GET /v1/models` lists
//! what can be used for something.
//!
//! One question costs at most two passes over the rules. The client's address costs a call to the host and is asked
//! for only where a rule names one.

mod network;
mod schedule;
#[cfg(test)]
mod tests;

use super::auth::Principal;
use super::connection::Connection;
use super::pattern::matches_pattern;
use crate::clock::Timestamp;
use crate::config::{
    AccessEffect, AccessEndpoint, AccessOptions, AccessRule, Capability, ConfigError, HiddenModels,
};
use core::cell::OnceCell;
use core::net::IpAddr;
use network::Network;
use schedule::Schedule;

/// What the access log calls the list of models that an API key has.
const KEY_MODELS: &str = "api_keys.models";

/// What no pattern names.
const ANY_MORE: char = char::MAX;

/// Who asks, from where and when.
pub struct Caller<'a> {
    principal: &'a Principal,
    connection: &'a dyn Connection,
    now: Timestamp,
    source: OnceCell<Option<IpAddr>>,
}

impl<'a> Caller<'a> {
    /// A caller of the request at hand.
    #[must_use]
    pub const fn new(principal: &'a Principal, connection: &'a dyn Connection, now: Timestamp) -> Self {
        Self {
            principal,
            connection,
            now,
            source: OnceCell::new(),
        }
    }

    fn source(&self) -> Option<IpAddr> {
        *self.source.get_or_init(|| self.connection.source_address())
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use<'a> {
    /// The model, as the client names it.
    pub model: &'a str,
    /// The endpoint.
    pub endpoint: AccessEndpoint,
    /// Whether the prompt holds images.
    pub images: bool,
    /// Whether the answer is to come in pieces.
    pub streaming: bool,
    /// Whether tools may be called.
    pub tools: bool,
    /// The estimated input, in tokens.
    pub input_tokens: u64,
    /// The output bound, in tokens; `u64::MAX` if there is none.
    pub output_tokens: u64,
}

impl<'a> Use<'a> {
    /// The smallest request for a model.
    #[must_use]
    pub const fn smallest(model: &'a str) -> Self {
        Self {
            model,
            endpoint: AccessEndpoint::ChatCompletions,
            images: false,
            streaming: false,
            tools: false,
            input_tokens: 0,
            output_tokens: 0,
        }
    }

    fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Images => self.images,
            Capability::Streaming => self.streaming,
            Capability::Tools => self.tools,
        }
    }
}

/// The emptiest prompt is estimated at half as many. A rule with a bound that no request keeps would allow nothing, and its
/// models would be listed.
const LEAST_INPUT_TOKENS: u64 = 16;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What of the request is too much.
    pub reason: Reason,
    /// The rule that refused it: its name, or its place as `access[2]`; `api_keys.models` if it was the key's own list,
    /// and `None` if no rule allowed it.
    pub rule: Option<String>,
}

/// What of a request is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model itself.
    Model,
    /// The model, of which the caller is not to know.
    HiddenModel,
    /// A capability.
    Capability(Capability),
    /// The input; at most so many tokens may be sent.
    InputTokens(u64),
    /// The output bound; at most so many tokens may be asked for.
    OutputTokens(u64),
    /// All of it together.
    Combination,
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    rules: Vec<Rule>,
    options: AccessOptions,
}

#[derive(Clone, Debug)]
struct Rule {
    written: AccessRule,
    label: String,
    source: Option<Vec<Network>>,
    schedule: Option<Schedule>,
}

impl AccessRules {
    /// Reads the rules.
    ///
    /// # Errors
    ///
    /// Every fault of `access`.
    pub fn new(rules: &[AccessRule], options: AccessOptions) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let rules = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| Rule::new(rule, format!("access[{index}]"), &mut faults))
            .collect();
        if faults.is_empty() {
            Ok(Self { rules, options })
        } else {
            Err(faults)
        }
    }

    /// The claims that the rules ask about.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let claims = self.rules.iter().flat_map(|rule| rule.written.claims.keys());
        claims.map(String::as_str)
    }

    /// Whether everybody may use everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.options.default == AccessEffect::Allow
    }

    /// Whether `caller` may use `model` for anything.
    #[must_use]
    pub fn shows(&self, caller: &Caller<'_>, model: &str) -> bool {
        let endpoints = [AccessEndpoint::ChatCompletions, AccessEndpoint::Embeddings];
        endpoints.into_iter().any(|endpoint| {
            let smallest = Use {
                endpoint,
                ..Use::smallest(model)
            };
            self.judge(caller, &smallest).is_ok()
        })
    }

    /// Names of models, beginning with `prefix`, such that whatever holds for any name that begins so, for this caller,
    /// holds for one of them: each name and prefix that a rule or the caller's key tells apart, and one name beyond it.
    pub fn distinct_names(&self, principal: &Principal, prefix: &str) -> Vec<String> {
        let rules = self.rules.iter().filter_map(|rule| rule.written.models.as_ref());
        let patterns = rules.chain(&principal.models).flatten();
        let mut names = vec![prefix.to_owned(), format!("{prefix}{ANY_MORE}")];
        for pattern in patterns.filter(|pattern| pattern.starts_with(prefix)) {
            names.push(pattern.clone());
            if let Some(stem) = pattern.strip_suffix('*').filter(|stem| stem.starts_with(prefix)) {
                names.push(stem.to_owned());
                names.push(format!("{stem}{ANY_MORE}"));
            }
        }
        names
    }

    /// The first rule that lets `caller` make this request, by its place; `None` if none does, or there are none.
    #[must_use]
    pub fn rule_for(&self, caller: &Caller<'_>, asked: &Use<'_>) -> Option<usize> {
        self.rules
            .iter()
            .position(|rule| rule.written.effect == AccessEffect::Allow && rule.fits(caller, asked))
    }

    /// Judges a request.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn check(&self, caller: &Caller<'_>, asked: &Use<'_>) -> Result<(), Refused> {
        self.judge(caller, asked).map_err(|rule| Refused {
            reason: self.reason(caller, asked),
            rule,
        })
    }

    /// The error is the rule that refuses.
    fn judge(&self, caller: &Caller<'_>, asked: &Use<'_>) -> Result<(), Option<String>> {
        let is_for_key = |models: &Vec<String>| is_listed(models, asked.model);
        if !caller.principal.models.as_ref().is_none_or(is_for_key) {
            return Err(Some(KEY_MODELS.to_owned()));
        }
        let mut is_allowed = None;
        for rule in &self.rules {
            match rule.written.effect {
                AccessEffect::Deny if rule.fits(caller, asked) => return Err(Some(rule.label.clone())),
                AccessEffect::Deny => {}
                AccessEffect::Allow if is_allowed == Some(true) => {}
                AccessEffect::Allow => is_allowed = Some(rule.fits(caller, asked)),
            }
        }
        if is_allowed.unwrap_or(self.options.default == AccessEffect::Allow) {
            Ok(())
        } else {
            Err(None)
        }
    }

    /// What of a refused request is too much, found by asking for less.
    fn reason(&self, caller: &Caller<'_>, asked: &Use<'_>) -> Reason {
        let smallest = Use {
            endpoint: asked.endpoint,
            ..Use::smallest(asked.model)
        };
        let is_refused = |less: Use<'_>| self.judge(caller, &less).is_err();
        if is_refused(smallest) {
            return match self.options.hidden_models {
                HiddenModels::NotFound if !self.shows(caller, asked.model) => Reason::HiddenModel,
                HiddenModels::Forbidden | HiddenModels::NotFound => Reason::Model,
            };
        }
        let each = [
            (
                Capability::Images,
                Use {
                    images: asked.images,
                    ..smallest
                },
            ),
            (
                Capability::Streaming,
                Use {
                    streaming: asked.streaming,
                    ..smallest
                },
            ),
            (
                Capability::Tools,
                Use {
                    tools: asked.tools,
                    ..smallest
                },
            ),
        ];
        if let Some((capability, _)) = each.into_iter().find(|(_, less)| is_refused(*less)) {
            return Reason::Capability(capability);
        }
        let highest = |bound: fn(&AccessRule) -> Option<u64>| {
            let allowing = self.rules.iter().filter(|rule| rule.fits(caller, &smallest));
            allowing
                .filter_map(|rule| bound(&rule.written))
                .max()
                .unwrap_or(0)
        };
        if is_refused(Use {
            input_tokens: asked.input_tokens,
            ..smallest
        }) {
            return Reason::InputTokens(highest(|rule| rule.max_input_tokens));
        }
        if is_refused(Use {
            output_tokens: asked.output_tokens,
            ..smallest
        }) {
            return Reason::OutputTokens(highest(|rule| rule.max_output_tokens));
        }
        Reason::Combination
    }
}

impl Rule {
    fn new(rule: &AccessRule, path: String, faults: &mut Vec<ConfigError>) -> Self {
        let mut fault =
            |key: &str, message: String| faults.push(ConfigError::new(format!("{path}.{key}"), message));
        let source = rule.source.as_ref().map(|networks| {
            let networks = networks.iter().enumerate().filter_map(|(index, text)| {
                let network = Network::parse(text);
                if network.is_none() {
                    let found = text.escape_debug();
                    let message = format!(
                        "expected an address, or a prefix such as \"10.0.0.0/8\" without bits beyond it, found \"{found}\""
                    );
                    fault(&format!("source[{index}]"), message);
                }
                network
            });
            networks.collect()
        });
        let schedule = rule.time.as_ref().and_then(|time| {
            Schedule::new(time)
                .map_err(|(key, message)| fault(&format!("time.{key}"), message))
                .ok()
        });
        for (key, bound, least) in [
            ("max_input_tokens", rule.max_input_tokens, LEAST_INPUT_TOKENS),
            ("max_output_tokens", rule.max_output_tokens, 1),
        ] {
            let Some(found) = bound else { continue };
            let message = match rule.effect {
                AccessEffect::Deny => {
                    "expected it in an `allow` rule, found it in one that denies".to_owned()
                }
                AccessEffect::Allow if found < least => {
                    format!("expected at least {least}, for no request asks for less, found {found}")
                }
                AccessEffect::Allow => continue,
            };
            fault(key, message);
        }
        for (key, is_empty) in [
            ("name", rule.name.as_ref().is_some_and(String::is_empty)),
            ("source", rule.source.as_ref().is_some_and(Vec::is_empty)),
            ("endpoints", rule.endpoints.as_ref().is_some_and(Vec::is_empty)),
        ] {
            if is_empty {
                fault(
                    key,
                    "expected at least one value, or no such key, found none".to_owned(),
                );
            }
        }
        Self {
            label: rule.name.clone().unwrap_or(path),
            written: rule.clone(),
            source,
            schedule,
        }
    }

    /// Whether every condition holds. The cheap ones come first.
    fn fits(&self, caller: &Caller<'_>, asked: &Use<'_>) -> bool {
        let rule = &self.written;
        concerns(rule, caller.principal)
            && rule
                .models
                .as_ref()
                .is_none_or(|models| is_listed(models, asked.model))
            && rule
                .endpoints
                .as_ref()
                .is_none_or(|endpoints| endpoints.contains(&asked.endpoint))
            && uses(rule, asked)
            && self
                .schedule
                .as_ref()
                .is_none_or(|schedule| schedule.holds(caller.now))
            && self.source.as_ref().is_none_or(|networks| {
                let source = caller.source();
                source.is_some_and(|source| networks.iter().any(|network| network.contains(source)))
            })
    }
}

fn is_listed(models: &[String], model: &str) -> bool {
    models.iter().any(|pattern| matches_pattern(pattern, model))
}

/// Whether every condition on the principal holds.
fn concerns(rule: &AccessRule, principal: &Principal) -> bool {
    rule.consumer
        .as_ref()
        .is_none_or(|consumer| *consumer == principal.consumer)
        && rule
            .team
            .as_ref()
            .is_none_or(|team| principal.team.as_ref() == Some(team))
        && rule
            .labels
            .iter()
            .all(|(name, value)| principal.labels.get(name) == Some(value))
        && rule.claims.iter().all(|(name, value)| {
            // Of a claim that is not known, the worse is assumed.
            principal
                .claims
                .get(name)
                .map_or(rule.effect == AccessEffect::Deny, |values| values.contains(value))
        })
}

/// Whether the conditions on what is used hold: nothing beyond it in a rule that allows, any of it in one that denies.
fn uses(rule: &AccessRule, asked: &Use<'_>) -> bool {
    const ALL: [Capability; 3] = [Capability::Images, Capability::Streaming, Capability::Tools];
    let Some(capabilities) = &rule.capabilities else {
        return is_within(rule, asked);
    };
    match rule.effect {
        AccessEffect::Deny => capabilities.iter().any(|capability| asked.has(*capability)),
        AccessEffect::Allow => {
            let mut used = ALL.into_iter().filter(|capability| asked.has(*capability));
            used.all(|capability| capabilities.contains(&capability)) && is_within(rule, asked)
        }
    }
}

fn is_within(rule: &AccessRule, asked: &Use<'_>) -> bool {
    rule.max_input_tokens
        .is_none_or(|most| asked.input_tokens <= most)
        && rule
            .max_output_tokens
            .is_none_or(|most| asked.output_tokens <= most)
}
