// SPDX-License-Identifier: Apache-2.0

//! The conversation: OpenAI's messages as Gemini's instructions and turns
//! (<https://ai.google.dev/gemini-api/docs/text-generation>).
//!
//! Gemini wants instructions apart, turns that begin with the user, and the answers of functions at the head of the
//! turn that follows their calls, each with its function's name. OpenAI wants none of this, so messages of one side
//! that follow each other become one turn, a conversation that begins with the assistant, or has instructions only,
//! is given a first turn of the user's that says nothing, and the name is looked up by the call's id.

use super::content::{Kinds, Reader, push_text};
use super::function_name::encode;
use super::media;
use super::model::Generation;
use super::signature;
use crate::api_error::ApiError;
use crate::protocol::gemini::generate_content::{
    Content, Data, FunctionCall, FunctionOutput, FunctionResponse, Part, Role,
};
use crate::protocol::openai::chat::{ChatCompletionRequest, Message, ToolCall};
use crate::provider::dropped::is_told_by_answers;
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What the user says where Gemini needs a turn that the client did not write.
const PLACEHOLDER: &str = ".";

/// Instructions and turns.
pub(super) struct Prompt<'r> {
    pub(super) system: Vec<Part<'r>>,
    pub(super) contents: Vec<Content<'r>>,
    /// What functions answered within the last turn, which is the user's: it goes before what else that turn says.
    answers: Vec<Part<'r>>,
    /// The function of every call so far, by the call's id.
    called: BTreeMap<&'r str, &'r str>,
    generation: Generation,
}

/// The counterpart of the request's messages.
pub(super) fn prompt<'r>(
    request: &'r ChatCompletionRequest<'r>,
    generation: Generation,
    reader: &mut Reader,
    report: &mut Report,
) -> Result<Prompt<'r>, ApiError> {
    let messages = request.messages.as_deref();
    let messages = messages.ok_or_else(|| missing("messages".to_owned(), "an array"))?;
    let mut prompt = Prompt {
        system: Vec::new(),
        contents: Vec::new(),
        answers: Vec::new(),
        called: BTreeMap::new(),
        generation,
    };
    for (index, message) in messages.iter().enumerate() {
        let place = Place::element("messages", index);
        prompt.add(message, place, reader, report)?;
    }
    prompt.complete()?;
    Ok(prompt)
}

impl<'r> Prompt<'r> {
    fn add(
        &mut self,
        message: &'r Message<'r>,
        place: Place,
        reader: &mut Reader,
        report: &mut Report,
    ) -> Result<(), ApiError> {
        let role = message.role.as_deref();
        let role = role.ok_or_else(|| missing(place.path("role"), "a string"))?;
        report_rest(message, role, place, report)?;
        let content = || {
            let content = message.content.as_ref();
            content.ok_or_else(|| missing(place.path("content"), "a string or an array"))
        };
        let mut said = Vec::new();
        match role {
            "system" | "developer" => {
                reader.read(content()?, Kinds::Text, place, report, &mut said)?;
                self.system.extend(said.into_iter().map(Part::from));
            }
            "user" => {
                reader.read(content()?, Kinds::Any, place, report, &mut said)?;
                self.say(Role::User, said.into_iter().map(Part::from).collect());
            }
            "assistant" => {
                let parts = self.assistant(message, place, reader, report)?;
                self.say(Role::Model, parts);
            }
            "tool" => self.answer(message, place, reader, report)?,
            "function" => return Err(unsupported(place.path("role"))),
            _ => {
                let expected = "system, developer, user, assistant or tool";
                return Err(wrong(place.path("role"), expected));
            }
        }
        Ok(())
    }

