// SPDX-License-Identifier: Apache-2.0

//! What may go wrong, and for which requests.
//!
//! A [`Rule`] says which requests a [`Fault`] befalls and how often. Rules stand in a queue and the first
//! that matches a request is used, alone; when its `times` are used up it leaves the queue. Rules given at
//! the start come back on a reset, those of the control interface do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One or several things that go wrong with an answer. Absent members change nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fault {
    /// Answers with this status and the provider's own error body.
    pub(crate) status: Option<u16>,
    /// Replaces the error's message.
    pub(crate) message: Option<String>,
    /// Replaces the error's `type`.
    pub(crate) error_type: Option<String>,
    /// Replaces the error's `code` (OpenAI only).
    pub(crate) error_code: Option<String>,
    /// `retry-after`, seconds or a date.
    pub(crate) retry_after: Option<Value>,
    /// Milliseconds before the response headers.
    pub(crate) delay_ms: Option<u64>,
    /// Milliseconds between the headers and the first event (or the JSON body).
    pub(crate) before_first_event_ms: Option<u64>,
    /// Meanwhile a comment after every so many milliseconds, as providers keep a connection alive.
    pub(crate) keep_alive_ms: Option<u64>,
    /// Milliseconds before each content event except the first.
    pub(crate) between_events_ms: Option<u64>,
    /// How many output tokens each content event of a text carries (`OpenAI` only).
    pub(crate) tokens_per_event: Option<usize>,
    /// An error event after this many content events; 0 makes it the first event of the stream.
    pub(crate) in_stream_error: Option<u32>,
    /// Closes the connection after this many content events; a JSON body is cut in its middle.
    pub(crate) cut_after_events: Option<u32>,
    /// Closes the connection after this many bytes of the body.
    pub(crate) cut_after_bytes: Option<u64>,
    /// Breaks the JSON of the body, or of the first content event.
    pub(crate) malformed_json: bool,
    /// Sends the body byte by byte with this many milliseconds between the bytes.
    pub(crate) trickle_ms: Option<u64>,
    /// Begins the answer's text with one piece of this many bytes.
    pub(crate) huge_event: Option<usize>,
    /// Answers 200 with this content type; `text/html` also gets an HTML body.
    pub(crate) wrong_content_type: Option<String>,
    /// Answers 200 `text/event-stream` without an event.
    pub(crate) empty_stream: bool,
    /// Answers 200 with no body at all.
    pub(crate) empty_body: bool,
    /// Compresses the body with gzip, asked for or not. A stream is then sent in one piece.
    pub(crate) gzip: bool,
    /// Leaves `usage` out.
    pub(crate) no_usage: bool,
    /// Ends a stream without `data: [DONE]` or `message_stop`.
    pub(crate) no_done: bool,
    /// Answers longer than the request allows.
    pub(crate) ignore_max_tokens: bool,
    /// Further response headers; they replace those of the same name.
    pub(crate) extra_headers: BTreeMap<String, String>,
    /// Exactly this body.
    pub(crate) body: Option<String>,
    /// The content type of `body`; `application/json` if absent.
    pub(crate) content_type: Option<String>,
}

/// Which requests a fault befalls; absent conditions hold for every request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The request's path, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The request's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// The listen address as given to `--listen`, with the port that was bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    /// How many requests it befalls; absent means all until a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u32>,
    /// What goes wrong.
    pub(crate) fault: Fault,
}

impl Rule {
    /// Reads the command line's form: a JSON object, or `model=x,status=503`.
    pub(crate) fn from_option(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text)
                .map_err(|error| format!("expected a fault rule, found {error}"));
        }
        let (mut rule, mut fault) = (Map::new(), Map::new());
        for pair in text.split(',') {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("expected key=value, found \"{pair}\""))?;
            let string = Value::String(value.to_owned());
            match key {
                "path" | "model" | "listen" => rule.insert(key.to_owned(), string),
                "times" => rule.insert(key.to_owned(), serde_json::from_str(value).unwrap_or(string)),
                _ => fault.insert(key.to_owned(), serde_json::from_str(value).unwrap_or(string)),
            };
        }
        rule.insert("fault".to_owned(), Value::Object(fault));
        serde_json::from_value(Value::Object(rule)).map_err(|error| error.to_string())
    }

    fn matches(&self, path: &str, model: &str, listen: &str) -> bool {
        let holds = |condition: &Option<String>, found: &str| condition.as_deref().is_none_or(|c| c == found);
        holds(&self.path, path) && holds(&self.model, model) && holds(&self.listen, listen)
    }
}

/// The queue of rules.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    from_start: Vec<Rule>,
    rules: Vec<Rule>,
}

impl Faults {
    /// A queue that begins, now and after each reset, with these rules.
    pub(crate) fn starting_with(rules: Vec<Rule>) -> Self {
        Self {
            from_start: rules.clone(),
            rules,
        }
    }

    /// Appends a rule.
    pub(crate) fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Forgets the rules that were pushed and restores those of the start.
    pub(crate) fn reset(&mut self) {
        self.rules = self.from_start.clone();
    }

    /// Whether no rule is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules in force, in order.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The fault for this request, which uses up one of its rule's `times`.
    pub(crate) fn strike(&mut self, path: &str, model: &str, listen: &str) -> Option<Fault> {
        let position = self
            .rules
            .iter()
            .position(|rule| rule.times != Some(0) && rule.matches(path, model, listen))?;
        let rule = self.rules.get_mut(position)?;
        let fault = rule.fault.clone();
        if let Some(times) = rule.times.as_mut() {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.rules.remove(position);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::from_option(text).expect("a valid rule")
    }

    #[test]
    fn the_command_line_form_is_read() {
        let rule = rule("model=always-fails,status=503,retry_after=7,times=2");
        assert_eq!(rule.model.as_deref(), Some("always-fails"));
        assert_eq!((rule.times, rule.fault.status), (Some(2), Some(503)));
    }

    #[test]
    fn an_unknown_fault_is_refused() {
        assert!(Rule::from_option("model=x,statsu=503").is_err());
        assert!(Rule::from_option(r#"{"fault": {"statsu": 503}}"#).is_err());
    }

    #[test]
    fn rules_are_used_in_order_and_as_often_as_they_say() {
        let mut faults = Faults::starting_with(vec![rule("model=a,status=500")]);
        faults.push(rule("path=/p,times=1,status=501"));
        faults.push(rule("path=/p,times=1,status=502"));
        let mut status = |path, model| faults.strike(path, model, "l").and_then(|f| f.status);
        assert_eq!(status("/p", "b"), Some(501));
        assert_eq!(status("/q", "b"), None);
        assert_eq!(status("/p", "b"), Some(502));
        assert_eq!(status("/p", "b"), None);
        assert_eq!(status("/p", "a"), Some(500));
        faults.push(rule("status=400"));
        faults.reset();
        assert_eq!(faults.rules().len(), 1);
    }
}
