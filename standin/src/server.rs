// SPDX-License-Identifier: Apache-2.0

//! Connections and routes: which provider answers, which fault strikes, what is recorded.
//!
//! All providers are served on every address, because their paths differ. Everything runs on one thread;
//! state is shared by `Rc`, and a connection is one local task. hyper watches the socket while an answer is
//! under way and drops the answer when the client is gone, which is how an abort is noticed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::anthropic::{self, Presented};
use crate::azure;
use crate::bedrock;
use crate::bedrock_embeddings;
use crate::clock::{Identifiers, unix_now, unix_seconds};
use crate::cohere;
use crate::control::control;
use crate::fast::{FastAnswers, header_map};
use crate::faults::{Faults, Rule};
use crate::gemini::{self, Target};
use crate::openai;
use crate::openai_embeddings;
use crate::playback::{Playback, ReplyBody};
use crate::record::{Entry, Recorder};
use crate::reply::{Reply, Scene};
use crate::sagemaker;
use crate::script::script;

const LARGEST_BODY: usize = 64 << 20;

/// How to serve.
pub(crate) struct Options {
    pub(crate) rules: Vec<Rule>,
    pub(crate) pace: Duration,
    pub(crate) is_recording: bool,
    /// Whether Anthropic's paths take a bearer credential in place of `x-api-key`.
    pub(crate) takes_anthropic_bearer: bool,
    /// Fast mode, with this many content events in a stream.
    pub(crate) fast_events: Option<u32>,
}

/// What all connections share.
pub(crate) struct Server {
    faults: RefCell<Faults>,
    recorder: Recorder,
    ids: Identifiers,
    pace: Duration,
    takes_anthropic_bearer: bool,
    fast: Option<FastAnswers>,
}

impl Server {
    /// A server that has not begun to listen.
    pub(crate) fn new(options: Options) -> Self {
        let ids = Identifiers::seeded(unix_now());
        Self {
            faults: RefCell::new(Faults::starting_with(options.rules)),
            recorder: if options.is_recording {
                Recorder::default()
            } else {
                Recorder::switched_off()
            },
            fast: options
                .fast_events
                .map(|events| FastAnswers::new(events, unix_now(), &ids)),
            ids,
            pace: options.pace,
            takes_anthropic_bearer: options.takes_anthropic_bearer,
        }
    }

    async fn answer(&self, request: Request<Incoming>, listen: &str) -> Response<ReplyBody> {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, LARGEST_BODY).collect().await {
            Ok(collected) => Some(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => None,
            // The client went away in the midst of its request; nobody will read this.
            Err(_) => Some(Bytes::new()),
        };
        if let (Some(fast), Some(body)) = (&self.fast, &body)
            && self.faults.borrow().is_empty()
            && let Some((headers, body)) = fast.answer(parts.uri.path(), body)
        {
            let mut response = Response::new(body);
            *response.headers_mut() = headers;
            return response;
        }
        if let Some(action) = parts.uri.path().strip_prefix("/__standin/") {
            return self.control(&parts, action, &body.unwrap_or_default());
        }
        self.provide(&parts, body, listen).await
    }

