// SPDX-License-Identifier: Apache-2.0

//! Reads a `generateContent` request, refuses what Google refuses, and decides on the answer.
//!
//! The checks are those that a translating gateway is likely to fail: unknown members, roles, empty parts, names of
//! functions, answers without their call, and, from Gemini 3 on, calls without a signature. The inside of schemas and
//! media is not validated.

use serde_json::{Map, Value, json};

use crate::gemini::put;
use crate::reply::Scene;
use crate::text::{self, Prose};

const KNOWN_MEMBERS: &[&str] = &[
    "cachedContent",
    "contents",
    "generationConfig",
    "labels",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
];

/// An answer that has been decided on.
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) input_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) thoughts: Vec<String>,
    pub(crate) prose: Option<Prose>,
    /// The function that is called, and the places that it is called with.
    pub(crate) called: Option<(String, &'static [&'static str])>,
    pub(crate) finish_reason: &'static str,
    /// What the model wants back; only from Gemini 3 on.
    signature: Option<String>,
}

impl Answer {
    /// Output: thoughts, and all else.
    pub(crate) fn output_tokens(&self) -> (u32, u32) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let called = self.called.as_ref().map_or(0, |(_, places)| places.len());
        let spoken = self.prose.as_ref().map_or(0, Prose::output_tokens);
        (count(self.thoughts.len()), count(called).saturating_add(spoken))
    }

    /// The calls; the first of them is signed.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let Some((name, places)) = &self.called else {
            return Vec::new();
        };
        let calls = places.iter().enumerate().map(|(index, place)| {
            let call = json!({"functionCall": {"name": name, "args": {"location": place}}});
            if index == 0 { self.signed(call) } else { call }
        });
        calls.collect()
    }

    /// The part with the answer's signature, if it has one.
    pub(crate) fn signed(&self, mut part: Value) -> Value {
        if let Some(signature) = &self.signature {
            put(&mut part, "thoughtSignature", json!(signature));
        }
        part
    }
}

/// Reads a request and decides on its answer, or says why not.
pub(crate) fn read(model: &str, body: &[u8], scene: &Scene<'_>) -> Result<Answer, String> {
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return Err("Invalid JSON payload received.".to_owned());
    };
    if let Some(unknown) = request
        .keys()
        .find(|name| !KNOWN_MEMBERS.contains(&name.as_str()))
    {
        return Err(format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\": Cannot find field."
        ));
    }
    let demands_signatures = model.starts_with("gemini-3");
    let contents = checked_contents(&request, demands_signatures)?;
    let name = declared(&request)?;
    let system = request
        .get("systemInstruction")
        .and_then(|system| system.get("parts"));
    let bytes: usize = contents
        .iter()
        .filter_map(|content| content.get("parts"))
        .chain(system)
        .map(text::text_bytes)
        .sum();
    let input_tokens = text::input_tokens(bytes);
    let last = contents.last();
    let asked = contents
        .iter()
        .rev()
        .find(|content| role(content) == "user")
        .and_then(|content| content.get("parts"))
        .map(text::text_of)
        .unwrap_or_default();
    let config = request.get("generationConfig");
    let thinks = config.and_then(|config| config.pointer("/thinkingConfig/includeThoughts"));
    let answers_user = last.is_some_and(|last| named(last, "functionResponse").is_empty());
    let called = name
        .filter(|_| answers_user)
        .and_then(|name| call(&request, name, &asked));
    let mut prose = Prose::answering("Gemini", &asked);
    if let (Some(length), Prose::Pieces(pieces)) = (scene.fault.huge_event, &mut prose) {
        pieces.insert(0, "x".repeat(length));
    }
    let mut answer = Answer {
        id: scene.ids.alphanumeric(22),
        model: model.to_owned(),
        input_tokens,
        cached_tokens: text::number_after(&asked, "cached:")
            .unwrap_or(0)
            .min(input_tokens),
        thoughts: if thinks == Some(&json!(true)) {
            text::pieces("Let me think.")
        } else {
            Vec::new()
        },
        prose: called.is_none().then_some(prose),
        called,
        finish_reason: "STOP",
        signature: demands_signatures.then(|| scene.ids.alphanumeric(64)),
    };
    let limit = config
        .and_then(|config| config.get("maxOutputTokens"))
        .and_then(Value::as_u64);
    if let (Some(limit), false) = (limit, scene.fault.ignore_max_tokens) {
        cut(&mut answer, u32::try_from(limit).unwrap_or(u32::MAX));
    }
    Ok(answer)
}

