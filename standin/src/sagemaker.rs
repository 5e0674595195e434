// SPDX-License-Identifier: Apache-2.0

//! The Amazon SageMaker stand-in: an endpoint whose container is the OpenAI stand-in.
//!
//! Follows the published reference
//! (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html>): the
//! container's bytes come in the messages of an event stream, cut wherever; its refusals come as the service's
//! `ModelError` with what the container said inside.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bedrock::{error, frame};
use crate::openai;
use crate::reply::{Event, EventKind, Form, Reply, Scene};

/// Whether a path is one of SageMaker's, and if so its endpoint and its operation.
pub(crate) fn operation(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/endpoints/")?.split_once('/')
}

/// Answers `POST /endpoints/{endpoint}/invocations` and `.../invocations-response-stream`.
pub(crate) fn invoke(
    is_signed: bool,
    (endpoint, operation): (&str, &str),
    body: &[u8],
    scene: &Scene<'_>,
) -> Reply {
    if !is_signed {
        let message = "Missing Authentication Token";
        return error(403, "MissingAuthenticationTokenException", message, scene);
    }
    let is_streaming = operation == "invocations-response-stream";
    if !is_streaming && operation != "invocations" {
        return error(404, "UnknownOperationException", "Not Found", scene);
    }
    let Ok(Value::Object(mut request)) = serde_json::from_slice(body) else {
        return error(400, "ValidationError", "The request body is not JSON.", scene);
    };
    // Containers use the model that they have loaded; one that is named must be that.
    if request.contains_key("model") {
        return model_error(404, "The model does not exist.", scene);
    }
    request.insert("model".to_owned(), json!(endpoint));
    let reply = openai::chat_completions(true, Value::Object(request).to_string().as_bytes(), scene);
    if reply.status != 200 {
        let Form::Whole { bytes, .. } = &reply.form else {
            return model_error(reply.status, "", scene);
        };
        return model_error(reply.status, &String::from_utf8_lossy(bytes), scene);
    }
    match reply.form {
        Form::Events { events, .. } if is_streaming => {
            let mut reply = Reply {
                form: Form::Events {
                    events: Box::new(events.flat_map(parts)),
                    error_event: Bytes::from(exception()),
                },
                ..reply
            };
            reply.set_header("content-type", "application/vnd.amazon.eventstream");
            reply.set_header("x-amzn-sagemaker-content-type", "text/event-stream");
            reply
        }
        form => Reply { form, ..reply },
    }
}

/// The service's error with this status.
pub(crate) fn refusal(status: u16, scene: &Scene<'_>) -> Reply {
    let kind = match status {
        400 => "ValidationError",
        401 | 403 => "AccessDeniedException",
        424 => return model_error(500, "Internal Server Error", scene),
        503 => "ServiceUnavailable",
        _ => "InternalFailure",
    };
    let message = scene.fault.message.as_deref();
    error(status, kind, message.unwrap_or("The request failed."), scene)
}

fn model_error(status: u16, said: &str, scene: &Scene<'_>) -> Reply {
    let log = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e";
    let body = json!({
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
        "LogStreamArn": log,
        "Message": format!("Received client error ({status}) from primary with message \"{said}\". See {log}."),
        "OriginalMessage": said,
        "OriginalStatusCode": status,
    });
    let mut reply = error(424, "ModelError", "", scene);
    reply.form = Form::Whole {
        bytes: Bytes::from(body.to_string()),
        output_tokens: 0,
    };
    reply
}

/// An event of the container's in two messages, cut in its middle.
fn parts(event: Event) -> [Event; 2] {
    let headers = [
        (":event-type", "PayloadPart"),
        (":content-type", "application/octet-stream"),
        (":message-type", "event"),
    ];
    let (head, tail) = event.bytes.split_at(event.bytes.len() / 2);
    [
        Event::frame(frame(&headers, head)),
        Event {
            bytes: Bytes::from(frame(&headers, tail)),
            ..event
        },
    ]
    .map(|part| Event {
        kind: if event.kind == EventKind::Done {
            EventKind::Done
        } else {
            part.kind
        },
        ..part
    })
}

fn exception() -> Vec<u8> {
    let headers = [
        (":exception-type", "ModelStreamError"),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    let message = json!({"ErrorCode": "ModelInvocationTimeExceeded", "Message": "The model took too long."});
    frame(&headers, message.to_string().as_bytes())
}
