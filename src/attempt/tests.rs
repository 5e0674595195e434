// SPDX-License-Identifier: Apache-2.0

//! Attempts from begin to end, as the filter drives them.

use super::{Attempt, BodyStep, Credentials, Extend, ProviderSeat, RETRYABLE, ResponseHead};
use crate::clock::Timestamp;
use crate::config::{LimitStore, Listener, Model, Provider};
use crate::handoff::{Ceiling, CredentialOwner, Handoff, Phase};
use crate::headers::Headers;
use crate::policy::brought::BroughtHeaders;
use crate::policy::prices::Prices;
use crate::policy::rate_limit::{Lease, RateLimiter, Reservation};
use crate::policy::routing::Routes;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const BODY: &[u8] = br#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
const PLAIN: &[u8] = br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#;
const STREAM: &str = concat!(
    ": keep-alive\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":",
    "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":",
    "[{\"index\":0,\"delta\":{\"content\":\"grüß\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":",
    "[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],",
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n",
    "data: [DONE]\n\n",
);

/// An attempt, with what the host would hold of its answer.
struct Bench {
    attempt: Attempt,
    handoff: Rc<RefCell<Handoff>>,
    sent: Vec<u8>,
    head: Vec<(&'static str, Vec<u8>)>,
}

fn bench(body: &[u8], request_headers: &[(&str, &str)]) -> Bench {
    let provider: Provider = serde_json::from_value(json!({
        "kind": "openai", "endpoint": "https://llm.example/v1", "credential": {"env": "KEY"}
    }))
    .unwrap();
    let model: Model =
        serde_json::from_value(json!({"name": "fast", "targets": [{"provider": "p", "model": "m-1"}]}))
            .unwrap();
    let routes = Routes::new(&[model], &BTreeMap::from([("p".to_owned(), provider.clone())])).unwrap();
    let route = Rc::clone(routes.resolve("fast").unwrap());
    let handoff = Rc::new(RefCell::new(Handoff::new(
        route,
        crate::provider::Operation::Chat,
        "fast".to_owned(),
        7,
        vec![("x-ratelimit-limit-tokens", "9".to_owned())],
    )));
    let bounds = Listener {
        max_response_body_bytes: crate::config::ByteSize(4096),
        ..Listener::default()
    };
    let seat = Rc::new(ProviderSeat::new("p".to_owned(), "p", provider, bounds).unwrap());
    let headers: Headers = request_headers.iter().copied().collect();
    let mut sent = Vec::new();
    let begun = Attempt::begin(
        &seat,
        Some(Rc::clone(&handoff)),
        &headers,
        body,
        &own(),
        &mut sent,
    );
    let (attempt, head) = begun.ok().unwrap();
    Bench {
        attempt,
        handoff,
        sent,
        head,
    }
}

impl Bench {
    fn answer_head(&mut self, status: &str, content_type: &str, more: &[(&str, &str)]) {
        let pairs = [(":status", status), ("content-type", content_type)];
        self.attempt
            .on_response_headers(&pairs.into_iter().chain(more.iter().copied()).collect());
    }

    /// Feeds the body in pieces, as the filter does, and returns the head and the body that the client gets.
    fn answer_body<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Option<ResponseHead>, Vec<u8>) {
        let mut head = None;
        let mut body = Vec::new();
        let pieces: Vec<_> = pieces.into_iter().collect();
        if self.attempt.wants_whole_body() {
            if let BodyStep::Release(released) =
                self.attempt.on_response_body(&pieces.concat(), true, &mut body)
            {
                head = Some(released);
            }
            return (head, body);
        }
        for (index, piece) in pieces.iter().enumerate() {
            let mut out = Vec::new();
            match self
                .attempt
                .on_response_body(piece, index + 1 == pieces.len(), &mut out)
            {
                BodyStep::Release(released) => head = Some(released),
                BodyStep::Hold => assert!(out.is_empty() && head.is_none(), "held bytes must not leave"),
                BodyStep::Pass => assert!(head.is_some(), "nothing passes before its headers"),
                BodyStep::Reply(reply) => {
                    head = Some(ResponseHead::from(&reply));
                    body = reply.body;
                    break;
                }
                BodyStep::Stop => break,
            }
            body.extend(out);
        }
        (head, body)
    }

    fn unread_bytes(&self) -> Option<u64> {
        self.handoff.borrow().attempt.as_ref().unwrap().unread_bytes
    }

    fn phase(&self) -> String {
        format!("{:?}", self.handoff.borrow().attempt.as_ref().unwrap().phase)
    }
}

