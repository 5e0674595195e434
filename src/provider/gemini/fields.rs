// SPDX-License-Identifier: Apache-2.0

//! Fields of the request that only few providers know, read from what the shared type leaves as JSON.
//!
//! Beside OpenAI's own these are Google's: `extra_body.google`, as Google's OpenAI endpoint takes it
//! (<https://ai.google.dev/gemini-api/docs/openai#extra-body>), and `safety_settings`.

use crate::api_error::ApiError;
use crate::protocol::gemini::generate_content::{PrebuiltVoiceConfig, SpeechConfig, VoiceConfig};
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::json_slice;
use crate::provider::unsupported::{Place, Report, wrong};
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What these fields say.
#[derive(Debug, Default)]
pub(super) struct Fields<'r> {
    pub(super) seed: Option<i32>,
    pub(super) presence_penalty: Option<Number>,
    pub(super) frequency_penalty: Option<Number>,
    pub(super) logprobs: bool,
    pub(super) top_logprobs: Option<u64>,
    /// `web_search_options` are there.
    pub(super) has_web_search: bool,
    pub(super) safety_settings: Option<&'r RawValue>,
    pub(super) cached_content: Option<Cow<'r, str>>,
    pub(super) thinking_config: Option<&'r RawValue>,
    pub(super) response_modalities: Vec<&'static str>,
    pub(super) speech_config: Option<SpeechConfig<'r>>,
}

impl<'r> Fields<'r> {
    pub(super) fn read(
        request: &'r ChatCompletionRequest<'r>,
        report: &mut Report,
    ) -> Result<Self, ApiError> {
        let mut fields = Self::default();
        for given in &request.rest {
            let value: &'r RawValue = given.1;
            match &*given.0 {
                "seed" => {
                    let seed: i64 = read("seed", value, "an integer")?;
                    // Gemini's seed has 32 bits.
                    match i32::try_from(seed) {
                        Ok(seed) => fields.seed = Some(seed),
                        Err(_) => report.drop_field("seed")?,
                    }
                }
                "presence_penalty" => {
                    fields.presence_penalty = Some(read("presence_penalty", value, "a number")?);
                }
                "frequency_penalty" => {
                    fields.frequency_penalty = Some(read("frequency_penalty", value, "a number")?);
                }
                "logprobs" => fields.logprobs = read("logprobs", value, "a boolean")?,
                "top_logprobs" => {
                    fields.top_logprobs = Some(read("top_logprobs", value, "a non-negative integer")?);
                }
                "web_search_options" => {
                    let options: BTreeMap<Cow<'_, str>, &RawValue> =
                        read("web_search_options", value, "an object")?;
                    fields.has_web_search = true;
                    if !options.is_empty() {
                        report.approximate_field("web_search_options");
                    }
                }
                "modalities" => fields.response_modalities = modalities(value, report)?,
                "audio" => fields.speech_config = speech(value, report)?,
                "safety_settings" | "safetySettings" => {
                    let _: Vec<&RawValue> = read("safety_settings", value, "an array")?;
                    fields.safety_settings = Some(value);
                }
                "extra_body" => fields.read_extra_body(value, report)?,
                _ => report.drop_rest(Place::TOP, core::slice::from_ref(given))?,
            }
        }
        if !fields.logprobs && fields.top_logprobs.is_some_and(|alternatives| alternatives > 0) {
            report.drop_field("top_logprobs")?;
        }
        Ok(fields)
    }

    fn read_extra_body(&mut self, value: &'r RawValue, report: &mut Report) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct Named<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);
        let Named(owners) = read("extra_body", value, "an object")?;
        for (owner, settings) in owners {
            if owner != "google" {
                report.drop_member(Place::TOP, &format!("extra_body.{owner}"))?;
                continue;
            }
            let Named(settings) = read("extra_body.google", settings, "an object")?;
            for (name, value) in settings {
                match &*name {
                    "thinking_config" | "thinkingConfig" => self.thinking_config = Some(value),
                    "cached_content" | "cachedContent" => {
                        self.cached_content =
                            Some(read("extra_body.google.cached_content", value, "a string")?);
                    }
                    _ => report.drop_member(Place::TOP, &format!("extra_body.google.{name}"))?,
                }
            }
        }
        Ok(())
    }
}

