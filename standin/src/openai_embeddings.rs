// SPDX-License-Identifier: Apache-2.0

//! The OpenAI stand-in's embeddings (<https://platform.openai.com/docs/api-reference/embeddings/create>).
//!
//! A vector is made of its text's bytes: the same text gives the same vector, of length 1, in either encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::member_order::{OPENAI, in_order};
use crate::openai::{headers, invalid, not_json, unauthenticated};
use crate::reply::{Reply, Scene};
use crate::text;

const KNOWN_MEMBERS: [&str; 5] = ["dimensions", "encoding_format", "input", "model", "user"];

/// What `text-embedding-3-small` gives unasked.
const DIMENSIONS: u64 = 1536;

/// Answers `POST /v1/embeddings`.
pub(crate) fn embeddings(has_bearer: bool, body: &[u8], scene: &Scene<'_>) -> Reply {
    if !has_bearer {
        return unauthenticated(scene);
    }
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return not_json(scene);
    };
    answer(&request, scene).unwrap_or_else(|refused| refused)
}

fn answer(request: &Map<String, Value>, scene: &Scene<'_>) -> Result<Reply, Reply> {
    let known = |name: &&String| KNOWN_MEMBERS.contains(&name.as_str());
    if let Some(unknown) = request.keys().find(|name| !known(name)) {
        let message = format!("Unrecognized request argument supplied: {unknown}");
        return Err(invalid(scene, &message, None, None));
    }
    let model = request.get("model").and_then(Value::as_str);
    let model = model.ok_or_else(|| invalid(scene, "you must provide a model parameter", None, None))?;
    let inputs = inputs(request.get("input")).ok_or_else(|| {
        let message = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.";
        invalid(scene, message, None, None)
    })?;
    let dimensions = match request.get("dimensions") {
        None | Some(Value::Null) => DIMENSIONS,
        Some(given) => given
            .as_u64()
            .filter(|given| (1..=3072).contains(given))
            .ok_or_else(|| {
                invalid(
                    scene,
                    "Invalid value for 'dimensions'.",
                    Some("dimensions"),
                    Some("invalid_value"),
                )
            })?,
    };
    let is_base64 = match request.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let message = "Invalid value for 'encoding_format'.";
            return Err(invalid(
                scene,
                message,
                Some("encoding_format"),
                Some("invalid_value"),
            ));
        }
    };
    let mut input_tokens = 0_u32;
    let mut data = Vec::new();
    for (index, (bytes, count)) in inputs.iter().enumerate() {
        input_tokens = input_tokens.saturating_add(*count);
        let vector = vector(bytes, dimensions);
        let embedding = if is_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        data.push(json!({"object": "embedding", "index": index, "embedding": embedding}));
    }
    let mut document = json!({"object": "list", "data": data, "model": model});
    if let (false, Some(document)) = (scene.fault.no_usage, document.as_object_mut()) {
        let usage = json!({"prompt_tokens": input_tokens, "total_tokens": input_tokens});
        document.insert("usage".to_owned(), usage);
    }
    let mut reply = Reply::json(200, headers(scene), in_order(&document, OPENAI));
    reply.input_tokens = input_tokens;
    Ok(reply)
}

/// The bytes and the token count of every input; `None` if the reference allows no such input.
fn inputs(input: Option<&Value>) -> Option<Vec<(Vec<u8>, u32)>> {
    let of_text = |text: &str| {
        let bytes = text.as_bytes().to_vec();
        (!bytes.is_empty()).then(|| (bytes, text::input_tokens(text.len())))
    };
    let of_ids = |ids: &[Value]| {
        let all: Option<Vec<u64>> = ids.iter().map(Value::as_u64).collect();
        let all = all.filter(|all| !all.is_empty())?;
        let count = u32::try_from(all.len()).ok()?;
        Some((all.into_iter().flat_map(u64::to_le_bytes).collect(), count))
    };
    match input? {
        Value::String(text) => Some(vec![of_text(text)?]),
        Value::Array(items) if items.first()?.is_number() => Some(vec![of_ids(items)?]),
        Value::Array(items) if items.len() <= 2048 => items
            .iter()
            .map(|item| match item {
                Value::String(text) => of_text(text),
                Value::Array(ids) => of_ids(ids),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// The vector of some bytes.
pub(crate) fn vector(bytes: &[u8], dimensions: u64) -> Vec<f32> {
    let mut state = bytes.iter().fold(0x9e37_79b9_u32, |state, byte| {
        (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    let mut numbers: Vec<f32> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect();
    let length = numbers
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt()
        .max(f32::MIN_POSITIVE);
    numbers.iter_mut().for_each(|number| *number /= length);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Identifiers;
    use crate::faults::Fault;
    use crate::reply::Form;

    fn ask(request: &Value) -> (u16, Value) {
        let ids = Identifiers::seeded(1);
        let scene = Scene {
            unix_now: 5,
            ids: &ids,
            fault: &Fault::default(),
        };
        let reply = embeddings(true, request.to_string().as_bytes(), &scene);
        let Form::Whole { bytes, .. } = reply.form else {
            panic!("expected a document")
        };
        (reply.status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    #[test]
    fn a_batch_has_a_vector_for_each_input_in_order() {
        let (status, list) = ask(&json!({"model": "m", "input": ["abcd", "efghi"], "dimensions": 4}));
        assert_eq!(
            (status, &list["object"], &list["model"]),
            (200, &json!("list"), &json!("m"))
        );
        assert_eq!(list["usage"], json!({"prompt_tokens": 4 + 5, "total_tokens": 9}));
        for index in 0..2 {
            let item = &list["data"][index];
            assert_eq!(
                (&item["index"], &item["object"]),
                (&json!(index), &json!("embedding"))
            );
            let numbers: Vec<f32> = serde_json::from_value(item["embedding"].clone()).expect("numbers");
            let length: f32 = numbers.iter().map(|number| number * number).sum();
            assert!(numbers.len() == 4 && (length - 1.0).abs() < 1e-5);
        }
        assert_ne!(list["data"][0]["embedding"], list["data"][1]["embedding"]);
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        let (_, floats) = ask(&json!({"model": "m", "input": [1, 2], "dimensions": 3}));
        let (_, base64) =
            ask(&json!({"model": "m", "input": [1, 2], "dimensions": 3, "encoding_format": "base64"}));
        let bytes = STANDARD
            .decode(base64["data"][0]["embedding"].as_str().expect("text"))
            .expect("base64");
        let numbers: Vec<f32> = bytes
            .chunks(4)
            .map(|c| f32::from_le_bytes(c.try_into().expect("4")))
            .collect();
        assert_eq!(json!(numbers), floats["data"][0]["embedding"]);
        assert_eq!(floats["usage"]["prompt_tokens"], 2);
    }

    #[test]
    fn what_openai_refuses_is_refused() {
        for (member, value) in [
            ("input", json!("")),
            ("input", json!([])),
            ("input", json!([1, "a"])),
            ("dimensions", json!(0)),
            ("encoding_format", json!("hex")),
            ("messages", json!([])),
        ] {
            let mut request = json!({"model": "m", "input": "a"});
            request[member] = value;
            let (status, error) = ask(&request);
            assert_eq!(
                (status, &error["error"]["type"]),
                (400, &json!("invalid_request_error")),
                "{request}"
            );
        }
    }
}
