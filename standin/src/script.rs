// SPDX-License-Identifier: Apache-2.0

//! Turns a reply and a fault into the steps that `playback` carries out.
//!
//! Everything here is a value or an iterator, so that each fault can be tested without a socket. Streams
//! stay lazy: an answer of a million events costs no memory before it is sent. Only gzip needs the whole.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::faults::Fault;
use crate::reply::{Event, EventKind, Form, Reply};

/// One step of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send these bytes, which carry this many output tokens.
    Send(Bytes, u32),
    /// Do nothing for a while.
    Wait(Duration),
    /// Close the connection without ending the body.
    Cut,
}

/// The steps of a body.
pub(crate) type Steps = Box<dyn Iterator<Item = Step>>;

/// What is sent in the end.
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) input_tokens: u32,
    /// The body's announced length; `None` for a stream.
    pub(crate) content_length: Option<u64>,
    pub(crate) steps: Steps,
}

/// Applies everything in `fault` that concerns the answer after the provider has made it. `pace` is the time
/// between content events where the fault names none.
pub(crate) fn script(mut reply: Reply, fault: &Fault, pace: Duration) -> Script {
    replace_body(&mut reply, fault);
    let headers_added = fault
        .extra_headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value));
    for (name, value) in headers_added.collect::<Vec<_>>() {
        reply.set_header(&name, value);
    }
    let (mut content_length, mut steps) = match reply.form {
        Form::Whole { bytes, output_tokens } => whole_steps(bytes, output_tokens, fault),
        Form::Events { events, error_event } => (None, event_steps(events, error_event, fault, pace)),
    };
    if fault.gzip {
        let (bytes, output_tokens) = gzipped(steps);
        reply
            .headers
            .push(("content-encoding".to_owned(), "gzip".to_owned()));
        content_length = content_length.map(|_| bytes.len() as u64);
        steps = Box::new(std::iter::once(Step::Send(bytes, output_tokens)));
    }
    if let Some(millis) = fault.trickle_ms {
        steps = trickled(steps, Duration::from_millis(millis));
    }
    if let Some(limit) = fault.cut_after_bytes {
        steps = Box::new(cut_after_bytes(steps, limit));
    }
    if let Some(millis) = fault.before_first_event_ms {
        steps = Box::new(waiting(millis, fault.keep_alive_ms).chain(steps));
    }
    Script {
        status: reply.status,
        headers: reply.headers,
        input_tokens: reply.input_tokens,
        content_length,
        steps,
    }
}

/// So many milliseconds, with a comment of an event stream after every `keep_alive` of them.
fn waiting(millis: u64, keep_alive: Option<u64>) -> impl Iterator<Item = Step> {
    let comment = Bytes::from_static(b": keep-alive\n\n");
    let (pause, count, rest) = keep_alive
        .filter(|pause| *pause > 0)
        .map_or((0, 0, millis), |pause| (pause, millis / pause, millis % pause));
    let comments = (0..count).flat_map(move |_| {
        [
            Step::Wait(Duration::from_millis(pause)),
            Step::Send(comment.clone(), 0),
        ]
    });
    comments.chain(std::iter::once(Step::Wait(Duration::from_millis(rest))))
}

fn replace_body(reply: &mut Reply, fault: &Fault) {
    let whole = |bytes: Bytes| Form::Whole {
        bytes,
        output_tokens: 0,
    };
    if let Some(body) = &fault.body {
        reply.form = whole(Bytes::from(body.clone()));
        reply.set_header(
            "content-type",
            fault.content_type.as_deref().unwrap_or("application/json"),
        );
    } else if fault.empty_body {
        reply.form = whole(Bytes::new());
    } else if fault.empty_stream {
        reply.form = Form::Events {
            events: Box::new(std::iter::empty()),
            error_event: Bytes::new(),
        };
        reply.set_header("content-type", "text/event-stream");
    } else if let Some(content_type) = &fault.wrong_content_type {
        if content_type.starts_with("text/html") {
            reply.form = whole(Bytes::from_static(
                b"<html><body><h1>It works!</h1></body></html>\n",
            ));
        }
        reply.set_header("content-type", content_type);
    }
}

