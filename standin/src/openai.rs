// SPDX-License-Identifier: Apache-2.0

//! The OpenAI stand-in: chat completions and models in OpenAI's wire format.
//!
//! Follows the published reference (<https://platform.openai.com/docs/api-reference/chat>). It refuses what
//! OpenAI refuses in the simple cases (no credential, broken JSON, missing or unknown members), so that a
//! gateway's mistakes show. It does not validate the inside of messages or tools.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::member_order::{OPENAI, in_order};
use crate::openai_request::{Completion, ToolCall};
use crate::reply::{Event, Form, Reply, Scene};
use crate::text::Prose;

/// Answers `POST /v1/chat/completions`.
pub(crate) fn chat_completions(has_bearer: bool, body: &[u8], scene: &Scene<'_>) -> Reply {
    if !has_bearer {
        return unauthenticated(scene);
    }
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return not_json(scene);
    };
    match Completion::read(&request, scene) {
        Ok(completion) => completion.reply(scene),
        Err(refused) => refused,
    }
}

/// Answers `GET /v1/models`.
pub(crate) fn models(has_bearer: bool, scene: &Scene<'_>) -> Reply {
    if !has_bearer {
        return unauthenticated(scene);
    }
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": 1_715_367_049, "owned_by": "system"});
    let data = json!([model("gpt-4o"), model("gpt-4o-mini"), model("gpt-5")]);
    Reply::json(
        200,
        headers(scene),
        in_order(&json!({"object": "list", "data": data}), OPENAI),
    )
}

/// Answers a path that OpenAI does not have.
pub(crate) fn unknown_path(method: &str, path: &str, scene: &Scene<'_>) -> Reply {
    error(
        404,
        &format!("Invalid URL ({method} {path})"),
        "invalid_request_error",
        None,
        None,
        scene,
    )
}

/// Answers a body above the limit.
pub(crate) fn too_large(scene: &Scene<'_>) -> Reply {
    error(
        413,
        "Maximum content size limit exceeded",
        "invalid_request_error",
        None,
        None,
        scene,
    )
}

/// OpenAI's error with this status.
pub(crate) fn refusal(status: u16, scene: &Scene<'_>) -> Reply {
    let (message, kind, code) = match status {
        400 => ("Invalid request.", "invalid_request_error", None),
        401 => (
            "Incorrect API key provided: sk-stand*in.",
            "invalid_request_error",
            Some("invalid_api_key"),
        ),
        403 => (
            "You are not allowed to sample from this model",
            "invalid_request_error",
            Some("model_not_allowed"),
        ),
        404 => (
            "The model does not exist or you do not have access to it.",
            "invalid_request_error",
            Some("model_not_found"),
        ),
        429 => (
            "Rate limit reached for requests",
            "requests",
            Some("rate_limit_exceeded"),
        ),
        503 => (
            "The engine is currently overloaded, please try again later",
            "server_error",
            None,
        ),
        _ => (
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
            None,
        ),
    };
    let fault = scene.fault;
    let message = fault.message.as_deref().unwrap_or(message);
    let kind = fault.error_type.as_deref().unwrap_or(kind);
    let code = fault.error_code.as_deref().or(code);
    error(status, message, kind, None, code, scene)
}

/// Answers a body that is no JSON object.
pub(crate) fn not_json(scene: &Scene<'_>) -> Reply {
    let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using \
                   your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not \
                   valid JSON.)";
    invalid(scene, message, None, None)
}

/// Answers a request without a credential.
pub(crate) fn unauthenticated(scene: &Scene<'_>) -> Reply {
    let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                   using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with \
                   blank username) if you're accessing the API from your browser and are prompted for a \
                   username and password. You can obtain an API key from \
                   https://platform.openai.com/account/api-keys.";
    error(401, message, "invalid_request_error", None, None, scene)
}

pub(crate) fn invalid(scene: &Scene<'_>, message: &str, param: Option<&str>, code: Option<&str>) -> Reply {
    error(400, message, "invalid_request_error", param, code, scene)
}

fn error(
    status: u16,
    message: &str,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
    scene: &Scene<'_>,
) -> Reply {
    let body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    Reply::json(status, headers(scene), in_order(&body, OPENAI))
}