/// Cuts thoughts and text to `limit`; a call is never cut.
fn cut(answer: &mut Answer, limit: u32) {
    let (thoughts, spoken) = answer.output_tokens();
    if thoughts.saturating_add(spoken) <= limit || answer.called.is_some() {
        return;
    }
    answer.finish_reason = "MAX_TOKENS";
    answer.thoughts.truncate(limit as usize);
    let left = limit.saturating_sub(thoughts);
    answer.prose = answer
        .prose
        .take()
        .filter(|_| left > 0)
        .map(|prose| prose.cut_to(left));
}

fn role(content: &Value) -> &str {
    content.get("role").and_then(Value::as_str).unwrap_or_default()
}

/// The members of this name in a content's parts.
fn named<'a>(content: &'a Value, member: &str) -> Vec<&'a Value> {
    let parts = content.get("parts").and_then(Value::as_array);
    parts
        .into_iter()
        .flatten()
        .filter_map(|part| part.get(member))
        .collect()
}

fn checked_contents(request: &Map<String, Value>, demands_signatures: bool) -> Result<&Vec<Value>, String> {
    let contents = request.get("contents").and_then(Value::as_array);
    let contents = contents
        .filter(|contents| !contents.is_empty())
        .ok_or("* GenerateContentRequest.contents: contents is not specified")?;
    let mut open = 0;
    for (index, content) in contents.iter().enumerate() {
        if !matches!(role(content), "user" | "model") {
            return Err("Please use a valid role: user, model.".to_owned());
        }
        let parts = content.get("parts").and_then(Value::as_array);
        let parts = parts.filter(|parts| !parts.is_empty()).ok_or_else(|| {
            format!("* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.")
        })?;
        let says_nothing =
            |part: &&Value| part.get("text") == Some(&json!("")) && part.get("thoughtSignature").is_none();
        if parts.iter().any(|part| says_nothing(&part)) {
            return Err("Unable to submit request because it has an empty text parameter.".to_owned());
        }
        let answers = named(content, "functionResponse");
        if open != answers.len() {
            return Err(
                "Please ensure that the number of function response parts is equal to the number of \
                        function call parts of the function call turn."
                    .to_owned(),
            );
        }
        let is_object = |answer: &&Value| answer.get("response").is_some_and(Value::is_object);
        if !answers.iter().all(is_object) {
            return Err("Invalid value at 'contents.parts.function_response.response'".to_owned());
        }
        let calls = named(content, "functionCall");
        open = calls.len();
        if demands_signatures && open > 0 && named(content, "thoughtSignature").is_empty() {
            return Err("Function call is missing a thought_signature in functionCall parts.".to_owned());
        }
    }
    Ok(contents)
}

/// The name of the first function that is declared.
fn declared(request: &Map<String, Value>) -> Result<Option<&str>, String> {
    let tools = request.get("tools").and_then(Value::as_array);
    let names: Vec<&str> = tools
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("functionDeclarations")?.as_array())
        .flatten()
        .map(|function| function.get("name").and_then(Value::as_str).unwrap_or_default())
        .collect();
    for name in &names {
        let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
        if !begins_well || !name.chars().all(is_plain) || name.len() > 128 {
            return Err("Invalid function name. Must start with a letter or an underscore.".to_owned());
        }
    }
    Ok(names.first().copied())
}

fn call(request: &Map<String, Value>, first: &str, asked: &str) -> Option<(String, &'static [&'static str])> {
    let config = request
        .get("toolConfig")
        .and_then(|config| config.get("functionCallingConfig"));
    let mode = config
        .and_then(|config| config.get("mode"))
        .and_then(Value::as_str);
    let allowed = config.and_then(|config| config.pointer("/allowedFunctionNames/0"));
    let name = allowed.and_then(Value::as_str).unwrap_or(first);
    let places: &[&str] = match text::places(asked) {
        _ if mode == Some("NONE") => &[],
        [] if mode == Some("ANY") => &["Paris"],
        places => places,
    };
    (!places.is_empty()).then(|| (name.to_owned(), places))
}