fn value<'a>(head: &'a [(&'static str, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = head.iter().find(|(known, _)| *known == name)?;
    Some(core::str::from_utf8(value).unwrap())
}

#[crate::test]
fn nothing_of_the_client_travels_on_but_what_is_listed() {
    let bench = bench(
        PLAIN,
        &[
            (":path", "/v1/chat/completions"),
            ("authorization", "Bearer the-client's"),
            ("x-api-key", "the-client's"),
            ("x-tollgate-route", "fast"),
            ("x-forwarded-for", "10.0.0.1"),
            ("cookie", "secret"),
            ("traceparent", "00-1-2-01"),
        ],
    );
    assert_eq!(value(&bench.head, ":authority"), Some("llm.example"));
    assert_eq!(value(&bench.head, ":path"), Some("/v1/chat/completions"));
    assert_eq!(value(&bench.head, "authorization"), Some("Bearer sk-1"));
    assert_eq!(value(&bench.head, "traceparent"), Some("00-1-2-01"));
    assert_eq!(
        value(&bench.head, "content-length"),
        Some(bench.sent.len().to_string().as_str())
    );
    for name in ["x-api-key", "x-tollgate-route", "x-forwarded-for", "cookie"] {
        assert_eq!(value(&bench.head, name), None, "{name}");
    }
    assert!(!format!("{:?}", bench.head).contains("the-client's"));
    assert!(
        String::from_utf8(bench.sent)
            .unwrap()
            .contains(r#""model":"m-1""#)
    );
}

#[crate::test]
fn any_split_of_a_stream_gives_the_same_answer() {
    let whole = bench_stream([STREAM.as_bytes()]);
    assert!(whole.ends_with(b"data: [DONE]\n\n"));
    for at in 1..STREAM.len() {
        let (a, b) = STREAM.as_bytes().split_at(at);
        assert_eq!(bench_stream([a, b]), whole, "split at {at}");
    }
    assert_eq!(bench_stream(STREAM.as_bytes().chunks(1)), whole);
    assert_eq!(bench_stream(STREAM.as_bytes().chunks(7)), whole);
}

fn bench_stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream; charset=utf-8", &[]);
    let (head, body) = bench.answer_body(pieces);
    assert_eq!(value(&head.unwrap().0, ":status"), Some("200"));
    assert_eq!(
        bench.handoff.borrow().attempt.as_ref().unwrap().phase,
        Phase::Complete
    );
    let usage = bench.handoff.borrow().attempt.as_ref().unwrap().tally.usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(9), Some(2)));
    body
}

#[crate::test]
fn headers_are_held_until_content_arrives() {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    assert!(bench.attempt.holds_headers());
    let preamble = STREAM.find("gr").unwrap();
    let mut out = Vec::new();
    assert_eq!(
        bench
            .attempt
            .on_response_body(&STREAM.as_bytes()[..preamble], false, &mut out),
        BodyStep::Hold
    );
    let step = bench
        .attempt
        .on_response_body(&STREAM.as_bytes()[preamble..], true, &mut out);
    assert!(matches!(step, BodyStep::Release(_)));
    assert!(!bench.attempt.holds_headers());
}

#[crate::test]
fn an_error_inside_a_stream_before_content_is_retried() {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    let event = b"data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\",\"code\":503}}\n\n";
    let (head, body) = bench.answer_body([&event[..]]);
    assert_eq!(
        value(&head.unwrap().0, ":status"),
        Some(RETRYABLE.to_string().as_str())
    );
    assert!(String::from_utf8(body).unwrap().contains("Overloaded"));
    assert!(bench.phase().contains("status: 503"), "{}", bench.phase());
}

#[crate::test]
fn an_error_after_content_ends_the_stream_without_done() {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    let upto = STREAM.find("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},").unwrap();
    let error = b"data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\"}}\n\n";
    let (head, body) = bench.answer_body([&STREAM.as_bytes()[..upto], &error[..], b"data: more\n\n"]);
    assert_eq!(value(&head.unwrap().0, ":status"), Some("200"));
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("grüß") && body.trim_end().ends_with("}}"), "{body}");
    assert!(!body.contains("[DONE]") && !body.contains("more"));
}

#[crate::test]
fn what_an_answer_claims_decides_how_it_fails() {
    let long = "x".repeat(5000);
    let json = r#"{"id":"c","object":"chat.completion","choices":[]}"#;
    type Case<'a> = (&'a [u8], &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16);
    let cases: [Case<'_>; 9] = [
        (
            PLAIN,
            "503",
            "application/json",
            &[],
            r#"{"error":{"message":"busy"}}"#,
            RETRYABLE,
        ),
        (
            PLAIN,
            "400",
            "application/json",
            &[],
            r#"{"error":{"message":"bad"}}"#,
            400,
        ),
        (
            PLAIN,
            "401",
            "application/json",
            &[],
            r#"{"error":{"message":"key"}}"#,
            RETRYABLE,
        ),
        (PLAIN, "200", "text/html", &[], "<html>", RETRYABLE),
        (PLAIN, "200", "application/json", &[], "", RETRYABLE),
        (
            PLAIN,
            "200",
            "application/json",
            &[("content-encoding", "gzip")],
            "\u{1f}",
            RETRYABLE,
        ),
        (PLAIN, "302", "text/html", &[], "", RETRYABLE),
        (BODY, "200", "application/json", &[], json, RETRYABLE),
        (BODY, "200", "text/event-stream", &[], "", RETRYABLE),
    ];
    for (request, status, content_type, more, body, expected) in cases {
        let mut bench = bench(request, &[]);
        bench.answer_head(status, content_type, more);
        let (head, out) = bench.answer_body([body.as_bytes()]);
        let head = head.unwrap();
        assert_eq!(
            value(&head.0, ":status"),
            Some(expected.to_string().as_str()),
            "{status} {content_type} {body}"
        );
        assert_eq!(
            value(&head.0, "content-length"),
            Some(out.len().to_string().as_str())
        );
        let error: Value = serde_json::from_slice(&out).unwrap();
        assert!(error["error"]["message"].is_string());
        assert!(bench.phase().starts_with("Failed"));
    }
    let mut bench = bench(PLAIN, &[]);
    bench.answer_head("200", "application/json", &[]);
    assert!(!bench.attempt.may_hold(long.len()));
    assert!(matches!(
        bench.attempt.on_response_too_large(long.len(), &mut Vec::new()),
        BodyStep::Reply(_)
    ));
    assert_eq!(bench.unread_bytes(), Some(5_000));
}

