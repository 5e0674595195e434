// SPDX-License-Identifier: Apache-2.0

//! The fidelity contract against the translators, and against `docs/providers.md`.
//!
//! Every clause is run: a request with that field alone is translated, and what is sent, dropped, approximated or
//! refused has to be what the contract says. `UPDATE_GOLDEN=1` writes the document's tables anew.

#![cfg(not(target_family = "wasm"))]
#![expect(
    clippy::disallowed_methods,
    reason = "this test reads and writes the document"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file is a test, its functions included"
)]

use serde_json::Value;
use tollgate::api_error::ApiError;
use tollgate::config::{OnUnsupported, ProviderKind};
use tollgate::provider::fidelity::{CONTRACTS, Contract, Fate, chat_table, embeddings_table};
use tollgate::provider::{Operation, Settings, UpstreamRequest, translate_request};

/// A value for each field of a request, such that it says something.
fn example(field: &str) -> Value {
    let json = match field {
        "model" => r#""some-model""#,
        "messages" => r#"[{"role":"user","content":"Hi"}]"#,
        "tools" => {
            r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#
        }
        "functions" => r#"[{"name":"f"}]"#,
        "tool_choice" => r#"{"type":"function","function":{"name":"f"}}"#,
        "reasoning_effort" => r#""high""#,
        "function_call" | "service_tier" => r#""auto""#,
        "parallel_tool_calls" => "false",
        "response_format" => {
            r#"{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","additionalProperties":false},"strict":true}}"#
        }
        "stop" => r#"["END"]"#,
        "stream" | "store" | "logprobs" => "true",
        "stream_options" => r#"{"include_usage":true}"#,
        "temperature" | "top_p" => "0.5",
        "presence_penalty" | "frequency_penalty" => "0.25",
        "n" | "top_k" | "top_logprobs" => "2",
        "max_tokens" | "max_completion_tokens" => "100",
        "seed" => "7",
        "metadata" => r#"{"user_id":"u"}"#,
        "user" | "safety_identifier" | "prompt_cache_key" | "verbosity" => r#""low""#,
        "prompt_cache_retention" => r#""24h""#,
        "prompt_cache_options" => r#"{"mode":"explicit"}"#,
        "logit_bias" => r#"{"1":2}"#,
        "modalities" => r#"["text","audio"]"#,
        "audio" => r#"{"voice":"alloy","format":"wav"}"#,
        "prediction" | "web_search_options" => r#"{"type":"content"}"#,
        "moderation" => r#"{"model":"m"}"#,
        "encoding_format" => r#""base64""#,
        "input" => r#"["a"]"#,
        "input as ids" => "[1, 2]",
        "dimensions" => "256",
        "thinking" => r#"{"type":"disabled"}"#,
        "cache_control" => r#"{"type":"ephemeral"}"#,
        other => panic!("the field {other} is new: give it a value here"),
    };
    serde_json::from_str(json).unwrap()
}

/// A request with this field, and what the field needs.
fn request_with(field: &str) -> Value {
    let mut request = serde_json::json!({"model": "some-model", "messages": example("messages")});
    for needed in match field {
        "tool_choice" | "parallel_tool_calls" => vec!["tools"],
        "stream_options" => vec!["stream"],
        "top_logprobs" => vec!["logprobs"],
        _ => vec![],
    } {
        request[needed] = example(needed);
    }
    request[field] = example(field);
    request
}

fn embeddings_with(field: &str) -> Value {
    let mut request = serde_json::json!({"model": "some-model", "input": example("input")});
    request[field.trim_end_matches(" as ids")] = example(field);
    request
}

fn translate(
    (contract, kind): (&Contract, ProviderKind),
    operation: Operation,
    on_unsupported: OnUnsupported,
    request: &Value,
) -> Result<(UpstreamRequest, Value), ApiError> {
    let settings = Settings {
        operation,
        on_unsupported,
        ..Settings::of(
            kind,
            match operation {
                Operation::Chat => contract.chat_model,
                Operation::Embeddings => contract.embeddings_model,
            },
        )
    };
    let mut out = Vec::new();
    let translated = translate_request(&serde_json::to_vec(request).unwrap(), &settings, &mut out)?;
    Ok((translated, serde_json::from_slice(&out).unwrap()))
}