/// The kinds of output. Text alone goes without saying, and models that speak do nothing else: where OpenAI wants both
/// words, Google takes one.
fn modalities(given: &RawValue, report: &mut Report) -> Result<Vec<&'static str>, ApiError> {
    let given: Vec<Cow<'_, str>> = read("modalities", given, "an array of strings")?;
    let mut modalities = Vec::with_capacity(given.len());
    for word in &given {
        match &**word {
            "text" => modalities.push("TEXT"),
            "image" => modalities.push("IMAGE"),
            "audio" => modalities.push("AUDIO"),
            _ => report.drop_field("modalities")?,
        }
    }
    if modalities == ["TEXT"] {
        return Ok(Vec::new());
    }
    if modalities.contains(&"AUDIO") && modalities.len() > 1 {
        report.approximate_field("modalities");
        modalities = vec!["AUDIO"];
    }
    Ok(modalities)
}

/// The voice. Gemini speaks raw samples of 16 bits, whatever the format, and has voices of its own.
fn speech<'r>(given: &'r RawValue, report: &mut Report) -> Result<Option<SpeechConfig<'r>>, ApiError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Audio<'a> {
        #[serde(borrow)]
        voice: Option<&'a RawValue>,
        #[serde(borrow)]
        format: Option<Cow<'a, str>>,
    }
    let audio: Audio<'r> = read("audio", given, "an object")?;
    let Some(voice_name) = audio.voice.and_then(json_slice::text) else {
        return report.drop_field("audio").map(|()| None);
    };
    if audio.format.as_deref() != Some("pcm16") {
        report.approximate_field("audio");
    }
    Ok(Some(SpeechConfig {
        voice_config: VoiceConfig {
            prebuilt_voice_config: PrebuiltVoiceConfig { voice_name },
        },
    }))
}

fn read<'r, T: Deserialize<'r>>(name: &str, value: &'r RawValue, expected: &str) -> Result<T, ApiError> {
    serde_json::from_str(value.get()).map_err(|_| wrong(name.to_owned(), expected))
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;
    use crate::provider::unsupported::Report;

    #[crate::test]
    fn google_s_own_settings_are_read_where_google_has_them() {
        let body = br#"{"extra_body":{"google":{"cached_content":"cachedContents/1","thinking_config":{"thinking_budget":5},"x":1},"other":{}},"logit_bias":{}}"#;
        let request = ChatCompletionRequest::parse(body).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let fields = Fields::read(&request, &mut report).unwrap();
        assert_eq!(fields.cached_content.as_deref(), Some("cachedContents/1"));
        assert_eq!(fields.thinking_config.unwrap().get(), r#"{"thinking_budget":5}"#);
        assert_eq!(report.into_parts().0, ["extra_body.google.x", "extra_body.other"]);
    }

    #[crate::test]
    fn a_wrong_type_is_named() {
        for (body, param) in [
            (r#"{"seed":"a"}"#, "seed"),
            (r#"{"logprobs":1}"#, "logprobs"),
            (r#"{"top_logprobs":-1}"#, "top_logprobs"),
            (r#"{"extra_body":[]}"#, "extra_body"),
            (r#"{"extra_body":{"google":1}}"#, "extra_body.google"),
            (r#"{"web_search_options":true}"#, "web_search_options"),
            (r#"{"safety_settings":{}}"#, "safety_settings"),
        ] {
            let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
            let error = Fields::read(&request, &mut Report::new(OnUnsupported::Drop)).unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }

    #[crate::test]
    fn a_seed_beyond_32_bits_is_reported() {
        let request = ChatCompletionRequest::parse(br#"{"seed":2147483648}"#).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        assert_eq!(Fields::read(&request, &mut report).unwrap().seed, None);
        assert_eq!(report.into_parts().0, ["seed"]);
    }
}
