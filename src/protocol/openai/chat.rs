// SPDX-License-Identifier: Apache-2.0

//! The chat completion request (<https://platform.openai.com/docs/api-reference/chat/create>).
//!
//! Typed as far as translators act on it, and borrowed from the body: a prompt is large, and most of it is only
//! passed on. Every member is optional here. What a provider cannot do without is asked for by its translator,
//! which also knows how to name the field. Members outside OpenAI's reference that are typed here are named by
//! their owner: `cache_control`, `thinking`, `thinking_blocks` and `top_k` are Anthropic's own words, which
//! clients send through OpenAI's SDK as extra members.
//!
//! Parsing is linear and done once; only a body that does not fit the types is read a second time, to name the
//! member at fault.

use super::mismatch;
use super::object::{Text, object};
use crate::api_error::ApiError;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

object! {
    /// The request body.
    ChatCompletionRequest {
        /// The model, as the client names it.
        model: Text<'a> = "model",
        /// The conversation.
        messages: Vec<Message<'a>> = "messages",
        /// The tools that the model may call.
        tools: Vec<Tool<'a>> = "tools",
        /// Whether it may, or must, call one.
        tool_choice: ToolChoice<'a> = "tool_choice",
        /// Whether it may call several at once.
        parallel_tool_calls: bool = "parallel_tool_calls",
        /// The form of the answer.
        response_format: ResponseFormat<'a> = "response_format",
        /// How hard a reasoning model thinks.
        reasoning_effort: Text<'a> = "reasoning_effort",
        /// Anthropic's own setting of extended thinking, passed through by clients.
        thinking: &'a RawValue = "thinking",
        /// Where the answer ends.
        stop: Stop<'a> = "stop",
        /// Sampling temperature, 0 to 2.
        temperature: Number = "temperature",
        /// Nucleus sampling.
        top_p: Number = "top_p",
        /// Anthropic's own: how many candidates are sampled from.
        top_k: Number = "top_k",
        /// The output bound, in tokens, reasoning included.
        max_completion_tokens: u64 = "max_completion_tokens",
        /// The older name of the output bound.
        max_tokens: u64 = "max_tokens",
        /// How many answers.
        n: u64 = "n",
        /// The end user, by the older name.
        user: Text<'a> = "user",
        /// The end user.
        safety_identifier: Text<'a> = "safety_identifier",
        /// Labels of the request.
        metadata: Metadata<'a> = "metadata",
        /// The processing tier.
        service_tier: Text<'a> = "service_tier",
        /// Whether the answer is streamed.
        stream: bool = "stream",
        /// Options of a stream.
        stream_options: StreamOptions<'a> = "stream_options",
        /// The predecessor of `tools`.
        functions: &'a RawValue = "functions",
        /// The predecessor of `tool_choice`.
        function_call: &'a RawValue = "function_call",
        /// Anthropic's own: where prompt caching begins.
        cache_control: &'a RawValue = "cache_control",
    }
}

impl<'a> ChatCompletionRequest<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    ///
    /// 400 that names the member whose type is wrong.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let text = simdutf8::basic::from_utf8(body)
            .map_err(|_| ApiError::bad_request(None, "The request body is not UTF-8."))?;
        serde_json::from_str(text).map_err(|_| mismatch::explain(text))
    }
}

object! {
    /// One message.
    Message {
        /// `system`, `developer`, `user`, `assistant` or `tool`.
        role: Text<'a> = "role",
        /// What was said.
        content: Content<'a> = "content",
        /// Who said it.
        name: Text<'a> = "name",
        /// What the assistant called.
        tool_calls: Vec<ToolCall<'a>> = "tool_calls",
        /// The call that this message answers.
        tool_call_id: Text<'a> = "tool_call_id",
        /// What the assistant said in refusing.
        refusal: Text<'a> = "refusal",
        /// The predecessor of `tool_calls`.
        function_call: &'a RawValue = "function_call",
        /// The assistant's reasoning, as text.
        reasoning_content: Text<'a> = "reasoning_content",
        /// The assistant's reasoning with its signatures, as it came from Anthropic.
        thinking_blocks: Vec<&'a RawValue> = "thinking_blocks",
        /// Anthropic's own: where prompt caching begins.
        cache_control: &'a RawValue = "cache_control",
    }
}

object! {
    /// One part of a message.
    ContentPart {
        /// `text`, `image_url`, `file`, `input_audio` or `refusal`.
        kind: Text<'a> = "type",
        /// The text of a `text` part.
        text: Text<'a> = "text",
        /// The text of a `refusal` part.
        refusal: Text<'a> = "refusal",
        /// The image of an `image_url` part.
        image_url: ImageUrl<'a> = "image_url",
        /// The file of a `file` part.
        file: FilePart<'a> = "file",
        /// The recording of an `input_audio` part.
        input_audio: InputAudio<'a> = "input_audio",
        /// Anthropic's own: where prompt caching begins.
        cache_control: &'a RawValue = "cache_control",
    }
}

object! {
    /// An image.
    ImageUrl {
        /// `https:` or `data:` URL.
        url: Text<'a> = "url",
        /// How closely the image is looked at.
        detail: Text<'a> = "detail",
    }
}

object! {
    /// A file.
    FilePart {
        /// A `data:` URL.
        file_data: Text<'a> = "file_data",
        /// The id of an uploaded file.
        file_id: Text<'a> = "file_id",
        /// The file's name.
        filename: Text<'a> = "filename",
    }
}

object! {
    /// A recording.
    InputAudio {
        /// Its bytes, in base64.
        data: Text<'a> = "data",
        /// `wav` or `mp3`.
        format: Text<'a> = "format",
    }
}

