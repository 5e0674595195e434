// SPDX-License-Identifier: Apache-2.0

//! Amazon's event streams for a fuzzer: it makes up what the messages say, and here they get their checksums, which
//! no mutation would ever hit.

/// What a message of Bedrock's or `SageMaker`'s may be: its `:message-type`, and the name of its type.
const KINDS: [(&str, &str, &str); 10] = [
    ("event", ":event-type", "messageStart"),
    ("event", ":event-type", "contentBlockStart"),
    ("event", ":event-type", "contentBlockDelta"),
    ("event", ":event-type", "contentBlockStop"),
    ("event", ":event-type", "messageStop"),
    ("event", ":event-type", "metadata"),
    ("event", ":event-type", "PayloadPart"),
    ("event", ":event-type", "a later invention"),
    ("exception", ":exception-type", "modelStreamErrorException"),
    ("error", ":error-code", "InternalFailure"),
];

/// A stream of messages: one for each line of `data`, whose first byte says what it is and whose rest is the payload.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((kind, payload)) = line.split_first() else { continue };
        // The letters from `a` on, so that a corpus can be read.
        let (message, name, value) = KINDS[usize::from(kind.wrapping_sub(b'a')) % KINDS.len()];
        let mut headers = header(":message-type", message);
        headers.extend(header(name, value));
        out.extend(frame(&headers, payload));
    }
    out
}

fn header(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(name.len()).unwrap()];
    out.extend_from_slice(name.as_bytes());
    // The type of text.
    out.push(7);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend_from_slice(value.as_bytes());
    out
}

/// One message, with sound checksums around headers that need not be.
pub fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&u32::try_from(16 + headers.len() + payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}
