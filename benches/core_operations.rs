// SPDX-License-Identifier: Apache-2.0

//! The operations whose cost is guarded. `scripts/instructions.py` runs them under `valgrind --tool=callgrind`.
//!
//! `core_operations OPERATION [ROUNDS]` prepares everything and then runs the operation [`RUNS`] times inside
//! [`measured`], the one function in which instructions are counted, and tells how long the fastest round took.
//! Without an argument it lists the operations.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program, not a part of the filter"
)]

use core::cell::RefCell;
use core::hint::black_box;
use serde_json::json;
use std::collections::HashMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tollgate::attempt::{Attempt, Credentials, ProviderSeat};
use tollgate::clock::Timestamp;
use tollgate::config::{Gateway, Listener};
use tollgate::exchange::{Exchange, Policy};
use tollgate::handoff::Handoff;
use tollgate::headers::{Headers, serialize};
use tollgate::policy::auth::Authenticator;
use tollgate::shared_store::{Conflict, SharedStore};

/// How often an operation runs while it is counted. `scripts/instructions.py` divides by it.
const RUNS: usize = 200;
/// How often it runs before, so that caches are filled and estimates are known.
const WARM_UP: usize = 20;
/// While `envoy/demo.jwt` is valid.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const REQUEST_BYTES: usize = 1024;
const ANSWER: &str = concat!(
    r#"{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-haiku-4-5","content":"#,
    r#"[{"type":"text","text":"A gateway stands between a network and those who call it. It knows who they are, "#,
    r#"what they may use and how much of it, and it tells each of them what became of the call."}],"#,
    r#""stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":240,"cache_creation_input_tokens":0,"#,
    r#""cache_read_input_tokens":0,"output_tokens":43,"service_tier":"standard"}}"#,
);
const STREAM_BEGIN: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"type\":\"message\",",
    "\"role\":\"assistant\",\"model\":\"claude-haiku-4-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,",
    "\"usage\":{\"input_tokens\":240,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
);
const STREAM_EVENT: &str = concat!(
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
    "\"delta\":{\"type\":\"text_delta\",\"text\":\" a gateway\"}}\n\n",
);

/// What is measured: prepares one run and gives it back.
type Operation = fn(&World) -> Box<dyn FnOnce()>;