pub(crate) fn headers(scene: &Scene<'_>) -> Vec<(String, String)> {
    let pairs = [
        ("openai-organization", "org-standin"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "30000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "29999984"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "0s"),
    ];
    let mut headers: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    headers.push((
        "x-request-id".to_owned(),
        format!("req_{}", scene.ids.alphanumeric(32)),
    ));
    headers
}

impl Completion {
    /// Output of one choice.
    fn output_tokens(&self) -> u32 {
        let spoken = self.prose.as_ref().map_or(0, Prose::output_tokens);
        let called: usize = self.calls.iter().map(|call| call.fragments.len()).sum();
        spoken.saturating_add(u32::try_from(called).unwrap_or(u32::MAX))
    }

    fn usage(&self) -> Value {
        let output_tokens = self.output_tokens().saturating_mul(self.choices);
        json!({
            "prompt_tokens": self.input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": self.input_tokens.saturating_add(output_tokens),
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    fn reply(self, scene: &Scene<'_>) -> Reply {
        let input_tokens = self.input_tokens;
        if !self.is_streaming {
            let output_tokens = self.output_tokens().saturating_mul(self.choices);
            let mut reply = Reply::json(200, headers(scene), in_order(&self.document(), OPENAI));
            reply.input_tokens = input_tokens;
            if let Form::Whole {
                output_tokens: carried,
                ..
            } = &mut reply.form
            {
                *carried = output_tokens;
            }
            return reply;
        }
        let error = json!({"error": {
            "message": "The server had an error while processing your request. Sorry about that!",
            "type": "server_error", "param": null, "code": null}});
        let form = Form::Events {
            events: self.events(scene.fault.tokens_per_event.unwrap_or(1)),
            error_event: Bytes::from(format!("data: {}\n\n", in_order(&error, OPENAI))),
        };
        let mut reply = Reply {
            status: 200,
            headers: headers(scene),
            input_tokens,
            form,
        };
        reply.set_header("content-type", "text/event-stream; charset=utf-8");
        reply
    }

    fn document(&self) -> Value {
        let mut message = json!({
            "role": "assistant",
            "content": self.prose.as_ref().map(Prose::whole),
            "refusal": null,
            "annotations": [],
        });
        if !self.calls.is_empty()
            && let Some(message) = message.as_object_mut()
        {
            let calls = self.calls.iter().map(|call| {
                let function = json!({"name": call.name, "arguments": call.fragments.concat()});
                json!({"id": call.id, "type": "function", "function": function})
            });
            message.insert("tool_calls".to_owned(), calls.collect());
        }
        let choice = |index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": self.finish_reason});
        let mut document = json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": (0..self.choices).map(choice).collect::<Vec<_>>(),
            "service_tier": "default",
            "system_fingerprint": "fp_standin",
        });
        if let (true, Some(document)) = (self.shows_usage, document.as_object_mut()) {
            document.insert("usage".to_owned(), self.usage());
        }
        document
    }

    fn events(self, tokens_per_event: usize) -> Box<dyn Iterator<Item = Event>> {
        let head = format!(
            "data: {{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_standin\",",
            self.id,
            self.created,
            Value::from(self.model.as_str())
        );
        let tail = if self.includes_usage {
            ",\"usage\":null}\n\n"
        } else {
            "}\n\n"
        };
        let usage_event = self.includes_usage.then(|| {
            Event::frame(format!(
                "{head}\"choices\":[],\"usage\":{}}}\n\n",
                in_order(&self.usage(), OPENAI)
            ))
        });
        let chunk = move |choice: u32, delta: &str, finish_reason: Option<&str>| {
            let finish_reason = Value::from(finish_reason);
            format!(
                "{head}\"choices\":[{{\"index\":{choice},\"delta\":{delta},\"logprobs\":null,\
                 \"finish_reason\":{finish_reason}}}]{tail}"
            )
        };
        let (choices, finish_reason) = (self.choices, self.finish_reason);
        let opening = if self.prose.is_some() {
            r#"{"role":"assistant","content":"","refusal":null}"#
        } else {
            r#"{"role":"assistant","content":null,"refusal":null}"#
        };
        let starts: Vec<Event> = (0..choices)
            .map(|choice| Event::frame(chunk(choice, opening, None)))
            .collect();
        let ends: Vec<Event> = (0..choices)
            .map(|choice| Event::frame(chunk(choice, "{}", Some(finish_reason))))
            .collect();
        let deltas = spoken(self.prose, tokens_per_event).chain(called(self.calls));
        let contents = deltas.flat_map(move |(delta, output_tokens)| {
            let text = |choice| chunk(choice, &delta, None);
            let event = |text| {
                if output_tokens == 0 {
                    return Event::frame(text);
                }
                Event {
                    output_tokens,
                    ..Event::content(text)
                }
            };
            (0..choices).map(|choice| event(text(choice))).collect::<Vec<_>>()
        });
        let done = Event::done("data: [DONE]\n\n");
        Box::new(
            starts
                .into_iter()
                .chain(contents)
                .chain(ends)
                .chain(usage_event)
                .chain([done]),
        )
    }
}

/// The deltas of a text, each with the output tokens that it carries.
fn spoken(prose: Option<Prose>, tokens_per_event: usize) -> impl Iterator<Item = (String, u32)> {
    let mut pieces = prose.into_iter().flat_map(Prose::into_pieces);
    std::iter::from_fn(move || {
        let together: Vec<String> = pieces.by_ref().take(tokens_per_event.max(1)).collect();
        let carried = u32::try_from(together.len()).unwrap_or(u32::MAX);
        (carried > 0).then(|| {
            (
                format!("{{\"content\":{}}}", Value::from(together.concat())),
                carried,
            )
        })
    })
}

/// The deltas of tool calls: each opens with its identifier and name, then come the arguments.
fn called(calls: Vec<ToolCall>) -> impl Iterator<Item = (String, u32)> {
    calls.into_iter().enumerate().flat_map(|(index, call)| {
        let function = json!({"name": call.name, "arguments": ""});
        let opening = json!({"tool_calls": [
            {"index": index, "id": call.id, "type": "function", "function": function}]});
        let fragments = call.fragments.into_iter().map(move |fragment| {
            let function = json!({"arguments": fragment});
            (
                in_order(
                    &json!({"tool_calls": [{"index": index, "function": function}]}),
                    OPENAI,
                ),
                1,
            )
        });
        std::iter::once((in_order(&opening, OPENAI), 0)).chain(fragments)
    })
}

#[cfg(test)]
#[path = "openai_tests.rs"]
mod tests;