fn whole_steps(mut bytes: Bytes, output_tokens: u32, fault: &Fault) -> (Option<u64>, Steps) {
    let announced = bytes.len();
    if fault.cut_after_events.is_some() {
        bytes.truncate(announced / 2);
        return (
            Some(announced as u64),
            Box::new([Step::Send(bytes, 0), Step::Cut].into_iter()),
        );
    }
    if fault.malformed_json {
        bytes.truncate(announced * 2 / 3);
    }
    (
        Some(bytes.len() as u64),
        Box::new(std::iter::once(Step::Send(bytes, output_tokens))),
    )
}

fn event_steps(
    events: Box<dyn Iterator<Item = Event>>,
    error_event: Bytes,
    fault: &Fault,
    pace: Duration,
) -> Steps {
    let pace = fault.between_events_ms.map_or(pace, Duration::from_millis);
    let (is_malformed, leaves_out_end) = (fault.malformed_json, fault.no_done);
    let mut content_seen = 0_u32;
    let played = events
        .filter(move |event| !(leaves_out_end && event.kind == EventKind::Done))
        .flat_map(move |mut event| {
            let is_content = event.kind == EventKind::Content;
            let wait = (is_content && content_seen > 0 && !pace.is_zero()).then_some(Step::Wait(pace));
            if is_content {
                if is_malformed && content_seen == 0 {
                    event.bytes = broken(&event.bytes);
                }
                content_seen = content_seen.saturating_add(1);
            }
            let send = Step::Send(event.bytes, event.output_tokens);
            [wait, Some(send)]
                .into_iter()
                .flatten()
                .map(move |step| (is_content, step))
        });
    let end = match (fault.in_stream_error, fault.cut_after_events) {
        (Some(count), _) => Some((count, Step::Send(error_event, 0))),
        (None, Some(count)) => Some((count, Step::Cut)),
        (None, None) => None,
    };
    match end {
        None => Box::new(played.map(|(_, step)| step)),
        // An error as the very first event replaces even the frames that open a stream.
        Some((0, last)) => Box::new(std::iter::once(last)),
        Some((count, last)) => Box::new(up_to(played, count).chain(std::iter::once(last))),
    }
}

/// The steps up to and with the `count`th content event.
fn up_to(steps: impl Iterator<Item = (bool, Step)>, count: u32) -> impl Iterator<Item = Step> {
    let mut left = count;
    steps
        .map_while(move |(is_content, step)| {
            if left == 0 {
                return None;
            }
            if is_content && matches!(step, Step::Send(..)) {
                left -= 1;
            }
            Some(step)
        })
        .fuse()
}

/// Cuts an event's JSON off and keeps its framing.
fn broken(event: &Bytes) -> Bytes {
    let mut bytes = event.get(..event.len() * 2 / 3).unwrap_or_default().to_vec();
    bytes.extend_from_slice(b"\n\n");
    Bytes::from(bytes)
}

fn gzipped(steps: Steps) -> (Bytes, u32) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut output_tokens = 0_u32;
    for step in steps {
        if let Step::Send(bytes, count) = step {
            // Writing into a vector cannot fail.
            let _ = encoder.write_all(&bytes);
            output_tokens = output_tokens.saturating_add(count);
        }
    }
    (Bytes::from(encoder.finish().unwrap_or_default()), output_tokens)
}

fn trickled(steps: Steps, delay: Duration) -> Steps {
    Box::new(steps.flat_map(move |step| -> Steps {
        let Step::Send(bytes, output_tokens) = step else {
            return Box::new(std::iter::once(step));
        };
        let last = bytes.len().saturating_sub(1);
        Box::new((0..bytes.len()).flat_map(move |at| {
            let carried = if at == last { output_tokens } else { 0 };
            [Step::Send(bytes.slice(at..=at), carried), Step::Wait(delay)]
        }))
    }))
}