/// An error that the provider tells, and what is no answer of a model, were not produced.
#[crate::test]
fn what_was_seen_of_an_answer_that_cannot_be_read_is_written_down() {
    let (json, stream) = ("application/json; charset=utf-8", "text/event-stream");
    let error = r#"{"error":{"message":"busy"}}"#;
    let completion = r#"{"id":"c","object":"chat.completion","choices":[]}"#;
    for (request, status, content_type, encoding, body, expected) in [
        (PLAIN, "200", json, "identity", "", Some(0)),
        (PLAIN, "200", json, "identity", r#"{"choices":[{"#, Some(13)),
        (PLAIN, "200", json, "gzip", "\u{1f}\u{8}", Some(2)),
        (PLAIN, "200", json, "identity", error, None),
        (PLAIN, "200", json, "identity", completion, None),
        (PLAIN, "200", "text/html", "identity", "<html>", None),
        (PLAIN, "302", json, "identity", "{", None),
        (PLAIN, "503", json, "identity", "<html>", None),
        (BODY, "200", json, "identity", "{", Some(1)),
        (BODY, "200", json, "identity", completion, None),
        (BODY, "200", stream, "identity", "", Some(0)),
        (BODY, "200", stream, "identity", "data: {\"a\n\n", Some(11)),
        (BODY, "200", stream, "identity", STREAM, None),
    ] {
        let mut bench = bench(request, &[]);
        bench.answer_head(status, content_type, &[("content-encoding", encoding)]);
        bench.answer_body([body.as_bytes()]);
        assert_eq!(
            bench.unread_bytes(),
            expected,
            "{status} {content_type} {encoding} {body}"
        );
    }
}

#[crate::test]
fn the_wait_that_a_provider_asks_for_is_kept() {
    let mut bench = bench(PLAIN, &[]);
    bench.answer_head(
        "429",
        "application/json",
        &[("retry-after", "17"), ("x-ratelimit-limit-tokens", "5")],
    );
    let (head, _) = bench.answer_body([br#"{"error":{"message":"slow down"}}"#.as_slice()]);
    let head = head.unwrap();
    assert_eq!(value(&head.0, "retry-after"), Some("17"));
    assert_eq!(
        value(&head.0, "x-ratelimit-limit-tokens"),
        Some("9"),
        "the caller's limit, not the gateway's"
    );
    assert_eq!(value(&head.0, "x-tollgate-attempts"), Some("1"));
    assert_eq!(value(&head.0, "x-tollgate-model"), Some("m-1"));
    assert!(bench.phase().contains("retry_after: Some(17s)"));
}

#[crate::test]
fn a_preamble_without_end_is_let_go() {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    let comment = b": still here\n\n";
    let mut steps = (0..1000).map(|_| bench.attempt.on_response_body(comment, false, &mut Vec::new()));
    assert!(steps.any(|step| matches!(step, BodyStep::Release(_))));
    assert_eq!(bench.phase(), "Alive");
}

/// It cost its input, shown or not.
#[crate::test]
fn a_stream_that_ends_without_content_costs_the_same_after_signs_of_life() {
    for (is_shown, end, expected) in [
        (false, "", Some(0)),
        (true, "", Some(0)),
        (true, "data: {\"a\n\n", Some(25)),
        (
            true,
            "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
            None,
        ),
    ] {
        let (mut bench, mut out) = (bench(BODY, &[]), Vec::new());
        bench.answer_head("200", "text/event-stream", &[]);
        let step = bench
            .attempt
            .on_response_body(b": still here\n\n", false, &mut out);
        if is_shown {
            bench.attempt.show_life(step, &mut out);
        }
        bench.attempt.on_response_body(end.as_bytes(), true, &mut out);
        assert!(bench.phase().starts_with("Failed"), "{end:?}");
        assert_eq!(bench.unread_bytes(), expected, "{is_shown} {end:?}");
    }
}

#[crate::test]
fn a_client_that_has_waited_gets_the_signs_of_life() {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    let (comment, mut out) = (b": still here\n\n", Vec::new());
    assert_eq!(
        bench.attempt.on_response_body(comment, false, &mut out),
        BodyStep::Hold
    );
    assert!(matches!(
        bench.attempt.show_life(BodyStep::Hold, &mut out),
        BodyStep::Release(_)
    ));
    assert_eq!(out, comment, "what came is what goes");
    assert!(!bench.attempt.holds_headers());
    assert_eq!(bench.phase(), "Alive");
    let mut out = Vec::new();
    assert_eq!(bench.attempt.show_life(BodyStep::Pass, &mut out), BodyStep::Pass);
    assert_eq!(
        out, b": keep-alive\n\n",
        "where nothing came that may go, a comment does"
    );
    // From here on a failure is told in the stream.
    let mut out = Vec::new();
    let failure = b"data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    assert_eq!(
        bench.attempt.on_response_body(failure, true, &mut out),
        BodyStep::Pass
    );
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("data: {\"error\"") && !out.contains("[DONE]"),
        "{out}"
    );
}

#[crate::test]
fn life_is_shown_in_streams_that_go_on_and_nowhere_else() {
    let (mut bench, mut out) = (bench(BODY, &[]), Vec::new());
    bench.answer_head("503", "application/json", &[]);
    assert_eq!(bench.attempt.show_life(BodyStep::Hold, &mut out), BodyStep::Hold);
    assert!(bench.attempt.holds_headers() && out.is_empty());

    let mut bench = self::bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    let whole = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    bench.attempt.on_response_body(whole, false, &mut Vec::new());
    assert_eq!(bench.attempt.show_life(BodyStep::Pass, &mut out), BodyStep::Pass);
    assert!(out.is_empty(), "nothing follows the end");
}

#[crate::test]
fn a_request_without_an_exchange_is_refused() {
    let provider: Provider =
        serde_json::from_value(json!({"kind": "openai", "endpoint": "http://llm.example"})).unwrap();
    let seat = Rc::new(ProviderSeat::new("p".to_owned(), "p", provider, Listener::default()).unwrap());
    let refused = Attempt::begin(
        &seat,
        None,
        &Headers::default(),
        PLAIN,
        &Credentials::default(),
        &mut Vec::new(),
    );
    assert_eq!(refused.err().unwrap().status, 500);
}

/// The gateway's credential.
fn own() -> Credentials {
    Credentials {
        own: Some("sk-1".into()),
        ..Credentials::default()
    }
}

#[crate::test]
fn the_caller_s_credential_comes_before_its_team_s_and_that_before_the_gateway_s() {
    let provider: Provider =
        serde_json::from_value(json!({"kind": "openai", "endpoint": "http://llm.example"})).unwrap();
    let seat =
        Rc::new(ProviderSeat::new("p".to_owned(), "p", provider.clone(), Listener::default()).unwrap());
    let brought_headers = {
        let mut with_header = provider;
        with_header.caller_credential_header = Some("x-p-key".to_owned());
        BroughtHeaders::new(&[("p".to_owned(), with_header)].into_iter().collect()).unwrap()
    };
    let mut credentials = own();
    credentials
        .teams
        .insert("search".to_owned(), Some("sk-search".into()));
    credentials.teams.insert("ads".to_owned(), None);
    for (brought, team, expected, owner) in [
        (None, None, Some("Bearer sk-1"), CredentialOwner::Gateway),
        (None, Some("other"), Some("Bearer sk-1"), CredentialOwner::Gateway),
        (
            None,
            Some("search"),
            Some("Bearer sk-search"),
            CredentialOwner::Team,
        ),
        (None, Some("ads"), None, CredentialOwner::Team),
        (
            Some("sk-mine"),
            Some("search"),
            Some("Bearer sk-mine"),
            CredentialOwner::Caller,
        ),
    ] {
        let handoff = bench(PLAIN, &[]).handoff;
        let pairs: Vec<_> = brought.map(|key| ("x-p-key", key)).into_iter().collect();
        let headers: Headers = pairs.iter().copied().collect();
        handoff.borrow_mut().brought = brought_headers.find(&headers).unwrap();
        handoff.borrow_mut().team = team.map(str::to_owned);
        let begun = Attempt::begin(
            &seat,
            Some(Rc::clone(&handoff)),
            &headers,
            PLAIN,
            &credentials,
            &mut Vec::new(),
        );
        let (_, head) = begun.ok().unwrap();
        let sent = head.iter().find(|(name, _)| *name == "authorization");
        assert_eq!(
            sent.map(|(_, value)| value.as_slice()),
            expected.map(str::as_bytes)
        );
        assert!(head.iter().all(|(name, _)| *name != "x-p-key"));
        let handoff = handoff.borrow();
        assert_eq!(handoff.attempt.as_ref().unwrap().credential_owner, owner);
        assert!(
            !format!("{handoff:?}").contains("sk-"),
            "a secret cannot be printed"
        );
    }
}

/// What is not sent is the gateway's refusal, and is written down as one.
#[crate::test]
fn a_request_that_the_provider_cannot_serve_is_refused() {
    let handoff = bench(PLAIN, &[]).handoff;
    let provider: Provider =
        serde_json::from_value(json!({"kind": "anthropic", "endpoint": "http://llm.example"})).unwrap();
    let seat = Rc::new(ProviderSeat::new("p".to_owned(), "p", provider, Listener::default()).unwrap());
    let two = br#"{"model":"fast","n":2,"messages":[{"role":"user","content":"a"}]}"#;
    for (body, is_refused) in [(two.as_slice(), true), (PLAIN, false)] {
        let exchange = Some(Rc::clone(&handoff));
        let begun = Attempt::begin(
            &seat,
            exchange,
            &Headers::default(),
            body,
            &own(),
            &mut Vec::new(),
        );
        assert_eq!(begun.is_err(), is_refused);
        assert_eq!(handoff.borrow().attempt.as_ref().unwrap().is_refused, is_refused);
    }
    let reply = Attempt::refuse_trailers(&seat, Some(&handoff));
    assert_eq!(reply.status, 400);
    assert!(handoff.borrow().attempt.as_ref().unwrap().is_refused);
}

#[crate::test]
fn a_refused_credential_of_the_caller_s_is_the_caller_s_fault() {
    let mut bench = bench(PLAIN, &[]);
    bench.attempt.owner = CredentialOwner::Caller;
    bench.answer_head("401", "application/json", &[]);
    let (head, out) =
        bench.answer_body([br#"{"error":{"message":"Incorrect API key: sk-mine"}}"#.as_slice()]);
    assert_eq!(
        value(&head.unwrap().0, ":status"),
        Some("401"),
        "not tried elsewhere"
    );
    let error: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(error["error"]["code"], "provider_credential_refused");
    assert!(!String::from_utf8(out).unwrap().contains("sk-mine"));
    assert!(
        !bench.attempt.take_credential_refusal(),
        "nothing for the operator"
    );
}

/// A stream of so many events with output, under a ceiling, cut into pieces of so many bytes.
fn stopped(events: usize, ceiling: Ceiling, size: usize) -> (Bench, String, BodyStep) {
    stopped_with(events, ceiling, size, None)
}

fn stopped_with(
    events: usize,
    ceiling: Ceiling,
    size: usize,
    extend: Option<Extend>,
) -> (Bench, String, BodyStep) {
    let mut bench = bench(BODY, &[]);
    bench.handoff.borrow_mut().ceiling = Some(ceiling);
    bench.handoff.borrow_mut().lease = lease();
    bench.attempt.extend = extend;
    bench.answer_head("200", "text/event-stream", &[]);
    let (head, rest) = STREAM.split_once("data: {\"id\":\"c1\"").unwrap();
    let (role, rest) = rest.split_once("\n\n").unwrap();
    let (word, end) = rest.split_once("\n\n").unwrap();
    let text = format!(
        "{head}data: {{\"id\":\"c1\"{role}\n\n{}{end}",
        format!("{word}\n\n").repeat(events)
    );
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
    let (mut body, mut last) = (Vec::new(), BodyStep::Hold);
    for (index, piece) in pieces.iter().enumerate() {
        let mut out = Vec::new();
        last = bench
            .attempt
            .on_response_body(piece, index + 1 == pieces.len(), &mut out);
        if last == BodyStep::Stop {
            break;
        }
        body.extend(out);
    }
    (bench, String::from_utf8(body).unwrap(), last)
}

const CEILING: Ceiling = Ceiling {
    output_tokens: 3,
    bytes_per_thousand: 300_000,
    least_bytes_per_thousand: 300_000,
    most_per_thousand_events: 4_096_000,
    output_guess: None,
    choices: 1,
    input_tokens: 5,
};

#[crate::test]
fn a_stream_is_stopped_at_its_ceiling_however_it_is_cut() {
    for size in [1, 7, 100, 300, 100_000] {
        let (bench, body, last) = stopped(9, CEILING, size);
        assert_eq!(body.matches("grüß").count(), 3, "{size}");
        let (_, end) = body.rsplit_once("grüß").unwrap();
        assert!(end.contains(r#""finish_reason":"length""#), "{end}");
        assert!(
            end.contains(r#""id":"c1","created":1"#),
            "the chunk belongs to the answer: {end}"
        );
        assert!(body.ends_with("data: [DONE]\n\n") && !end.contains("prompt_tokens"));
        assert_ne!(last, BodyStep::Stop, "the provider ends soon by itself: {size}");
        assert_eq!(bench.phase(), "Stopped");
        assert_eq!(bench.handoff.borrow().attempt.as_ref().unwrap().output_events, 4);
    }
}

#[crate::test]
fn a_provider_that_does_not_end_by_itself_is_stopped() {
    let (_, body, last) = stopped(500, CEILING, 100);
    assert_eq!((body.matches("grüß").count(), last), (3, BodyStep::Stop));
    assert!(body.ends_with("data: [DONE]\n\n"));

    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    bench.answer_body([STREAM.as_bytes()]);
    let mut step = |end_of_stream| {
        let mut out = Vec::new();
        let step = bench
            .attempt
            .on_response_body(&[b':'; 5_000], end_of_stream, &mut out);
        assert_eq!(out, b"");
        step
    };
    assert_eq!(
        [step(false), step(false), step(true)],
        [BodyStep::Pass, BodyStep::Stop, BodyStep::Pass],
        "comments behind the end of the answer"
    );
    assert_eq!(bench.phase(), "Complete");
}

#[crate::test]
fn trailers_end_an_answer_that_has_nothing_more_to_say() {
    // A stream that has said its end.
    let mut whole = bench(BODY, &[]);
    whole.answer_head("200", "text/event-stream", &[]);
    whole.answer_body([STREAM.as_bytes()]);
    assert_eq!(whole.attempt.on_trailers_alone(), Some(BodyStep::Pass));
    assert_eq!(whole.phase(), "Complete");
    // One that was cut: the error that would be told has no place.
    let mut cut = bench(BODY, &[]);
    cut.answer_head("200", "text/event-stream", &[]);
    let mut out = Vec::new();
    let (begin, _) = STREAM.split_once("data: [DONE]").unwrap();
    cut.attempt.on_response_body(begin.as_bytes(), false, &mut out);
    assert_eq!(cut.attempt.on_trailers_alone(), None);
    // No body at all.
    for status in ["200", "500"] {
        let mut empty = bench(PLAIN, &[]);
        empty.answer_head(status, "application/json", &[]);
        let step = empty.attempt.on_trailers_alone();
        let Some(BodyStep::Release(head)) = step else {
            panic!("{step:?}");
        };
        assert_eq!(value(&head.0, "content-length"), Some("0"));
        assert!(empty.handoff.borrow().attempt.as_ref().unwrap().has_only_trailers);
    }
}

#[crate::test]
fn a_ceiling_holds_however_events_end_and_lie_together() {
    for end in ["\n", "\r\n", "\r"] {
        let guess = Ceiling {
            output_guess: Some(3),
            least_bytes_per_thousand: 0,
            most_per_thousand_events: 1_000,
            ..CEILING
        };
        let mut bench = bench(BODY, &[]);
        bench.handoff.borrow_mut().ceiling = Some(guess);
        bench.answer_head("200", "text/event-stream", &[]);
        let (word, rest) = STREAM.split_once("grüß").unwrap();
        let (before, event) = word.rsplit_once("\n\n").unwrap();
        let (event_end, rest) = rest.split_once("\n\n").unwrap();
        let event = format!("{event}grüß{event_end}\n\n").repeat(9);
        let stream = format!("{before}\n\n{event}{rest}").replace('\n', end);
        let (_, body) = bench.answer_body([stream.as_bytes()]);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(body.matches("grüß").count(), 3, "{end:?}");
        assert_eq!(bench.handoff.borrow().attempt.as_ref().unwrap().output_events, 4);
    }
}

#[crate::test]
fn an_answer_that_keeps_to_its_ceiling_ends_as_it_is() {
    for (events, output_tokens) in [(3, 3), (9, 10)] {
        let ceiling = Ceiling {
            output_tokens,
            ..CEILING
        };
        let (bench, body, last) = stopped(events, ceiling, 50);
        assert_eq!(body.matches("grüß").count(), events);
        assert!(body.contains(r#""finish_reason":"stop""#) && body.ends_with("data: [DONE]\n\n"));
        assert_eq!((bench.phase().as_str(), last), ("Complete", BodyStep::Pass));
    }
}

#[crate::test]
fn output_is_bounded_in_bytes_where_events_hold_many_tokens() {
    let ceiling = Ceiling {
        output_tokens: 100,
        bytes_per_thousand: 100,
        ..CEILING
    };
    let (_, body, _) = stopped(99, ceiling, 50);
    assert_eq!(
        body.matches("grüß").count(),
        46,
        "six bytes each: 276 are 2 * 10 + 256"
    );
    assert!(body.contains(r#""finish_reason":"length""#));
}

#[crate::test]
fn a_single_long_token_passes() {
    let mut bench = bench(BODY, &[]);
    bench.handoff.borrow_mut().ceiling = Some(Ceiling {
        output_tokens: 1,
        bytes_per_thousand: 4_000,
        ..CEILING
    });
    bench.answer_head("200", "text/event-stream", &[]);
    let stream = STREAM.replace("grüß", "classification");
    let (_, body) = bench.answer_body([stream.as_bytes()]);
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains("classification") && body.contains(r#""finish_reason":"stop""#),
        "{body}"
    );
}

/// A policy's lease that counts nothing: what is had from it is up to the test.
fn lease() -> Option<Rc<Lease>> {
    let limiter = RateLimiter::new(&[], &LimitStore::default()).unwrap();
    Some(Rc::new(Lease::new(Rc::new(limiter), Reservation::default())))
}

#[crate::test]
fn more_is_asked_for_before_an_answer_is_stopped() {
    let guess = Ceiling {
        output_guess: Some(3),
        ..CEILING
    };
    for (size, left, expected) in [
        (7, 100, 9),
        (100_000, 100, 9),
        (7, 2, 5),
        (100_000, 2, 5),
        (7, 0, 3),
    ] {
        let left = Rc::new(Cell::new(left));
        let asked = Rc::new(Cell::new(0));
        let (pool, count) = (Rc::clone(&left), Rc::clone(&asked));
        let more: Extend = Box::new(move |_, wanted| {
            count.set(count.get() + 1);
            let granted = wanted.min(pool.get());
            pool.set(pool.get() - granted);
            granted
        });
        let (_, body, _) = stopped_with(9, guess, size, Some(more));
        assert_eq!(body.matches("grüß").count(), expected, "{size}");
        let finished = if expected == 9 { "stop" } else { "length" };
        assert!(
            body.contains(&format!(r#""finish_reason":"{finished}""#)),
            "{body}"
        );
        assert!(asked.get() <= 3, "{}", asked.get());
    }
}

#[crate::test]
fn an_answer_without_a_bound_is_stopped_by_the_most_tokens_that_it_can_be() {
    let guess = Ceiling {
        output_tokens: 12,
        output_guess: Some(12),
        bytes_per_thousand: 4_000,
        least_bytes_per_thousand: 2_000,
        ..CEILING
    };
    for (least_bytes_per_thousand, most_per_thousand_events, expected) in [
        (2_000, 4_096_000, 4),
        (3_000, 4_096_000, 6),
        // It is known to send one token with each event, or two.
        (2_000, 1_000, 12),
        (2_000, 2_000, 6),
        (2_000, 1_500, 8),
    ] {
        let ceiling = Ceiling {
            least_bytes_per_thousand,
            most_per_thousand_events,
            ..guess
        };
        let (_, body, _) = stopped(99, ceiling, 50);
        assert_eq!(body.matches("grüß").count(), expected, "six bytes each");
        assert!(body.contains(r#""finish_reason":"length""#));
    }
}

#[crate::test]
fn a_stopped_answer_tells_its_usage_if_asked() {
    let body =
        br#"{"model":"fast","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#;
    let mut bench = bench(body, &[]);
    bench.handoff.borrow_mut().ceiling = Some(Ceiling {
        output_tokens: 0,
        ..CEILING
    });
    bench.answer_head("200", "text/event-stream", &[]);
    let (head, body) = bench.answer_body([STREAM.as_bytes()]);
    assert_eq!(value(&head.unwrap().0, ":status"), Some("200"));
    let body = String::from_utf8(body).unwrap();
    let usage = r#""usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5}"#;
    assert!(body.contains(usage), "{body}");
}

#[crate::test]
fn the_cost_stands_in_the_usage_of_who_asks_for_it() {
    let prices = || {
        let price = json!([{"provider": "p", "model": "m-1", "input": 1, "output": 10}]);
        let provider = json!({"p": {"kind": "openai", "endpoint": "https://llm.example/v1"}});
        let providers = serde_json::from_value(provider).unwrap();
        let prices = Prices::new(&serde_json::from_value::<Vec<_>>(price).unwrap(), &providers);
        Some(Rc::new(prices.unwrap()))
    };
    let asking = br#"{"model":"fast","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#;
    for size in [1, 64, 100_000] {
        let mut bench = bench(asking, &[]);
        bench.handoff.borrow_mut().prices = prices();
        bench.answer_head("200", "text/event-stream", &[]);
        let (_, body) = bench.answer_body(STREAM.as_bytes().chunks(size));
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(r#""total_tokens":11,"cost":0.000029}"#), "{body}");
        assert_eq!(body.matches("cost").count(), 1);
    }
    let json = br#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    let mut bench = bench(PLAIN, &[]);
    bench.handoff.borrow_mut().prices = prices();
    bench.answer_head("200", "application/json", &[]);
    let (head, body) = bench.answer_body([&json[..]]);
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(r#""cost":0.000029"#), "{body}");
    assert_eq!(
        value(&head.unwrap().0, "content-length"),
        Some(body.len().to_string().as_str())
    );
}

const REFUSED: &str = "The provider refused the gateway's credential.";

#[crate::test]
fn a_refused_credential_is_the_gateway_s_fault_and_tells_nothing_of_it() {
    let secret = r#"{"error":{"message":"Incorrect API key provided: sk-1","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let event = format!("data: {secret}\n\n");
    for (request, status, content_type, more, body) in [
        (PLAIN, "401", "application/json", None, secret),
        (PLAIN, "403", "text/html", None, "<html>sk-1"),
        (PLAIN, "403", "application/json", None, ""),
        (
            PLAIN,
            "401",
            "application/json",
            Some(("content-encoding", "gzip")),
            "sk-1",
        ),
        (PLAIN, "200", "application/json", None, secret),
        (BODY, "401", "application/json", None, secret),
        (BODY, "200", "text/event-stream", None, event.as_str()),
    ] {
        let mut bench = bench(request, &[]);
        let more: Vec<_> = more.into_iter().collect();
        bench.answer_head(status, content_type, &more);
        let (_, out) = bench.answer_body([body.as_bytes()]);
        let error: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(error["error"]["message"], REFUSED, "{status} {body}");
        assert_eq!(error["error"]["code"], "upstream_credential_refused");
        assert!(bench.phase().contains("status: 502"), "{}", bench.phase());
        assert!(bench.attempt.take_credential_refusal() && !bench.attempt.take_credential_refusal());
    }
}

#[crate::test]
fn a_credential_refused_after_content_ends_the_stream_alike() {
    let mut bench = bench(BODY, &[]);
    bench.answer_head("200", "text/event-stream", &[]);
    let upto = STREAM.find("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},").unwrap();
    let error = b"data: {\"error\":{\"message\":\"sk-1 expired\",\"code\":401}}\n\n";
    let (_, body) = bench.answer_body([&STREAM.as_bytes()[..upto], &error[..]]);
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(REFUSED) && !body.contains("sk-1"), "{body}");
    assert!(bench.attempt.take_credential_refusal());
}

#[crate::test]
fn other_failures_are_no_refusal_of_the_credential() {
    for status in ["400", "402", "404", "429", "500"] {
        let mut bench = bench(PLAIN, &[]);
        bench.answer_head(status, "application/json", &[]);
        let (_, out) = bench.answer_body([br#"{"error":{"message":"told"}}"#.as_slice()]);
        assert!(String::from_utf8(out).unwrap().contains("told"));
        assert!(!bench.attempt.take_credential_refusal());
    }
}

#[crate::test]
fn a_flagged_prompt_is_the_request_s_fault() {
    let mut bench = bench(PLAIN, &[]);
    bench.answer_head("403", "application/json", &[]);
    let body = br#"{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["violence"],"flagged_input":"..."}}}"#;
    let (head, out) = bench.answer_body([body.as_slice()]);
    assert_eq!(value(&head.unwrap().0, ":status"), Some("403"));
    assert!(String::from_utf8(out).unwrap().contains("flagged"));
    assert!(!bench.attempt.take_credential_refusal());
}

#[crate::test]
fn the_log_tells_of_a_refused_credential_once_a_minute() {
    let provider: Provider =
        serde_json::from_value(json!({"kind": "openai", "endpoint": "http://llm.example"})).unwrap();
    let seat = ProviderSeat::new("p".to_owned(), "p", provider, Listener::default()).unwrap();
    let told: Vec<bool> = [100, 100, 159, 160, 161, 400]
        .into_iter()
        .map(|second| seat.is_refusal_news(Timestamp::from_secs(second)))
        .collect();
    assert_eq!(told, [true, false, false, true, false, true]);
}

#[crate::test]
fn a_provider_that_repeats_the_credential_in_an_error_tells_it_nobody() {
    let secret = "sk-canary-of-the-gateway";
    let body = format!(
        r#"{{"error":{{"message":"The key {secret} may not use m-1","type":"invalid_request_error","code":"x-{secret}"}}}}"#
    );
    let late = format!("{}\n\ndata: {body}\n\n", STREAM.split("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},").next().unwrap());
    let early = format!("data: {body}\n\n");
    for (request, status, content_type, answer) in [
        (PLAIN, "400", "application/json", body.as_str()),
        (PLAIN, "404", "application/json", &body),
        (PLAIN, "429", "application/json", &body),
        (PLAIN, "500", "application/json", &body),
        (PLAIN, "200", "application/json", &body),
        (BODY, "400", "application/json", &body),
        (BODY, "200", "text/event-stream", &early),
        (BODY, "200", "text/event-stream", &late),
    ] {
        let mut bench = bench(request, &[]);
        bench.attempt.presented = Some(secret.into());
        bench.answer_head(status, content_type, &[]);
        let (_, out) = bench.answer_body([answer.as_bytes()]);
        let told = String::from_utf8(out).unwrap();
        assert!(told.contains("\"error\""), "{status}: {told}");
        assert!(
            !told.contains(secret) && !bench.phase().contains(secret),
            "{told}"
        );
    }
}

#[crate::test]
fn baggage_goes_to_a_provider_only_where_that_is_configured() {
    let headers = [("baggage", "user=alice"), ("tracestate", "a=b")];
    let bench = bench(PLAIN, &headers);
    assert_eq!(value(&bench.head, "baggage"), None);
    assert_eq!(value(&bench.head, "tracestate"), Some("a=b"));
    let provider: Provider = serde_json::from_value(json!({
        "kind": "openai", "endpoint": "https://llm.example/v1", "forward_baggage": true
    }))
    .unwrap();
    let seat = ProviderSeat::new("p".to_owned(), "p", provider, Listener::default()).unwrap();
    let request = crate::provider::UpstreamRequest::default();
    let head = super::request::head(&seat, &headers.into_iter().collect(), &request, None, 0);
    assert_eq!(value(&head, "baggage"), Some("user=alice"));
}

#[crate::test]
fn without_an_access_token_nothing_is_sent_and_the_provider_is_named() {
    let provider: Provider = serde_json::from_value(json!({
        "kind": "openai_compatible", "endpoint": "http://llm.example", "credential": {"gcp_metadata": {}}
    }))
    .unwrap();
    let seat = Rc::new(ProviderSeat::new("p".to_owned(), "p", provider, Listener::default()).unwrap());
    let fetched = seat
        .access_token()
        .map(|unfetched| Rc::new(RefCell::new(unfetched)));
    let credentials = Rc::new(Credentials {
        teams: [("search".to_owned(), Some("sk-search".into()))].into(),
        fetched,
        ..Credentials::default()
    });
    let begin = |team: Option<&str>, now| {
        let handoff = bench(PLAIN, &[]).handoff;
        handoff.borrow_mut().team = team.map(str::to_owned);
        let credentials = credentials.current(|| now);
        Attempt::begin(
            &seat,
            Some(handoff),
            &Headers::default(),
            PLAIN,
            &credentials,
            &mut Vec::new(),
        )
    };
    let now = Timestamp::from_secs(1_800_000_000);
    let reply = begin(None, now).err().unwrap();
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(error["error"]["code"], "upstream_credential_unavailable");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("provider p ")
    );
    // A team's own is another.
    assert!(begin(Some("search"), now).is_ok());
    let mut access_token = credentials.fetched.as_ref().unwrap().borrow_mut();
    let call = access_token.begin(now).unwrap();
    let answer = br#"{"access_token":"ya29.t","expires_in":3599,"token_type":"Bearer"}"#;
    access_token.on_answer(&call, Some((200, answer)), now).unwrap();
    drop(access_token);
    let (_, head) = begin(None, now).ok().unwrap();
    let sent = head.iter().find(|(name, _)| *name == "authorization");
    assert_eq!(sent.unwrap().1, b"Bearer ya29.t");
    let later = Timestamp::from_secs(1_800_003_600);
    assert_eq!(begin(None, later).err().unwrap().status, 503);
}