    fn turn(&mut self, role: Role) -> Option<&mut Vec<Part<'r>>> {
        if self.contents.last().is_none_or(|turn| turn.role != Some(role)) {
            self.place_answers();
            self.contents.push(Content {
                role: Some(role),
                parts: Vec::new(),
            });
        }
        self.contents.last_mut().map(|turn| &mut turn.parts)
    }

    fn say(&mut self, role: Role, mut parts: Vec<Part<'r>>) {
        if parts.is_empty() {
            return;
        }
        if let Some(turn) = self.turn(role) {
            turn.append(&mut parts);
        }
    }

    fn assistant(
        &mut self,
        message: &'r Message<'r>,
        place: Place,
        reader: &mut Reader,
        report: &mut Report,
    ) -> Result<Vec<Part<'r>>, ApiError> {
        if message.function_call.is_some() {
            return Err(unsupported(place.path("function_call")));
        }
        let mut said = Vec::new();
        if let Some(content) = &message.content {
            reader.read(content, Kinds::Text, place, report, &mut said)?;
        }
        if let Some(refusal) = &message.refusal {
            push_text(refusal, &mut said);
        }
        let mut parts: Vec<Part<'r>> = said.into_iter().map(Part::from).collect();
        if let Some(given) = extra_content(&message.rest, place, report) {
            // The signature of text may come in a part of its own, and goes back in one if the text is lost.
            if parts.is_empty() {
                parts.push(Data::Text("").into());
            }
            if let Some(last) = parts.last_mut() {
                last.thought_signature = Some(given);
            }
        }
        if let Some((_, images)) = message.rest.iter().find(|(name, _)| &**name == media::MEMBER) {
            match self.images(images, reader) {
                Some(mut images) => parts.append(&mut images),
                None => report.drop_told(place, media::MEMBER),
            }
        }
        let mut calls = Vec::new();
        for (number, call) in message.tool_calls.iter().flatten().enumerate() {
            calls.push(self.call(call, place.item("tool_calls", number), report)?);
        }
        if self.generation.demands_signatures
            && calls.iter().all(|call| call.thought_signature.is_none())
            && let Some(first) = calls.first_mut()
        {
            first.thought_signature = Some(Cow::Borrowed(signature::NONE));
        }
        parts.append(&mut calls);
        Ok(parts)
    }

    /// Images that the model made before; `None` if they are no such images.
    fn images(&self, images: &'r RawValue, reader: &Reader) -> Option<Vec<Part<'r>>> {
        let unsigned = Some(Cow::Borrowed(signature::NONE)).filter(|_| self.generation.demands_signatures);
        let images = media::returned(images)?.into_iter().map(|image| {
            let signature = image.extra_content.and_then(signature::read);
            Some(Part {
                data: reader.generated(image.image_url.url)?,
                thought_signature: signature.or_else(|| unsigned.clone()),
            })
        });
        images.collect()
    }

    fn call(
        &mut self,
        call: &'r ToolCall<'r>,
        place: Place,
        report: &mut Report,
    ) -> Result<Part<'r>, ApiError> {
        if !matches!(call.kind.as_deref(), None | Some("function")) {
            return Err(unsupported(place.path("type")));
        }
        for given in &call.rest {
            if &*given.0 != signature::MEMBER {
                report.drop_rest(place, core::slice::from_ref(given))?;
            }
        }
        if call.cache_control.is_some() {
            report.drop_member(place, "cache_control")?;
        }
        let id = call
            .id
            .as_deref()
            .ok_or_else(|| missing(place.path("id"), "a string"))?;
        let function = call.function.as_ref();
        let function = function.ok_or_else(|| missing(place.path("function"), "an object"))?;
        let name = function.name.as_deref();
        let name = name.ok_or_else(|| missing(place.path("function.name"), "a string"))?;
        let arguments = match function.arguments.as_deref() {
            Some(arguments) if !arguments.trim().is_empty() => arguments,
            _ => "{}",
        };
        let args = object(arguments)
            .ok_or_else(|| wrong(place.path("function.arguments"), "a JSON object, as text"))?;
        self.called.insert(id, name);
        Ok(Part {
            data: Data::FunctionCall(FunctionCall {
                id,
                name: encode(name),
                args,
            }),
            thought_signature: extra_content(&call.rest, place, report),
        })
    }

    fn answer(
        &mut self,
        message: &'r Message<'r>,
        place: Place,
        reader: &mut Reader,
        report: &mut Report,
    ) -> Result<(), ApiError> {
        let id = message.tool_call_id.as_deref();
        let id = id.ok_or_else(|| missing(place.path("tool_call_id"), "a string"))?;
        let name = self.called.get(id).copied().or(message.name.as_deref());
        let name = name.ok_or_else(|| {
            wrong(
                place.path("tool_call_id"),
                "the id of a call in a message before it",
            )
        })?;
        let mut said = Vec::new();
        if let Some(content) = &message.content {
            reader.read(content, Kinds::Any, place, report, &mut said)?;
        }
        let (texts, media): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|part| matches!(part, Data::Text(_)));
        let mut answer = FunctionResponse {
            id,
            name: encode(name),
            response: output(&texts),
            parts: Vec::new(),
        };
        let mut beside = Vec::new();
        if self.generation.has_media_in_answers {
            answer.parts = media;
        } else if !media.is_empty() {
            // Older models take media only from the user.
            report.approximate_member(place, "content");
            beside.extend(media.into_iter().map(Part::from));
        }
        // The turn is opened, but the answer waits: to insert each one would move what follows every time.
        self.turn(Role::User);
        self.answers.push(Data::FunctionResponse(answer).into());
        self.say(Role::User, beside);
        Ok(())
    }

    /// Puts the waiting answers at the head of the last turn.
    fn place_answers(&mut self) {
        if let Some(turn) = self.contents.last_mut()
            && !self.answers.is_empty()
        {
            self.answers.append(&mut turn.parts);
            turn.parts = core::mem::take(&mut self.answers);
        }
    }

    fn complete(&mut self) -> Result<(), ApiError> {
        self.place_answers();
        match self.contents.first() {
            Some(first) if first.role == Some(Role::User) => return Ok(()),
            None if self.system.is_empty() => {
                let message = "messages: expected at least one message with content";
                return Err(ApiError::bad_request("messages", message));
            }
            Some(_) | None => {}
        }
        let first = Content {
            role: Some(Role::User),
            parts: vec![Data::Text(PLACEHOLDER).into()],
        };
        self.contents.insert(0, first);
        Ok(())
    }
}