const OPERATIONS: [(&str, Operation); 7] = [
    ("verify_cached_credential", verify_cached_credential),
    ("admit", admit),
    ("settle", settle),
    ("translate_request", translate_request),
    ("pass_request", pass_request),
    ("translate_answer", translate_answer),
    ("translate_event", translate_event),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let Some(name) = arguments.first() else {
        for (name, _) in OPERATIONS {
            println!("{name} {RUNS}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, operation)) = OPERATIONS.iter().find(|(known, _)| known == name) else {
        println!("there is no operation {name}");
        return ExitCode::FAILURE;
    };
    let world = World::new();
    for _ in 0..WARM_UP {
        operation(&world)();
        translate_whole(&world);
    }
    let rounds: usize = arguments.get(1).map_or(1, |rounds| rounds.parse().unwrap());
    let mut fastest = Duration::MAX;
    for _ in 0..rounds {
        let runs = (0..RUNS).map(|_| operation(&world)).collect();
        let begin = Instant::now();
        measured(runs);
        fastest = fastest.min(begin.elapsed());
    }
    println!("{name} {} ns", fastest.as_nanos() / RUNS as u128);
    ExitCode::SUCCESS
}

#[inline(never)]
fn measured(runs: Vec<Box<dyn FnOnce()>>) {
    for run in runs {
        run();
    }
}

/// A gateway with a JSON Web Token and two limits, and what a client sends to it.
struct World {
    policy: Rc<Policy>,
    store: Rc<Shared>,
    authenticator: Rc<RefCell<Authenticator>>,
    seats: HashMap<&'static str, Rc<ProviderSeat>>,
    credentials: Rc<Credentials>,
    request: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let key_set: serde_json::Value =
            serde_json::from_str(include_str!("../envoy/demo-jwks.json")).unwrap();
        let gateway: Gateway = serde_json::from_value(json!({
            "listener": {"access_log": false},
            "providers": {
                "openai": {"kind": "openai", "endpoint": "https://api.openai.com/v1"},
                "anthropic": {"kind": "anthropic", "endpoint": "https://api.anthropic.com"},
            },
            "models": [
                {"name": "gpt-4o-mini", "targets": [{"provider": "openai"}]},
                {"name": "claude-haiku-4-5", "targets": [{"provider": "anthropic"}]},
            ],
            "identity": {"jwt": [{
                "issuer": "https://demo.tollgate.example",
                "audiences": ["tollgate"],
                "jwks": {"inline": key_set.to_string()},
                "claims": {"consumer": "sub", "team": "team"},
            }]},
            "limits": [
                {"name": "requests", "per": ["consumer"], "count": "requests", "max": 1_000_000_000_000_u64, "window": "1m"},
                {"name": "tokens", "per": ["team"], "count": "total_tokens", "max": 1_000_000_000_000_u64, "window": "1m"},
            ],
        }))
        .unwrap();
        let policy = Policy::new(&gateway)
            .map_err(|faults| format!("{faults:?}"))
            .unwrap();
        let store = Rc::new(Shared::default());
        policy.prepare(NOW, &*store);
        let seat = |name: &'static str| {
            let provider = gateway.providers.get(name).unwrap().clone();
            let seat = ProviderSeat::new(name.to_owned(), name, provider, Listener::default()).unwrap();
            (name, Rc::new(seat))
        };
        let identity = Authenticator::new(&gateway.identity).map_err(|faults| format!("{faults:?}"));
        Self {
            policy: Rc::new(policy),
            store,
            authenticator: Rc::new(RefCell::new(identity.unwrap())),
            seats: HashMap::from([seat("openai"), seat("anthropic")]),
            credentials: Rc::new(Credentials {
                own: Some("secret".into()),
                ..Credentials::default()
            }),
            request: serialized(&[
                (":authority", "127.0.0.1:10000"),
                (":path", "/v1/chat/completions"),
                (":method", "POST"),
                (":scheme", "http"),
                ("content-type", "application/json"),
                ("content-length", "1024"),
                (
                    "authorization",
                    &["Bearer ", include_str!("../envoy/demo.jwt").trim()].concat(),
                ),
                ("x-forwarded-proto", "http"),
                ("x-request-id", "5b2b6d3c-1f0e-4d6a-9c4e-5a2c1d0e9f8b"),
            ]),
        }
    }

    /// An exchange that was admitted.
    fn admitted(&self, model: &str) -> Exchange {
        let mut exchange = Exchange::new(Rc::clone(&self.policy));
        let headers = Headers::from_serialized(self.request.clone());
        black_box(exchange.on_request_headers(&headers, true, NOW));
        black_box(exchange.on_request_body(body(model, false), NOW, &*self.store));
        exchange
    }

    /// An attempt that was begun, and what it belongs to.
    fn begun(&self, provider: &str, body: &[u8]) -> (Exchange, Attempt) {
        let model = if provider == "openai" {
            "gpt-4o-mini"
        } else {
            "claude-haiku-4-5"
        };
        let exchange = self.admitted(model);
        let attempt = self.begin(provider, exchange.handoff().unwrap(), body);
        (exchange, attempt)
    }

    fn begin(&self, provider: &str, handoff: Rc<RefCell<Handoff>>, body: &[u8]) -> Attempt {
        let seat = self.seats.get(provider).unwrap();
        let headers = Headers::from_serialized(self.request.clone());
        let mut out = Vec::with_capacity(body.len() + 256);
        let begun = Attempt::begin(seat, Some(handoff), &headers, body, &self.credentials, &mut out);
        let (attempt, head) = begun.ok().unwrap();
        black_box((head, out));
        attempt
    }
}

/// Who calls, when it was verified before.
fn verify_cached_credential(world: &World) -> Box<dyn FnOnce()> {
    let headers = Headers::from_serialized(world.request.clone());
    let authenticator = Rc::clone(&world.authenticator);
    Box::new(move || {
        black_box(authenticator.borrow_mut().authenticate(&headers, NOW).is_ok());
    })
}

/// A 1 KB request, from its headers to its reservation.
fn admit(world: &World) -> Box<dyn FnOnce()> {
    let mut exchange = Exchange::new(Rc::clone(&world.policy));
    let headers = Headers::from_serialized(world.request.clone());
    let body = body("claude-haiku-4-5", false);
    let store = Rc::clone(&world.store);
    Box::new(move || {
        black_box(exchange.on_request_headers(&headers, true, NOW));
        black_box(exchange.on_request_body(body, NOW, &*store));
        // Not what is measured: settling is an operation of its own.
        core::mem::forget(exchange);
    })
}

