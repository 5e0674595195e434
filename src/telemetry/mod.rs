// SPDX-License-Identifier: Apache-2.0

//! What is told of an exchange when it is over. This room names values; the filter hands them to the host.

/// Where the token counts of an exchange come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSource {
    /// The provider reported nothing: they are estimated from what was seen.
    Estimated,
    /// The answer was cut short: they cover what was seen until then.
    Partial,
    /// The provider reported them.
    Reported,
}

impl UsageSource {
    /// The value in access logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Partial => "partial",
            Self::Reported => "reported",
        }
    }
}

/// The record of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who called; empty if nobody was recognised.
    pub consumer: String,
    /// The consumer's team.
    pub team: Option<String>,
    /// The model that the client asked for.
    pub model: String,
    /// The provider of the last attempt.
    pub provider: String,
    /// The model, as that provider names it.
    pub upstream_model: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// What was charged.
    pub input_tokens: u64,
    /// What was charged.
    pub output_tokens: u64,
    /// Where the counts come from; `None` if no provider was asked.
    pub usage_source: Option<UsageSource>,
    /// Counters that the limit store has dropped to make room, since the last record.
    pub limit_evictions: u64,
    /// Reservations and settlements that the limit store could not take, since the last record.
    pub limit_failures: u64,
    /// Whose credential was presented: `gateway`, `team` or `caller`, or `several` of them in attempts that cost
    /// something; `None` if no provider was asked.
    pub credential: Option<&'static str>,
    /// What it cost in USD, if a limit counts money.
    pub cost: Option<String>,
    /// The limits in shadow mode that would have refused the request.
    pub would_refuse: Vec<String>,
    /// How far the estimate of the input was off, in thousandths of what the provider reported; `None` if it did
    /// not say.
    pub input_estimate_error: Option<u64>,
    /// What refused the request: `authentication`, `access`, `request` or `limit`.
    pub refused_by: Option<&'static str>,
    /// Which rule of it: a word for a credential's fault, an access rule's name, a limit's name, or what
    /// [`rule`](crate::api_error::ApiError::rule) says of the error. Nothing that a client has sent.
    pub refused_rule: Option<String>,
}

impl Record {
    /// The record as access-log fields: each becomes the filter state `wasm.tollgate.NAME`.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("consumer", self.consumer.clone()),
            ("model", self.model.clone()),
            ("provider", self.provider.clone()),
            ("upstream_model", self.upstream_model.clone()),
        ];
        fields.extend(self.team.clone().map(|team| ("team", team)));
        fields.extend(self.credential.map(|owner| ("credential", owner.to_owned())));
        fields.extend(self.cost.clone().map(|cost| ("cost", cost)));
        fields.push(("would_refuse", self.would_refuse.join(",")));
        fields.extend(self.refused_by.map(|by| ("refused_by", by.to_owned())));
        fields.extend(self.refused_rule.clone().map(|rule| ("refused_rule", rule)));
        if let Some(source) = self.usage_source {
            fields.push(("attempts", self.attempts.to_string()));
            fields.push(("input_tokens", self.input_tokens.to_string()));
            fields.push(("output_tokens", self.output_tokens.to_string()));
            fields.push(("usage_source", source.as_str().to_owned()));
        }
        fields.retain(|(_, value)| !value.is_empty());
        fields
    }
}