/// Runs one clause.
fn check(
    (contract, kind): (&Contract, ProviderKind),
    operation: Operation,
    field: &str,
    fate: Fate,
    request: &Value,
) {
    let place = format!("{field} for {}, {kind:?}: {fate:?}", contract.title);
    let name = field.trim_end_matches(" as ids");
    let result = translate((contract, kind), operation, OnUnsupported::Drop, request);
    if fate == Fate::Refused {
        let error = result.unwrap_err();
        assert_eq!(
            (error.status, error.param.as_deref()),
            (400, Some(name)),
            "{place}"
        );
        return;
    }
    let (translated, sent) = result.unwrap_or_else(|error| panic!("{place}: {error:?}"));
    let is_in = |list: &[std::borrow::Cow<'_, str>]| list.iter().any(|path| path == name);
    let at = |path: &str| sent.pointer(&format!("/{}", path.replace('.', "/"))).is_some();
    assert_eq!(
        is_in(&translated.dropped),
        fate == Fate::Dropped,
        "{place}: {:?}",
        translated.dropped
    );
    let is_approximated = matches!(fate, Fate::Approximated(_));
    assert_eq!(
        is_in(&translated.approximated),
        is_approximated,
        "{place}: {:?}",
        translated.approximated
    );
    match fate {
        Fate::Kept => assert_eq!(sent[name], request[name], "{place}"),
        Fate::Mapped(path) | Fate::Approximated(path) => assert!(at(path), "{place}: {sent}"),
        Fate::LeftOut | Fate::Dropped => assert!(sent.get(name).is_none(), "{place}: {sent}"),
        Fate::Refused => {}
    }
    let strict = translate((contract, kind), operation, OnUnsupported::Reject, request);
    match strict {
        Err(error) => {
            assert_eq!(fate, Fate::Dropped, "{place}: {error:?}");
            assert_eq!(
                (error.status, error.code.as_deref()),
                (400, Some("unsupported_parameter")),
                "{place}"
            );
            // A field that needs another may be refused for that.
            let param = error.param.unwrap_or_default();
            assert!(
                param.starts_with(name) || request.get(&*param).is_some(),
                "{place}: {param}"
            );
        }
        Ok(_) => assert_ne!(fate, Fate::Dropped, "{place}: nothing was refused"),
    }
}

/// Every contract with each of its kinds.
fn contracts() -> impl Iterator<Item = (&'static Contract, ProviderKind)> {
    CONTRACTS
        .into_iter()
        .flat_map(|contract| contract.kinds.iter().map(move |kind| (contract, *kind)))
}

#[test]
fn every_kind_has_a_contract() {
    let schema = std::fs::read_to_string("envoy/gateway.schema.json").unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    for word in schema["$defs"]["ProviderKind"]["oneOf"].as_array().unwrap() {
        let kind: ProviderKind = serde_json::from_value(word["const"].clone()).unwrap();
        let has_contract = contracts().any(|(_, found)| found == kind);
        assert!(
            has_contract,
            "{kind:?} is in no contract of src/provider/fidelity.rs"
        );
    }
}

#[test]
fn every_clause_about_chat_is_kept() {
    for (contract, kind) in contracts() {
        for (field, fate, _) in contract.chat {
            let request = request_with(field);
            check((contract, kind), Operation::Chat, field, *fate, &request);
        }
    }
}

#[test]
fn every_clause_about_embeddings_is_kept() {
    for (contract, kind) in contracts() {
        for (field, fate, _) in contract.embeddings {
            let request = embeddings_with(field);
            check((contract, kind), Operation::Embeddings, field, *fate, &request);
        }
        if contract.embeddings.is_empty() {
            let request = embeddings_with("input");
            let (operation, lenient) = (Operation::Embeddings, OnUnsupported::Drop);
            let error = translate((contract, kind), operation, lenient, &request).unwrap_err();
            assert_eq!(
                (error.status, error.code.as_deref()),
                (400, Some("unsupported_operation"))
            );
        }
    }
}

#[test]
fn the_document_holds_the_contract() {
    let path = "docs/providers.md";
    let text = std::fs::read_to_string(path).unwrap();
    let mut made = text.clone();
    for (name, table) in [
        ("chat fields", chat_table()),
        ("embeddings fields", embeddings_table()),
    ] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let start = made.find(&begin).unwrap() + begin.len();
        let stop = made.find(&end).unwrap();
        made.replace_range(start..stop, &table);
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &made).unwrap();
    } else {
        assert!(
            text == made,
            "{path} is out of date: UPDATE_GOLDEN=1 cargo test --test fidelity"
        );
    }
}