object! {
    /// A call that the assistant made.
    ToolCall {
        /// The call's id, which the answer repeats.
        id: Text<'a> = "id",
        /// `function` or `custom`.
        kind: Text<'a> = "type",
        /// What was called.
        function: FunctionCall<'a> = "function",
        /// Where streams count calls; without meaning in a request.
        index: u64 = "index",
        /// Anthropic's own: where prompt caching begins.
        cache_control: &'a RawValue = "cache_control",
    }
}

object! {
    /// A function's name and the arguments that it was called with.
    FunctionCall {
        /// The function.
        name: Text<'a> = "name",
        /// JSON, as text.
        arguments: Text<'a> = "arguments",
    }
}

object! {
    /// A tool.
    Tool {
        /// `function` or `custom`.
        kind: Text<'a> = "type",
        /// What may be called.
        function: Function<'a> = "function",
        /// Anthropic's own: where prompt caching begins.
        cache_control: &'a RawValue = "cache_control",
    }
}

object! {
    /// A function's declaration.
    Function {
        /// The function's name.
        name: Text<'a> = "name",
        /// What it does.
        description: Text<'a> = "description",
        /// JSON schema of its arguments.
        parameters: &'a RawValue = "parameters",
        /// Whether arguments must follow the schema exactly.
        strict: bool = "strict",
        /// Anthropic's own: where prompt caching begins.
        cache_control: &'a RawValue = "cache_control",
    }
}

object! {
    /// `tool_choice` as an object.
    NamedToolChoice {
        /// `function`, `custom` or `allowed_tools`.
        kind: Text<'a> = "type",
        /// The function to call.
        function: FunctionCall<'a> = "function",
    }
}

object! {
    /// `response_format`.
    ResponseFormat {
        /// `text`, `json_object` or `json_schema`.
        kind: Text<'a> = "type",
        /// The schema of `json_schema`.
        json_schema: JsonSchema<'a> = "json_schema",
    }
}

object! {
    /// A named schema.
    JsonSchema {
        /// The schema's name.
        name: Text<'a> = "name",
        /// What the answer is for.
        description: Text<'a> = "description",
        /// The schema.
        schema: &'a RawValue = "schema",
        /// Whether the answer must follow it exactly.
        strict: bool = "strict",
    }
}

object! {
    /// `metadata`: all members are the caller's own.
    Metadata {
        /// The member that Anthropic's `metadata` knows too.
        user_id: &'a RawValue = "user_id",
    }
}

object! {
    /// `stream_options`.
    StreamOptions {
        /// Whether the stream ends with its usage.
        include_usage: bool = "include_usage",
    }
}

/// `content`: text, or parts.
#[derive(Debug)]
pub enum Content<'a> {
    /// Plain text.
    Text(Text<'a>),
    /// Parts, in order.
    Parts(Vec<ContentPart<'a>>),
}

/// `stop`: one sequence, or several.
#[derive(Debug)]
pub enum Stop<'a> {
    /// One.
    One(Text<'a>),
    /// Several.
    Many(Vec<Text<'a>>),
}

/// `tool_choice`: a mode, or a tool.
#[derive(Debug)]
pub enum ToolChoice<'a> {
    /// `none`, `auto` or `required`.
    Mode(Text<'a>),
    /// A named tool, or a set of tools.
    Named(NamedToolChoice<'a>),
}

/// Writes `Deserialize` for a value that is a string or something else.
macro_rules! string_or {
    ($name:ident, $expecting:literal, $text:ident, $method:ident<$access:ident> => $deserializer:ident, $other:ident) => {
        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either<'a>(PhantomData<&'a ()>);

                impl<'de: 'a, 'a> Visitor<'de> for Either<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str($expecting)
                    }

                    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                        Ok($name::$text(Text(Cow::Borrowed(text))))
                    }

                    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                        Ok($name::$text(Text(Cow::Owned(text.to_owned()))))
                    }

                    fn $method<A: $access<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                        Deserialize::deserialize(value::$deserializer::new(access)).map($name::$other)
                    }
                }

                deserializer.deserialize_any(Either(PhantomData))
            }
        }
    };
}

string_or!(Content, "a string or an array", Text, visit_seq<SeqAccess> => SeqAccessDeserializer, Parts);
string_or!(Stop, "a string or an array", One, visit_seq<SeqAccess> => SeqAccessDeserializer, Many);
string_or!(ToolChoice, "a string or an object", Mode, visit_map<MapAccess> => MapAccessDeserializer, Named);

#[cfg(test)]
mod tests {
    use super::{ChatCompletionRequest, Content};
    use std::borrow::Cow;

    #[crate::test]
    fn text_without_escapes_is_borrowed() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"plain"},{"role":"user","content":[{"type":"text","text":"a\nb"}]}]}"#;
        let request = ChatCompletionRequest::parse(body).unwrap();
        let messages = request.messages.unwrap();
        let Some(Content::Text(text)) = &messages[0].content else {
            panic!("expected text")
        };
        assert!(matches!(text.0, Cow::Borrowed("plain")));
        let Some(Content::Parts(parts)) = &messages[1].content else {
            panic!("expected parts")
        };
        assert_eq!(parts[0].text.as_deref(), Some("a\nb"));
    }

    #[crate::test]
    fn unknown_members_are_kept_and_null_is_absence() {
        let body = br#"{"seed":7,"store":null,"stop":null,"metadata":{"a":"b"}}"#;
        let request = ChatCompletionRequest::parse(body).unwrap();
        assert!(request.stop.is_none());
        assert_eq!(request.rest.len(), 1);
        assert_eq!((&*request.rest[0].0, request.rest[0].1.get()), ("seed", "7"));
        assert_eq!(request.metadata.unwrap().rest.len(), 1);
    }
}
