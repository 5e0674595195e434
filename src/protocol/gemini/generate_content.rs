// SPDX-License-Identifier: Apache-2.0

//! The request of `generateContent` and `streamGenerateContent`
//! (<https://ai.google.dev/api/generate-content#request-body>), as
//! [`json_text::write()`] writes it.

use crate::protocol::json_text;
use serde::Serialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The request body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateContentRequest<'a> {
    /// Instructions; text only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content<'a>>,
    /// The conversation.
    pub contents: Vec<Content<'a>>,
    /// What the model may call.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// Whether it may, or must, call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// How the answer is made.
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub generation_config: GenerationConfig<'a>,
    /// What is blocked: a list of `SafetySetting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_settings: Option<&'a RawValue>,
    /// The name of content that was cached before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_content: Option<Cow<'a, str>>,
    /// `standard`, `flex` or `priority`; not on Vertex AI, which has headers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    /// Labels for billing; only on Vertex AI.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<&'a str, Cow<'a, str>>,
}

/// One turn, or the instructions.
#[derive(Debug, Serialize)]
pub struct Content<'a> {
    /// Who speaks; absent in instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What is said.
    pub parts: Vec<Part<'a>>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The client's side, answers of functions included.
    User,
    /// The model.
    Model,
}

/// A part of a turn.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<'a> {
    /// What it holds.
    #[serde(flatten)]
    pub data: Data<'a>,
    /// The state of the model's reasoning, as it came from the model
    /// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Cow<'a, str>>,
}

impl<'a> From<Data<'a>> for Part<'a> {
    fn from(data: Data<'a>) -> Self {
        Self {
            data,
            thought_signature: None,
        }
    }
}

/// What a part holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Data<'a> {
    /// Text.
    Text(#[serde(serialize_with = "json_text::text")] &'a str),
    /// Media in the request.
    InlineData(Blob<'a>),
    /// Media elsewhere.
    FileData(FileData<'a>),
    /// A call that the model made.
    FunctionCall(FunctionCall<'a>),
    /// What the function answered.
    FunctionResponse(FunctionResponse<'a>),
}

/// Media in the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob<'a> {
    /// Its type.
    pub mime_type: Cow<'a, str>,
    /// Its bytes, in base64.
    #[serde(serialize_with = "json_text::text")]
    pub data: &'a str,
}

/// Media elsewhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileData<'a> {
    /// Its type; Vertex AI requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'static str>,
    /// Its address: `https:`, or `gs:` for Cloud Storage.
    pub file_uri: &'a str,
}

/// A call.
#[derive(Debug, Serialize)]
pub struct FunctionCall<'a> {
    /// The call, which the answer repeats.
    pub id: &'a str,
    /// The function.
    pub name: Cow<'a, str>,
    /// Its arguments, an object.
    pub args: &'a RawValue,
}

/// An answer of a function.
#[derive(Debug, Serialize)]
pub struct FunctionResponse<'a> {
    /// The call.
    pub id: &'a str,
    /// The function.
    pub name: Cow<'a, str>,
    /// The answer, an object.
    pub response: FunctionOutput<'a>,
    /// Media that belong to the answer.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub parts: Vec<Data<'a>>,
}

/// What a function answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum FunctionOutput<'a> {
    /// An object, as the client wrote it.
    Given(&'a RawValue),
    /// Text, which the API wants within an object.
    Text {
        /// The text.
        #[serde(serialize_with = "json_text::text")]
        output: Cow<'a, str>,
    },
}

/// Tools of one kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool<'a> {
    /// The client's functions.
    FunctionDeclarations(Vec<FunctionDeclaration<'a>>),
    /// Google's search, run by Google.
    GoogleSearch(Empty),
}

impl Tool<'_> {
    /// Whether an answer that rests on it names its sources.
    #[must_use]
    pub const fn cites_sources(&self) -> bool {
        match self {
            Self::FunctionDeclarations(_) => false,
            Self::GoogleSearch(_) => true,
        }
    }
}

/// An object without members.
#[derive(Debug, Serialize)]
pub struct Empty {}