    fn control(&self, parts: &Parts, action: &str, body: &[u8]) -> Response<ReplyBody> {
        let mut faults = self.faults.borrow_mut();
        let (status, value) = control(parts.method.as_str(), action, body, &mut faults, &self.recorder);
        let mut response = Response::new(ReplyBody::Document(Some(Bytes::from(value.to_string()))));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    async fn provide(&self, parts: &Parts, body: Option<Bytes>, listen: &str) -> Response<ReplyBody> {
        let (path, content) = (parts.uri.path(), body.clone().unwrap_or_default());
        let model = Target::of(path)
            .map(|target| target.model.to_owned())
            .or_else(|| bedrock::operation(path).map(|(model, _)| model))
            .or_else(|| sagemaker::operation(path).map(|(endpoint, _)| endpoint.to_owned()))
            .unwrap_or_else(|| model_of(&content));
        let fault = self
            .faults
            .borrow_mut()
            .strike(path, &model, listen)
            .unwrap_or_default();
        let flight = self.recorder.open(self.entry(parts, &content, model, listen));
        if let Some(millis) = fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        let scene = Scene {
            unix_now: unix_now(),
            ids: &self.ids,
            fault: &fault,
        };
        let mut reply = route(parts, body.as_deref(), self.takes_anthropic_bearer, &scene);
        if let Some(after) = &fault.retry_after {
            reply.set_header(
                "retry-after",
                after.as_str().map_or_else(|| after.to_string(), str::to_owned),
            );
        }
        let script = script(reply, &fault, self.pace);
        flight.answered(script.status, script.input_tokens);
        let mut headers = header_map(&script.headers);
        if let Some(length) = script.content_length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let playback = Playback::new(script.steps, script.content_length, flight);
        let mut response = Response::new(ReplyBody::Script(Box::new(playback)));
        *response.status_mut() = StatusCode::from_u16(script.status).unwrap_or(StatusCode::BAD_GATEWAY);
        *response.headers_mut() = headers;
        response
    }

    fn entry(&self, parts: &Parts, body: &Bytes, model: String, listen: &str) -> Entry {
        let path = parts.uri.path().to_owned();
        if !self.recorder.is_on() {
            return Entry {
                path,
                model,
                ..Entry::default()
            };
        }
        let header = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        Entry {
            time: unix_seconds(),
            listen: listen.to_owned(),
            method: parts.method.as_str().to_owned(),
            path,
            query: parts.uri.query().map(str::to_owned),
            model,
            headers: parts.headers.iter().map(header).collect(),
            body: body.clone(),
            ..Entry::default()
        }
    }
}

/// The provider's answer. A missing body was too large.
fn route(parts: &Parts, body: Option<&[u8]>, takes_bearer: bool, scene: &Scene<'_>) -> Reply {
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let header = |name: &str| parts.headers.get(name).map(HeaderValue::as_bytes);
    let bearer = header("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
    let has_bearer = bearer.is_some_and(|credential| !credential.is_empty());
    let presented = Presented {
        has_api_key: header("x-api-key").is_some_and(|key| !key.is_empty()) || (takes_bearer && has_bearer),
        has_version: header("anthropic-version").is_some(),
    };
    let is_anthropic = path.starts_with("/v1/messages") || presented.has_version;
    let is_signed = header("authorization").is_some_and(|value| value.starts_with(b"AWS4-HMAC-SHA256 "));
    if let Some(operation) = sagemaker::operation(path) {
        return match (scene.fault.status, body) {
            (Some(status), _) => sagemaker::refusal(status, scene),
            (None, None) => sagemaker::refusal(400, scene),
            (None, Some(body)) => sagemaker::invoke(is_signed, operation, body, scene),
        };
    }
    if let Some((model, operation)) = bedrock::operation(path) {
        return match (operation, scene.fault.status, body) {
            (_, Some(status), _) => bedrock::refusal(status, scene),
            (_, None, None) => bedrock::refusal(400, scene),
            ("converse" | "converse-stream", None, Some(body)) => {
                let is_streaming = operation == "converse-stream";
                bedrock::converse(has_bearer || is_signed, is_streaming, body, scene)
            }
            ("invoke", None, Some(body)) => {
                bedrock_embeddings::invoke(has_bearer || is_signed, &model, body, scene)
            }
            _ => bedrock::refusal(404, scene),
        };
    }
    let target = Target::of(path);
    let Some(body) = body else {
        return if target.is_some() {
            gemini::too_large(scene)
        } else if is_anthropic {
            anthropic::too_large(scene)
        } else {
            openai::too_large(scene)
        };
    };
    if let Some(status) = scene.fault.status {
        return if target.is_some() {
            gemini::refusal(status, scene)
        } else if is_anthropic {
            anthropic::refusal(status, scene)
        } else if path.starts_with("/v2/") {
            cohere::refusal(status, scene)
        } else {
            openai::refusal(status, scene)
        };
    }
    if let ("POST", Some(target)) = (method, target) {
        let presented = gemini::Presented {
            has_api_key: header("x-goog-api-key").is_some_and(|key| !key.is_empty()),
            has_bearer,
        };
        return gemini::answer(target, parts.uri.query(), &presented, body, scene);
    }
    if let Some(operation) = azure::operation(path, parts.uri.query()) {
        let has_key = has_bearer || header("api-key").is_some_and(|key| !key.is_empty());
        return azure::answer(operation, has_key, body, scene);
    }
    match (method, path) {
        ("POST", "/v1/chat/completions") => openai::chat_completions(has_bearer, body, scene),
        ("POST", "/v1/embeddings") => openai_embeddings::embeddings(has_bearer, body, scene),
        ("POST", "/v2/chat") => cohere::chat(has_bearer, body, scene),
        ("POST", "/v2/embed") => cohere::embed(has_bearer, body, scene),
        ("POST", "/v1/messages") => anthropic::messages(&presented, body, scene),
        ("POST", "/v1/messages/count_tokens") => anthropic::count_tokens(&presented, body, scene),
        ("GET", "/v1/models") if is_anthropic => anthropic::models(scene),
        ("GET", "/v1/models") => openai::models(has_bearer, scene),
        _ if is_anthropic => anthropic::refusal(404, scene),
        _ => openai::unknown_path(method, path, scene),
    }
}

/// The request's model, or nothing if the body has none.
fn model_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        model: String,
    }
    serde_json::from_slice::<Named>(body).map_or_else(|_| String::new(), |named| named.model)
}

/// Accepts connections on one address for ever.
pub(crate) async fn accept(server: Rc<Server>, listener: TcpListener, listen: String) {
    let listen: Rc<str> = Rc::from(listen);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve(Rc::clone(&server), stream, Rc::clone(&listen)));
            }
            // Out of file descriptors, most likely: others close in time.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(server: Rc<Server>, stream: TcpStream, listen: Rc<str>) {
    // Without this a paced stream would arrive in clumps.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (server, listen) = (Rc::clone(&server), Rc::clone(&listen));
        async move { Ok::<_, Infallible>(server.answer(request, &listen).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // A cut, a reset, bad HTTP: each ends this connection and no other.
    let _ = connection.await;
}
