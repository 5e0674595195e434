// SPDX-License-Identifier: Apache-2.0

use super::{Decoder, Fault, Message};

/// A message as the specification writes it, put together by hand.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap());
        encoded.extend_from_slice(name.as_bytes());
        encoded.push(7);
        encoded.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    raw_frame(&encoded, payload)
}

fn raw_frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

type Seen = Vec<(Option<String>, Vec<u8>)>;

fn decode(stream: &[u8], size: usize, max: usize) -> (Seen, Result<bool, Fault>) {
    let mut decoder = Decoder::new(max);
    let mut seen = Vec::new();
    for chunk in stream.chunks(size.max(1)) {
        let fed = decoder.feed(chunk, |message: Message<'_>| {
            let kind = message.header(":event-type").map(str::to_owned);
            seen.push((kind, message.payload.to_vec()));
            Ok::<_, Fault>(())
        });
        if let Err(fault) = fed {
            return (seen, Err(fault));
        }
    }
    (seen, Ok(decoder.has_leftover()))
}

fn three() -> Vec<u8> {
    [
        frame(&[(":message-type", "event"), (":event-type", "a")], b"{\"x\":1}"),
        frame(&[], b""),
        frame(&[(":event-type", "b")], &[0xFF; 300]),
    ]
    .concat()
}

#[crate::test]
fn any_split_gives_the_same_messages() {
    let stream = three();
    let whole = decode(&stream, stream.len(), 1000);
    assert_eq!(whole.1, Ok(false));
    assert_eq!(whole.0.len(), 3);
    assert_eq!(whole.0[0], (Some("a".to_owned()), b"{\"x\":1}".to_vec()));
    assert_eq!(whole.0[1], (None, Vec::new()));
    for size in 1..stream.len() {
        assert_eq!(decode(&stream, size, 1000), whole, "{size}");
    }
    // One cut, everywhere.
    for at in 0..=stream.len() {
        let mut decoder = Decoder::new(1000);
        let mut count = 0;
        for piece in [&stream[..at], &stream[at..]] {
            decoder
                .feed(piece, |_| {
                    count += 1;
                    Ok::<_, Fault>(())
                })
                .unwrap();
        }
        assert_eq!((count, decoder.has_leftover()), (3, false), "{at}");
    }
}

/// The empty message of the specification's own examples.
#[crate::test]
fn the_published_empty_message_is_read() {
    let bytes = [
        0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff,
    ];
    assert_eq!(decode(&bytes, 16, 100), (vec![(None, Vec::new())], Ok(false)));
}

#[crate::test]
fn a_single_wrong_bit_is_found_wherever_it_is() {
    let sound = frame(&[(":event-type", "a")], b"payload");
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut stream = sound.clone();
            stream[at] ^= 1 << bit;
            for size in [1, 7, stream.len()] {
                let (seen, outcome) = decode(&stream, size, 1000);
                assert_eq!(
                    (seen.len(), outcome),
                    (0, Err(Fault::Corrupt)),
                    "{at} {bit} {size}"
                );
            }
        }
    }
}

#[crate::test]
fn a_message_beyond_the_bound_is_refused_before_it_is_kept() {
    let large = frame(&[], &[0; 1000]);
    for size in [1, large.len()] {
        assert_eq!(decode(&large, size, 1015).1, Err(Fault::TooLarge));
        assert_eq!(decode(&large[..12], size, 1015).1, Err(Fault::TooLarge));
        assert_eq!(decode(&large, size, 1016).1, Ok(false));
    }
}

#[crate::test]
fn a_cut_message_is_left_over() {
    let stream = three();
    for length in [1, 11, 12, 20, stream.len() - 1] {
        assert_eq!(decode(&stream[..length], 7, 1000).1, Ok(true), "{length}");
    }
}

#[crate::test]
fn lengths_that_contradict_each_other_are_corrupt() {
    // Sound checksums throughout: headers longer than the message, and a message shorter than its own frame.
    for (total, headers) in [(16_u32, 1_u32), (15, 0), (0, 0), (100, u32::MAX), (40, 30)] {
        let mut stream = total.to_be_bytes().to_vec();
        stream.extend_from_slice(&headers.to_be_bytes());
        stream.extend_from_slice(&crc32fast::hash(&stream).to_be_bytes());
        stream.extend_from_slice(&[0; 100]);
        assert_eq!(
            decode(&stream, 5, 1000).1,
            Err(Fault::Corrupt),
            "{total} {headers}"
        );
    }
}

#[crate::test]
fn headers_of_every_type_are_stepped_over() {
    let mut headers = Vec::new();
    for (kind, size) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
        headers.extend_from_slice(&[1, b'h', kind]);
        headers.resize(headers.len() + size, 0xAB);
    }
    headers.extend_from_slice(b"\x01b\x06\x00\x02\x01\x02");
    headers.extend_from_slice(b"\x05after\x07\x00\x03yes");
    let stream = raw_frame(&headers, b"p");
    let mut decoder = Decoder::new(1000);
    let mut found = None;
    decoder
        .feed(&stream, |message| {
            found = message.header("after").map(str::to_owned);
            assert_eq!(message.header("b"), None, "bytes are no text");
            Ok::<_, Fault>(())
        })
        .unwrap();
    assert_eq!(found.as_deref(), Some("yes"));
}

#[crate::test]
fn headers_that_are_cut_short_or_unknown_are_corrupt() {
    for headers in [
        &b"\x05ab"[..],
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x07\x00\x05ab",
        b"\x01a\x05\x00",
    ] {
        assert_eq!(
            decode(&raw_frame(headers, b""), 99, 999).1,
            Err(Fault::Corrupt),
            "{headers:?}"
        );
    }
}

#[crate::test]
fn what_the_reader_refuses_ends_the_call() {
    let mut decoder = Decoder::new(1000);
    let mut count = 0;
    let outcome = decoder.feed(&three(), |_| {
        count += 1;
        Err(Fault::TooLarge)
    });
    assert_eq!((count, outcome), (1, Err(Fault::TooLarge)));
}