/// A function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDeclaration<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// JSON schema of its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_json_schema: Option<Cow<'a, RawValue>>,
}

/// Whether the model may, or must, call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    /// For functions.
    pub function_calling_config: FunctionCallingConfig<'a>,
}

/// Whether the model may, or must, call a function
/// (<https://ai.google.dev/api/caching#FunctionCallingConfig>).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionCallingConfig<'a> {
    /// Whether it may, or must.
    pub mode: Mode,
    /// Which; empty means any. Not with [`Mode::Auto`] and [`Mode::None`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub allowed_function_names: Vec<Cow<'a, str>>,
}

/// Whether the model may, or must, call a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// It may.
    Auto,
    /// It must, and arguments follow the schema.
    Any,
    /// It may not.
    None,
    /// It may, and arguments follow the schema.
    Validated,
}

/// How the answer is made (<https://ai.google.dev/api/generate-content#generationconfig>).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerationConfig<'a> {
    /// 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Number>,
    /// How many candidates are sampled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<Number>,
    /// How many answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_count: Option<u64>,
    /// The output bound, in tokens, thoughts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Where the answer ends.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub stop_sequences: Vec<&'a str>,
    /// The seed of sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i32>,
    /// -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<Number>,
    /// -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<Number>,
    /// Whether log probabilities are told.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub response_logprobs: bool,
    /// Of how many alternatives, 0 to 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u64>,
    /// `application/json` for JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_mime_type: Option<&'static str>,
    /// The JSON schema that the answer follows
    /// (<https://ai.google.dev/gemini-api/docs/structured-output>).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_json_schema: Option<Cow<'a, RawValue>>,
    /// How hard the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_config: Option<ThinkingConfig<'a>>,
    /// How closely media are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_resolution: Option<&'static str>,
    /// `TEXT`, `IMAGE`, `AUDIO`; empty: text.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub response_modalities: Vec<&'static str>,
    /// How the model speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech_config: Option<SpeechConfig<'a>>,
}

/// How the model speaks (<https://ai.google.dev/gemini-api/docs/speech-generation>).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeechConfig<'a> {
    /// Whose voice it has.
    pub voice_config: VoiceConfig<'a>,
}

/// Whose voice a model has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceConfig<'a> {
    /// One that Google has made.
    pub prebuilt_voice_config: PrebuiltVoiceConfig<'a>,
}

/// A voice that Google has made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrebuiltVoiceConfig<'a> {
    /// For example `Kore`.
    pub voice_name: Cow<'a, str>,
}

impl GenerationConfig<'_> {
    /// Whether it says nothing.
    fn is_empty(&self) -> bool {
        self.temperature.is_none()
            && self.top_p.is_none()
            && self.top_k.is_none()
            && self.candidate_count.is_none()
            && self.max_output_tokens.is_none()
            && self.stop_sequences.is_empty()
            && self.seed.is_none()
            && self.presence_penalty.is_none()
            && self.frequency_penalty.is_none()
            && !self.response_logprobs
            && self.logprobs.is_none()
            && self.response_mime_type.is_none()
            && self.response_json_schema.is_none()
            && self.thinking_config.is_none()
            && self.media_resolution.is_none()
            && self.response_modalities.is_empty()
            && self.speech_config.is_none()
    }
}

/// How hard the model thinks (<https://ai.google.dev/gemini-api/docs/thinking>).
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ThinkingConfig<'a> {
    /// As the client wrote it.
    Given(&'a RawValue),
    /// By a budget, or a level.
    #[serde(rename_all = "camelCase")]
    Chosen {
        /// Tokens; 0 is off, -1 as many as the model finds right.
        #[serde(skip_serializing_if = "Option::is_none")]
        thinking_budget: Option<i64>,
        /// For models from Gemini 3 on.
        #[serde(skip_serializing_if = "Option::is_none")]
        thinking_level: Option<ThinkingLevel>,
        /// Whether the answer tells a summary of the thoughts.
        #[serde(skip_serializing_if = "core::ops::Not::not")]
        include_thoughts: bool,
    },
}

/// How hard the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ThinkingLevel {
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// As hard as it can.
    High,
}