/// A whole answer's account.
fn settle(world: &World) -> Box<dyn FnOnce()> {
    let exchange = translate_whole(world);
    let store = Rc::clone(&world.store);
    Box::new(move || {
        black_box(exchange.finish(NOW, &*store));
    })
}

/// OpenAI's request as Anthropic's.
fn translate_request(world: &World) -> Box<dyn FnOnce()> {
    begin(world, "anthropic", "claude-haiku-4-5")
}

/// OpenAI's request for OpenAI.
fn pass_request(world: &World) -> Box<dyn FnOnce()> {
    begin(world, "openai", "gpt-4o-mini")
}

fn begin(world: &World, provider: &'static str, model: &str) -> Box<dyn FnOnce()> {
    let exchange = world.admitted(model);
    let seat = Rc::clone(world.seats.get(provider).unwrap());
    let headers = Headers::from_serialized(world.request.clone());
    let body = body(model, false);
    let credentials = Rc::clone(&world.credentials);
    Box::new(move || {
        let mut out = Vec::with_capacity(body.len() + 256);
        let begun = Attempt::begin(&seat, exchange.handoff(), &headers, &body, &credentials, &mut out);
        let _ = black_box((begun.is_ok(), out));
    })
}

/// Anthropic's JSON answer as OpenAI's.
fn translate_answer(world: &World) -> Box<dyn FnOnce()> {
    let (exchange, mut attempt) = world.begun("anthropic", &body("claude-haiku-4-5", false));
    let headers = answer_headers("application/json");
    Box::new(move || {
        attempt.on_response_headers(&headers);
        let mut out = Vec::new();
        black_box(attempt.on_response_body(ANSWER.as_bytes(), true, &mut out));
        black_box(out);
        drop(exchange);
    })
}

/// One event of Anthropic's stream as OpenAI's chunk.
fn translate_event(world: &World) -> Box<dyn FnOnce()> {
    let (exchange, mut attempt) = world.begun("anthropic", &body("claude-haiku-4-5", true));
    attempt.on_response_headers(&answer_headers("text/event-stream"));
    let begin = [STREAM_BEGIN, STREAM_EVENT].concat();
    black_box(attempt.on_response_body(begin.as_bytes(), false, &mut Vec::new()));
    Box::new(move || {
        let mut out = Vec::new();
        black_box(attempt.on_response_body(STREAM_EVENT.as_bytes(), false, &mut out));
        black_box(out);
        core::mem::forget((attempt, exchange));
    })
}

/// A whole exchange but for its end.
fn translate_whole(world: &World) -> Exchange {
    let (exchange, mut attempt) = world.begun("anthropic", &body("claude-haiku-4-5", false));
    attempt.on_response_headers(&answer_headers("application/json"));
    black_box(attempt.on_response_body(ANSWER.as_bytes(), true, &mut Vec::new()));
    exchange
}

fn body(model: &str, is_streaming: bool) -> Vec<u8> {
    let request = |content: &str| {
        json!({"model": model, "max_tokens": 500, "stream": is_streaming, "messages": [{"role": "user", "content": content}]})
            .to_string()
    };
    let missing = REQUEST_BYTES.saturating_sub(request("").len());
    let words = "Tell me something about gateways. ".repeat(missing / 34 + 1);
    request(words.get(..missing).unwrap()).into_bytes()
}

fn answer_headers(content_type: &str) -> Headers {
    Headers::from_serialized(serialized(&[
        (":status", "200"),
        ("content-type", content_type),
        ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ("date", "Sat, 21 Nov 2026 12:00:00 GMT"),
        ("server", "cloudflare"),
    ]))
}

fn serialized(pairs: &[(&str, &str)]) -> Vec<u8> {
    serialize(pairs.iter().map(|(name, value)| (*name, value.as_bytes())))
}

/// Shared data in a hash map: what it costs here is not what it costs in Envoy.
#[derive(Default)]
struct Shared(RefCell<HashMap<String, (Vec<u8>, u32)>>);

impl SharedStore for Shared {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        let mut map = self.0.borrow_mut();
        match map.get_mut(key) {
            Some((held, current)) if Some(*current) == version => {
                value.clone_into(held);
                *current = current.wrapping_add(1);
            }
            None if version.is_none() => {
                map.insert(key.to_owned(), (value.to_vec(), 1));
            }
            Some(_) | None => return Err(Conflict),
        }
        Ok(())
    }
}