/// What a function answered: an object as it is, other text within one.
fn output<'r>(texts: &[Data<'r>]) -> FunctionOutput<'r> {
    let mut output: Cow<'r, str> = Cow::Borrowed("");
    for part in texts {
        if let Data::Text(text) = part {
            if output.is_empty() {
                output = Cow::Borrowed(text);
            } else {
                output.to_mut().push_str(text);
            }
        }
    }
    if let Cow::Borrowed(text) = output
        && let Some(given) = object(text)
    {
        return FunctionOutput::Given(given);
    }
    FunctionOutput::Text { output }
}

fn object(text: &str) -> Option<&RawValue> {
    serde_json::from_str::<&RawValue>(text)
        .ok()
        .filter(|value| value.get().starts_with('{'))
}

/// The signature among the members that no type knows. One that is not Google's is reported.
fn extra_content<'r>(
    rest: &'r [(crate::protocol::openai::Text<'r>, &'r RawValue)],
    place: Place,
    report: &mut Report,
) -> Option<Cow<'r, str>> {
    let (_, given) = rest.iter().find(|(name, _)| &**name == signature::MEMBER)?;
    let found = signature::read(given);
    if found.is_none() {
        report.drop_told(place, signature::MEMBER);
    }
    found
}

/// Reports the members that have no counterpart, or none in a message of this role.
fn report_rest(message: &Message<'_>, role: &str, place: Place, report: &mut Report) -> Result<(), ApiError> {
    let is_assistant = role == "assistant";
    for given in &message.rest {
        if is_assistant && [signature::MEMBER, media::MEMBER].contains(&&*given.0) {
            continue;
        }
        if is_assistant && is_told_by_answers(&given.0) && given.1.get() != "[]" {
            report.drop_told(place, &given.0);
        } else {
            report.drop_rest(place, core::slice::from_ref(given))?;
        }
    }
    let Message {
        name,
        tool_calls,
        tool_call_id,
        refusal,
        function_call,
        reasoning_content,
        thinking_blocks,
        cache_control,
        ..
    } = message;
    // Gemini keeps its thoughts in the signatures.
    let has_reasoning = reasoning_content.as_deref().is_some_and(|text| !text.is_empty());
    for (member, is_present) in [
        ("reasoning_content", has_reasoning),
        (
            "thinking_blocks",
            thinking_blocks.as_ref().is_some_and(|blocks| !blocks.is_empty()),
        ),
    ] {
        if is_present && is_assistant {
            report.drop_told(place, member);
        } else if is_present {
            report.drop_member(place, member)?;
        }
    }
    let present = [
        ("name", role != "tool" && name.is_some()),
        ("tool_calls", !is_assistant && tool_calls.is_some()),
        ("tool_call_id", role != "tool" && tool_call_id.is_some()),
        ("refusal", !is_assistant && refusal.is_some()),
        ("function_call", !is_assistant && function_call.is_some()),
        ("cache_control", cache_control.is_some()),
    ];
    present
        .into_iter()
        .filter(|(_, is_present)| *is_present)
        .try_for_each(|(member, _)| report.drop_member(place, member))
}
