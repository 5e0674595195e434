// SPDX-License-Identifier: Apache-2.0

//! Golden tests: what each translator makes of the fixtures.
//!
//! `tests/fixtures/requests/chat/<case>.json` is translated for each provider and compared with
//! `<case>.<provider>.snap`, requests for embeddings likewise; `tests/fixtures/responses/<provider>/<case>.json` and `.sse` are translated back and
//! compared with `<case>.chat.snap`. `.events` are binary streams, written as text. A stream has to give the same
//! snapshot whole, byte by byte and in sevens.
//! `UPDATE_GOLDEN=1` rewrites the snapshots; the difference is then read before it is committed.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "fixtures are files, and each is there"
)]

use std::path::{Path, PathBuf};
use tollgate::config::{OnUnsupported, ProviderKind};
use tollgate::provider::{
    Operation, Settings, UpstreamRequest, response_stream, translate_request, translate_response,
};

const PROVIDERS: [(&str, ProviderKind, &str); 9] = [
    ("anthropic", ProviderKind::Anthropic, "claude-sonnet-4-5"),
    ("azure", ProviderKind::AzureOpenAi, "my-gpt"),
    (
        "bedrock",
        ProviderKind::AwsBedrock,
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    ("cohere", ProviderKind::Cohere, "command-a-03-2025"),
    ("gemini", ProviderKind::Gemini, "gemini-2.5-flash"),
    ("sagemaker", ProviderKind::AwsSageMaker, "my-endpoint"),
    ("vertex", ProviderKind::VertexAi, "gemini-2.5-flash"),
    ("vertex-claude", ProviderKind::VertexAi, "claude-sonnet-4-5"),
    ("vllm", ProviderKind::OpenAiCompatible, "qwen3"),
];

/// Those whose answers differ from the others'.
const ANSWERING: [&str; 7] = [
    "anthropic",
    "azure",
    "bedrock",
    "cohere",
    "gemini",
    "sagemaker",
    "vllm",
];

/// Those with embeddings.
const EMBEDDING: [(&str, ProviderKind, &str); 6] = [
    ("azure", ProviderKind::AzureOpenAi, "my-embeddings"),
    ("bedrock", ProviderKind::AwsBedrock, "cohere.embed-english-v3"),
    ("cohere", ProviderKind::Cohere, "embed-v4.0"),
    ("gemini", ProviderKind::Gemini, "gemini-embedding-001"),
    ("vertex", ProviderKind::VertexAi, "text-embedding-005"),
    ("vllm", ProviderKind::OpenAiCompatible, "bge"),
];

fn answering() -> impl Iterator<Item = (&'static str, ProviderKind, &'static str)> {
    PROVIDERS
        .into_iter()
        .filter(|(name, _, _)| ANSWERING.contains(name))
}

fn settings(kind: ProviderKind, upstream_model: &str) -> Settings {
    Settings {
        kind,
        operation: Operation::Chat,
        upstream_model: upstream_model.to_owned(),
        on_unsupported: OnUnsupported::Drop,
        stream_usage: true,
        output_bound_field: kind.output_bound_field(),
        developer_role: kind.keeps_to_openai(),
        default_max_tokens: 4096,
        max_output_tokens: None,
        created: 1_700_000_000,
        answer_id: "chatcmpl-golden".to_owned(),
        told_input_tokens: None,
        max_event_bytes: 1 << 20,
        api_version: None,
        unsupported: &[],
    }
}

/// The fixtures of a folder with one of these extensions, in order.
fn fixtures(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            extensions
                .iter()
                .any(|wanted| path.extension().is_some_and(|found| found == *wanted))
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures");
    paths
}

/// An event stream of Amazon's (<https://smithy.io/2.0/aws/amazon-eventstream.html>): a message for each line, which
/// holds the event's name, with a `!` before that of an exception, and its payload. In the parts of a payload that is no
/// JSON, `\n` is a line end.
fn framed(lines: &str) -> Vec<u8> {
    let mut stream = Vec::new();
    for line in lines.lines() {
        let (name, payload) = line.split_once(' ').unwrap();
        let (kind, header, name) = match name.strip_prefix('!') {
            Some(name) => ("exception", ":exception-type", name),
            None => ("event", ":event-type", name),
        };
        let payload = match name {
            "PayloadPart" => payload.replace("\\n", "\n"),
            _ => payload.to_owned(),
        };
        let mut headers = Vec::new();
        for (header, value) in [
            (header, name),
            (":content-type", "application/json"),
            (":message-type", kind),
        ] {
            headers.push(u8::try_from(header.len()).unwrap());
            headers.extend_from_slice(header.as_bytes());
            headers.push(7);
            headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            headers.extend_from_slice(value.as_bytes());
        }
        let wide = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        let mut message = wide(16 + headers.len() + payload.len()).to_vec();
        message.extend_from_slice(&wide(headers.len()));
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        message.extend_from_slice(&headers);
        message.extend_from_slice(payload.as_bytes());
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        stream.append(&mut message);
    }
    stream
}

fn compare(fixture: &Path, kind: &str, found: &str) {
    let snapshot = fixture.with_extension(format!("{kind}.snap"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&snapshot, found).unwrap();
    }
    let expected = std::fs::read_to_string(&snapshot).unwrap_or_default();
    assert_eq!(found, expected, "{}", snapshot.display());
}

fn pretty(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn requests_are_translated_as_recorded() {
    check_requests("requests/chat", Operation::Chat, &PROVIDERS);
}

#[test]
fn requests_for_embeddings_are_translated_as_recorded() {
    check_requests("requests/embeddings", Operation::Embeddings, &EMBEDDING);
}

fn check_requests(folder: &str, operation: Operation, providers: &[(&str, ProviderKind, &str)]) {
    for fixture in fixtures(folder, &["json"]) {
        let body = std::fs::read(&fixture).unwrap();
        for (name, kind, model) in providers {
            let settings = Settings {
                operation,
                ..settings(*kind, model)
            };
            let mut out = Vec::new();
            let found = match translate_request(&body, &settings, &mut out) {
                Ok(request) => format!(
                    "path: {}\ndropped: {}\n{}stream: {}, usage: {}\n{}\n",
                    request.path,
                    request.dropped.join(", "),
                    match request.approximated.as_slice() {
                        [] => String::new(),
                        fields => format!("approximated: {}\n", fields.join(", ")),
                    },
                    request.is_streaming,
                    request.include_usage,
                    pretty(&out)
                ),
                Err(error) => format!("status: {}\n{}\n", error.status, pretty(&error.to_json())),
            };
            compare(&fixture, name, &found);
        }
    }
}

#[test]
fn answers_are_translated_as_recorded() {
    for (name, kind, model) in answering() {
        for fixture in fixtures(&format!("responses/{name}"), &["json"]) {
            let body = std::fs::read(&fixture).unwrap();
            let mut out = Vec::new();
            let found = match translate_response(
                &body,
                &settings(kind, model),
                &UpstreamRequest::default(),
                &mut out,
            ) {
                Ok(tally) => format!("{tally:?}\n{}\n", pretty(&out)),
                Err(fault) => format!("{fault:?}\n"),
            };
            compare(&fixture, "chat", &found);
        }
    }
}

#[test]
fn streams_are_translated_as_recorded_however_they_are_cut() {
    for (name, kind, model) in answering() {
        for fixture in fixtures(&format!("responses/{name}"), &["sse", "events"]) {
            let mut body = std::fs::read(&fixture).unwrap();
            if fixture.extension().is_some_and(|extension| extension == "events") {
                body = framed(&String::from_utf8(body).unwrap());
            }
            for size in [body.len(), 1, 7] {
                let request = UpstreamRequest {
                    include_usage: true,
                    ..UpstreamRequest::default()
                };
                let mut stream = response_stream(&settings(kind, model), &request);
                let mut out = Vec::new();
                let outcome = body
                    .chunks(size)
                    .try_for_each(|chunk| stream.on_bytes(chunk, &mut out).map(|_| ()))
                    .and_then(|()| stream.on_end(&mut out));
                let text = String::from_utf8(out).unwrap();
                let found = format!("{text}{outcome:?}\n{:?}\n", stream.tally());
                compare(&fixture, "chat", &found);
            }
        }
    }
}