/// The steps until `limit` bytes are sent, then a cut. A body that is shorter ends as it is.
fn cut_after_bytes(steps: Steps, limit: u64) -> impl Iterator<Item = Step> {
    let mut left = limit;
    let mut is_over = false;
    steps
        .flat_map(move |step| {
            if is_over {
                return [None, None];
            }
            let Step::Send(mut bytes, output_tokens) = step else {
                return [Some(step), None];
            };
            if bytes.len() as u64 <= left {
                left -= bytes.len() as u64;
                return [Some(Step::Send(bytes, output_tokens)), None];
            }
            is_over = true;
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            [Some(Step::Send(bytes, 0)), Some(Step::Cut)]
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Reply {
        let events = vec![
            Event::frame("data: {\"start\":1}\n\n".to_owned()),
            Event::content("data: {\"c\":1}\n\n".to_owned()),
            Event::content("data: {\"c\":2}\n\n".to_owned()),
            Event::done("data: [DONE]\n\n"),
        ];
        let error_event = Bytes::from_static(b"ERROR");
        let form = Form::Events {
            events: Box::new(events.into_iter()),
            error_event,
        };
        Reply {
            status: 200,
            headers: Vec::new(),
            input_tokens: 4,
            form,
        }
    }

    fn document() -> Reply {
        let form = Form::Whole {
            bytes: Bytes::from_static(b"{\"a\":\"bc\"}"),
            output_tokens: 3,
        };
        Reply {
            status: 200,
            headers: Vec::new(),
            input_tokens: 4,
            form,
        }
    }

    fn play(reply: Reply, fault: &str) -> String {
        let fault: Fault = serde_json::from_str(fault).expect("a fault");
        let script = script(reply, &fault, Duration::ZERO);
        let text: String = script
            .steps
            .map(|step| match step {
                Step::Send(bytes, _) => String::from_utf8_lossy(&bytes).replace("\n\n", "|"),
                Step::Wait(time) => format!("<{}>", time.as_millis()),
                Step::Cut => "CUT".to_owned(),
            })
            .collect();
        text.replace("data: ", "")
    }

    #[test]
    fn streams_play_as_scripted() {
        let cases = [
            ("{}", "{\"start\":1}|{\"c\":1}|{\"c\":2}|[DONE]|"),
            (r#"{"no_done": true}"#, "{\"start\":1}|{\"c\":1}|{\"c\":2}|"),
            (
                r#"{"between_events_ms": 5}"#,
                "{\"start\":1}|{\"c\":1}|<5>{\"c\":2}|[DONE]|",
            ),
            (
                r#"{"before_first_event_ms": 5}"#,
                "<5>{\"start\":1}|{\"c\":1}|{\"c\":2}|[DONE]|",
            ),
            (r#"{"in_stream_error": 0}"#, "ERROR"),
            (r#"{"in_stream_error": 1}"#, "{\"start\":1}|{\"c\":1}|ERROR"),
            (r#"{"cut_after_events": 1}"#, "{\"start\":1}|{\"c\":1}|CUT"),
            (r#"{"cut_after_bytes": 9}"#, "{\"sCUT"),
            (r#"{"empty_stream": true}"#, ""),
            (
                r#"{"malformed_json": true}"#,
                "{\"start\":1}|{\"c\"|{\"c\":2}|[DONE]|",
            ),
        ];
        for (fault, expected) in cases {
            assert_eq!(play(stream(), fault), expected, "{fault}");
        }
    }

    #[test]
    fn documents_play_as_scripted() {
        let cases = [
            ("{}", "{\"a\":\"bc\"}"),
            (r#"{"cut_after_events": 1}"#, "{\"a\":CUT"),
            (r#"{"cut_after_bytes": 3}"#, "{\"aCUT"),
            (r#"{"malformed_json": true}"#, "{\"a\":\""),
            (r#"{"empty_body": true}"#, ""),
            (r#"{"body": "exactly"}"#, "exactly"),
        ];
        for (fault, expected) in cases {
            assert_eq!(play(document(), fault), expected, "{fault}");
        }
    }

    #[test]
    fn a_trickle_is_bytes_with_waits() {
        assert_eq!(play(document(), r#"{"trickle_ms": 2, "body": "ab"}"#), "a<2>b<2>");
    }

    #[test]
    fn gzip_announces_itself_and_keeps_the_count() {
        let fault = Fault {
            gzip: true,
            ..Fault::default()
        };
        let script = script(document(), &fault, Duration::ZERO);
        assert!(
            script
                .headers
                .contains(&("content-encoding".to_owned(), "gzip".to_owned()))
        );
        let steps: Vec<Step> = script.steps.collect();
        let [Step::Send(bytes, 3)] = steps.as_slice() else {
            panic!("expected one piece, found {steps:?}")
        };
        assert_eq!(script.content_length, Some(bytes.len() as u64));
        assert!(bytes.starts_with(&[0x1f, 0x8b]));
    }
}
