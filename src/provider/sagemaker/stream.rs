// SPDX-License-Identifier: Apache-2.0

//! The container's stream, unwrapped
//! (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html>).
//!
//! The messages of the event stream carry the container's bytes in parts that are cut anywhere; put together they
//! are the server-sent events that [`ChunkStream`] reads. A message that is no part tells of a fault.

use crate::codec::event_stream::{Decoder, Message};
use crate::protocol::bedrock::stream_event::MESSAGE_TYPE;
use crate::provider::bedrock::reported_fault;
use crate::provider::openai::ChunkStream;
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};

/// Room for the framing around the largest event.
const FRAMING_BYTES: usize = 4096;

/// Translates one stream.
pub struct EndpointStream {
    decoder: Decoder,
    inner: ChunkStream,
    progress: Progress,
}

impl EndpointStream {
    pub(in crate::provider) fn new(settings: &Settings, request: &UpstreamRequest) -> Self {
        Self {
            decoder: Decoder::new(settings.max_event_bytes.saturating_add(FRAMING_BYTES)),
            inner: ChunkStream::new(settings, request),
            progress: Progress::Preamble,
        }
    }
}

impl ResponseStream for EndpointStream {
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        let (inner, progress) = (&mut self.inner, &mut self.progress);
        if *progress == Progress::Done {
            return Ok(Progress::Done);
        }
        let fed = self.decoder.feed(chunk, |message: Message<'_>| {
            if *progress == Progress::Done {
                return Ok(());
            }
            if message.header(MESSAGE_TYPE) != Some("event") {
                return Err(reported_fault(&message));
            }
            *progress = inner.on_bytes(message.payload, out)?;
            Ok(())
        });
        // Whatever follows the end, be it no message at all, is ignored.
        if *progress != Progress::Done {
            fed?;
        }
        Ok(*progress)
    }

    fn on_end(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.progress != Progress::Done && self.decoder.has_leftover() {
            let message = "The provider's stream ended early.";
            return Err(UpstreamFault::misbehaved(message));
        }
        self.inner.on_end(out)
    }

    fn tally(&self) -> Tally {
        self.inner.tally()
    }
}

#[cfg(test)]
mod tests {
    use super::EndpointStream;
    use crate::codec::event_stream::tests::frame;
    use crate::config::ProviderKind;
    use crate::provider::{ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};

    const EVENTS: &str = concat!(
        r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"H\u00e9"},"finish_reason":null}]}"#,
        "\n\n",
        r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "\n\n",
        r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#,
        "\n\ndata: [DONE]\n\n",
    );

    fn part(payload: &[u8]) -> Vec<u8> {
        let headers = [
            (":event-type", "PayloadPart"),
            (":content-type", "application/octet-stream"),
            (":message-type", "event"),
        ];
        frame(&headers, payload)
    }

    fn tell(bytes: &[u8], size: usize) -> (String, Result<(), UpstreamFault>, Tally) {
        let settings = Settings {
            created: 7,
            max_event_bytes: 1024,
            ..Settings::of(ProviderKind::AwsSageMaker, "m")
        };
        let request = UpstreamRequest {
            is_streaming: true,
            include_usage: true,
            ..UpstreamRequest::default()
        };
        let mut stream = EndpointStream::new(&settings, &request);
        let mut out = Vec::new();
        let outcome = bytes
            .chunks(size.max(1))
            .try_for_each(|chunk| stream.on_bytes(chunk, &mut out).map(|_| ()))
            .and_then(|()| stream.on_end(&mut out));
        (String::from_utf8(out).unwrap(), outcome, stream.tally())
    }

    #[crate::test]
    fn parts_are_put_together_wherever_they_are_cut() {
        let expected = tell(&part(EVENTS.as_bytes()), usize::MAX);
        assert!(
            expected.0.contains("H\\u00e9") && expected.0.ends_with("data: [DONE]\n\n"),
            "{}",
            expected.0
        );
        assert_eq!(
            (expected.1.clone(), expected.2.usage.input_tokens),
            (Ok(()), Some(3))
        );
        for part_size in [1, 7, 100] {
            let parts: Vec<u8> = EVENTS.as_bytes().chunks(part_size).flat_map(part).collect();
            for size in [1, 7, parts.len()] {
                assert_eq!(tell(&parts, size), expected, "{part_size} {size}");
            }
        }
    }

    #[crate::test]
    fn an_exception_and_a_cut_are_errors() {
        let (begun, _) = EVENTS.as_bytes().split_at(200);
        let exception = frame(
            &[
                (":message-type", "exception"),
                (":exception-type", "ModelStreamError"),
            ],
            br#"{"ErrorCode":"ModelInvocationTimeExceeded","Message":"too slow"}"#,
        );
        let (_, outcome, _) = tell(&[part(begun), exception].concat(), 5);
        let fault = outcome.unwrap_err();
        assert_eq!((fault.error.status, &*fault.error.message), (424, "too slow"));
        let whole = part(EVENTS.as_bytes());
        for bytes in [&part(begun)[..], &whole[..whole.len() - 1]] {
            let message = tell(bytes, 5).1.unwrap_err().error.message;
            assert_eq!(message, "The provider's stream ended early.");
        }
        assert!(tell(EVENTS.as_bytes(), 5).1.is_err());
    }
}
