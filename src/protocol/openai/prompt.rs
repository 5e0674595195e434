// SPDX-License-Identifier: Apache-2.0

//! How large a prompt is, and whether its messages have the shape that every provider expects.
//!
//! The estimate of input tokens goes by bytes of text, the number of images, and bytes of audio and files, each with a
//! rate of its own: base64 data costs tokens by what it shows, so it is no text. Nothing is kept: each message is
//! looked at once, borrowed, and only the content of those with parts is read a second time.

use crate::api_error::ApiError;
use crate::protocol::json_object::kind_of;
use crate::usage::estimate::PromptSize;
use core::fmt;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Size of the `messages` array.
///
/// # Errors
///
/// 400 if it is no array, if it is empty, or if a message is no object with a `role`.
pub(super) fn measure(messages: &str) -> Result<PromptSize, ApiError> {
    const EXPECTED: &str = "expected an array of messages";
    if !messages.starts_with('[') {
        let message = format!("messages: {EXPECTED}, found {}", kind_of(messages));
        return Err(ApiError::bad_request("messages", message));
    }
    let mut walk = Walk::default();
    let mut deserializer = serde_json::Deserializer::from_str(messages);
    if (&mut walk).deserialize(&mut deserializer).is_err() {
        // Once more, slower, to say which message is at fault and why.
        let mut deserializer = serde_json::Deserializer::from_str(messages);
        let mut walk = Walk {
            names_faults: true,
            ..Walk::default()
        };
        let _ = (&mut walk).deserialize(&mut deserializer);
        return Err(walk.fault.unwrap_or_else(|| {
            ApiError::bad_request("messages", format!("messages: {EXPECTED}, found invalid JSON"))
        }));
    }
    if walk.count == 0 {
        let message = format!("messages: {EXPECTED}, found an empty array");
        return Err(ApiError::bad_request("messages", message));
    }
    let bytes = messages.len().saturating_sub(walk.payload_bytes);
    Ok(PromptSize {
        text_bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        images: walk.images,
        audio_bytes: walk.audio_bytes,
        file_bytes: walk.file_bytes,
        schema_bytes: 0,
    })
}

/// A file that is only named counts like one of so many bytes: about a page.
const NAMED_FILE_BYTES: u64 = 65_536;

#[derive(Default)]
struct Walk {
    names_faults: bool,
    count: usize,
    images: u64,
    audio_bytes: u64,
    file_bytes: u64,
    /// Bytes that are no text.
    payload_bytes: usize,
    fault: Option<ApiError>,
}

/// Read by hand: a derived struct would also take an array.
#[derive(Default)]
struct Message<'a> {
    role: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Role,
    Content,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
        let mut message = Message::default();
        while let Some(key) = map.next_key::<Key>()? {
            let place = match key {
                Key::Role => &mut message.role,
                Key::Content => &mut message.content,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if place.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a repeated key"));
            }
        }
        Ok(message)
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    input_audio: Option<Payload<'a>>,
    #[serde(borrow)]
    file: Option<Payload<'a>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    file_data: Option<&'a RawValue>,
}

impl Walk {
    fn fault_of(&self, message: &str) -> Option<ApiError> {
        let wrong = |path: &str, expected: &str, found: &str| {
            let param = format!("messages[{}]{path}", self.count);
            let message = format!("{param}: expected {expected}, found {found}");
            Some(ApiError::bad_request(None, message).with_param(param))
        };
        if !message.starts_with('{') {
            return wrong("", "an object", kind_of(message));
        }
        let Ok(fields) = serde_json::from_str::<Message<'_>>(message) else {
            return wrong("", "unique member names", "a repeated one");
        };
        match fields.role.map(RawValue::get) {
            Some(role) if role.starts_with('"') => None,
            role => wrong(".role", "a string", role.map_or("nothing", kind_of)),
        }
    }

    /// Measures a message; false if it has no `role`.
    fn message(&mut self, message: &Message<'_>) -> bool {
        if let Some(content) = message.content.filter(|content| content.get().starts_with('[')) {
            // Parts of another shape are the provider's business; here they count as text.
            let mut deserializer = serde_json::Deserializer::from_str(content.get());
            let _ = Parts(self).deserialize(&mut deserializer);
        }
        message.role.is_some_and(|role| role.get().starts_with('"'))
    }

    fn part(&mut self, part: &Part<'_>) {
        if part.kind.is_some_and(|kind| kind.get() == "\"image_url\"") {
            self.images = self.images.saturating_add(1);
        }
        if let Some(image) = part.image_url {
            let nested = serde_json::from_str::<Payload<'_>>(image.get())
                .ok()
                .and_then(|image| image.url);
            let _ = self.data_url(nested.unwrap_or(image).get());
        }
        if let Some(audio) = &part.input_audio {
            let bytes = self.data(audio);
            self.audio_bytes = self.audio_bytes.saturating_add(bytes);
        }
        if let Some(file) = &part.file {
            let bytes = self.data(file);
            let counted = if bytes == 0 { NAMED_FILE_BYTES } else { bytes };
            self.file_bytes = self.file_bytes.saturating_add(counted);
        }
    }

    /// Counts the data of a part, with or without a `data:` URL around it.
    fn data(&mut self, payload: &Payload<'_>) -> u64 {
        let mut bytes = 0_u64;
        for data in [payload.data, payload.file_data].into_iter().flatten() {
            let json = data.get();
            if let Some(size) = self.data_url(json) {
                bytes = bytes.saturating_add(size);
            } else if json.starts_with('"') {
                self.payload_bytes = self.payload_bytes.saturating_add(json.len());
                bytes = bytes.saturating_add(u64::try_from(json.len()).unwrap_or(u64::MAX));
            }
        }
        bytes
    }

    /// Counts what follows the comma of a `data:` URL.
    fn data_url(&mut self, json: &str) -> Option<u64> {
        if !json.starts_with("\"data:") {
            return None;
        }
        let comma = memchr::memchr(b',', json.as_bytes()).unwrap_or(json.len());
        let payload = json.len().saturating_sub(comma).saturating_sub(2);
        self.payload_bytes = self.payload_bytes.saturating_add(payload);
        Some(u64::try_from(payload).unwrap_or(u64::MAX))
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<(), A::Error> {
        if self.names_faults {
            while let Some(message) = messages.next_element::<&RawValue>()? {
                self.fault = self.fault_of(message.get());
                if self.fault.is_some() {
                    return Err(A::Error::custom("the fault is named"));
                }
                self.count += 1;
            }
            return Ok(());
        }
        while let Some(message) = messages.next_element::<Message<'_>>()? {
            if !self.message(&message) {
                return Err(A::Error::custom("a message without a role"));
            }
            self.count += 1;
        }
        Ok(())
    }
}

struct Parts<'w>(&'w mut Walk);

impl<'de> DeserializeSeed<'de> for Parts<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<(), A::Error> {
        while let Some(part) = parts.next_element::<&RawValue>()? {
            if let Ok(part) = serde_json::from_str::<Part<'_>>(part.get()) {
                self.0.part(&part);
            }
        }
        Ok(())
    }
}
