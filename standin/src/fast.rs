// SPDX-License-Identifier: Apache-2.0

//! Answers made before the first request, for benchmarks.
//!
//! A benchmark of a gateway must not wait for its stand-in. Here nothing of a request is looked at but its
//! path and whether the bytes `"stream":true` occur, and the answers are the ordinary ones of a fixed prompt.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::anthropic::{self, Presented};
use crate::clock::Identifiers;
use crate::faults::Fault;
use crate::openai;
use crate::playback::ReplyBody;
use crate::reply::{Reply, Scene};
use crate::script::{Script, Step, script};

/// Answers of both providers.
pub(crate) struct FastAnswers {
    openai: Pair,
    anthropic: Pair,
    stream: [memchr::memmem::Finder<'static>; 2],
}

struct Pair {
    document_headers: HeaderMap,
    document: Bytes,
    stream_headers: HeaderMap,
    events: Rc<[Bytes]>,
}

impl FastAnswers {
    /// Makes the answers; streams have `events` content events.
    pub(crate) fn new(events: u32, unix_now: u64, ids: &Identifiers) -> Self {
        let fault = Fault::default();
        let scene = Scene {
            unix_now,
            ids,
            fault: &fault,
        };
        let body = |text: String, is_streaming: bool| {
            let messages = json!([{"role": "user", "content": text}]);
            json!({"model": "fast", "max_tokens": 10_000_000, "messages": messages, "stream": is_streaming})
                .to_string()
        };
        let (plain, streamed) = (
            body("Hello".to_owned(), false),
            body(format!("count:{events}"), true),
        );
        let presented = Presented {
            has_api_key: true,
            has_version: true,
        };
        let openai = |body: &str| openai::chat_completions(true, body.as_bytes(), &scene);
        let anthropic = |body: &str| anthropic::messages(&presented, body.as_bytes(), &scene);
        Self {
            openai: Pair::new(openai(&plain), openai(&streamed)),
            anthropic: Pair::new(anthropic(&plain), anthropic(&streamed)),
            stream: [br#""stream":true"#.as_slice(), br#""stream": true"#].map(memchr::memmem::Finder::new),
        }
    }

    /// The answer to a request, if its path has one.
    pub(crate) fn answer(&self, path: &str, body: &[u8]) -> Option<(HeaderMap, ReplyBody)> {
        let pair = match path {
            "/v1/chat/completions" => &self.openai,
            "/v1/messages" => &self.anthropic,
            _ => return None,
        };
        let is_streaming = self.stream.iter().any(|finder| finder.find(body).is_some());
        Some(if is_streaming {
            let events = ReplyBody::Events {
                events: Rc::clone(&pair.events),
                next: 0,
            };
            (pair.stream_headers.clone(), events)
        } else {
            (
                pair.document_headers.clone(),
                ReplyBody::Document(Some(pair.document.clone())),
            )
        })
    }
}

impl Pair {
    fn new(document: Reply, stream: Reply) -> Self {
        let (document_headers, document) = recorded(document);
        let (stream_headers, events) = recorded(stream);
        Self {
            document_headers,
            document: document.concat().into(),
            stream_headers,
            events: events.into(),
        }
    }
}

fn recorded(reply: Reply) -> (HeaderMap, Vec<Bytes>) {
    let Script { headers, steps, .. } = script(reply, &Fault::default(), Duration::ZERO);
    let sent = steps.filter_map(|step| match step {
        Step::Send(bytes, _) => Some(bytes),
        Step::Wait(_) | Step::Cut => None,
    });
    (header_map(&headers), sent.collect())
}

/// Headers as hyper wants them; those that HTTP does not allow are left out.
pub(crate) fn header_map(headers: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        Some((
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value).ok()?,
        ))
    };
    headers.iter().filter_map(pair).collect()
}
