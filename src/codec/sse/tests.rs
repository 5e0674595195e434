// SPDX-License-Identifier: Apache-2.0

use super::{Decoder, Event, EventTooLarge};

const NASTY: &[u8] =
    b"\xEF\xBB\xBF: hello\n\nevent: a\ndata: one\n\ndata: two\r\ndata:three\r\ndata\r\ndata:  four\r\n\r\n\
: comment\rid: 7\r\rretry: 5\n\n\nevent: b\rdata: \xE2\x82\xAC\r\r\ndata\n\ndatax: no\ndata : no\n\n\
data: mixed\r\ndata: ends\n\r\nevent: x\nevent\ndata: {\"a\": \":\"}\n\n:\n\ndata: last";

type Owned = (Vec<u8>, Vec<u8>, Vec<u8>);

fn owned(event: Event<'_>) -> Owned {
    (event.name.to_vec(), event.data.to_vec(), event.raw.to_vec())
}

fn decode(chunks: &[&[u8]]) -> (Vec<Owned>, Vec<u8>) {
    let mut decoder = Decoder::new(1 << 20);
    let mut events = Vec::new();
    for chunk in chunks {
        let fed: Result<(), EventTooLarge> = decoder.feed(chunk, |event| {
            events.push(owned(event));
            Ok(())
        });
        fed.unwrap();
    }
    let finished: Result<(), EventTooLarge> = decoder.finish(|event| {
        events.push(owned(event));
        Ok(())
    });
    finished.unwrap();
    let mut leftover = Vec::new();
    decoder.take_skipped(&mut leftover);
    assert!(!decoder.has_leftover());
    (events, leftover)
}

fn check(input: &[u8], expected: &[(&str, &str)]) {
    let (events, leftover) = decode(&[input]);
    let seen: Vec<(&str, &str)> = events
        .iter()
        .map(|(name, data, _)| (str::from_utf8(name).unwrap(), str::from_utf8(data).unwrap()))
        .collect();
    assert_eq!(seen, expected);
    let mut raw: Vec<u8> = events.iter().flat_map(|event| event.2.clone()).collect();
    raw.extend(leftover);
    assert_eq!(raw, input, "a byte was lost");
}

#[crate::test]
fn the_grammar_is_the_whatwg_one() {
    check(
        NASTY,
        &[
            ("a", "one"),
            ("", "two\nthree\n\n four"),
            ("b", "€"),
            ("", ""),
            ("", "mixed\nends"),
            ("", "{\"a\": \":\"}"),
            ("", "last"),
        ],
    );
}

#[crate::test]
fn every_pair_of_split_points_gives_the_same_events() {
    let whole = decode(&[NASTY]);
    for first in 0..=NASTY.len() {
        for second in first..=NASTY.len() {
            let parts = [&NASTY[..first], &NASTY[first..second], &NASTY[second..]];
            assert_eq!(decode(&parts), whole, "cut at {first} and {second}");
        }
    }
}

#[crate::test]
fn bytes_one_by_one_give_the_same_events() {
    let bytes: Vec<&[u8]> = NASTY.chunks(1).collect();
    assert_eq!(decode(&bytes), decode(&[NASTY]));
}

#[crate::test]
fn a_byte_order_mark_counts_only_at_the_start() {
    check(b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n", &[("", "a")]);
    check(b"\xEF\xBB\xBF\n\ndata: a\n\n", &[("", "a")]);
}

#[crate::test]
fn a_cr_alone_ends_an_event_at_once() {
    let mut decoder = Decoder::new(100);
    let mut events = 0;
    let fed: Result<(), EventTooLarge> = decoder.feed(b"data: a\r\r", |_| {
        events += 1;
        Ok(())
    });
    assert_eq!((fed, events), (Ok(()), 1));
}

#[crate::test]
fn an_event_within_a_chunk_is_borrowed_from_it() {
    let chunk = b"data: a\n\ndata: b\n\n";
    let range = chunk.as_ptr_range();
    let mut decoder = Decoder::new(100);
    let fed: Result<(), EventTooLarge> = decoder.feed(chunk, |event| {
        assert!(range.contains(&event.raw.as_ptr()) && range.contains(&event.data.as_ptr()));
        Ok(())
    });
    fed.unwrap();
    assert_eq!(decoder.tail.capacity(), 0);
}

#[crate::test]
fn skipped_bytes_can_be_had_before_the_next_event() {
    let mut decoder = Decoder::new(100);
    let mut out = Vec::new();
    let fed: Result<(), EventTooLarge> = decoder.feed(b": ping\n\ndata: a", |_| Ok(()));
    fed.unwrap();
    decoder.take_skipped(&mut out);
    assert_eq!(out, b": ping\n\n");
    let fed: Result<(), EventTooLarge> = decoder.feed(b"\n\n", |event| {
        assert_eq!(event.raw, b"data: a\n\n");
        Ok(())
    });
    fed.unwrap();
    assert!(!decoder.has_leftover());
}

fn feed_all(chunks: &[&[u8]], bound: usize) -> Result<(), EventTooLarge> {
    let mut decoder = Decoder::new(bound);
    let mut sink = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, |_| Ok::<(), EventTooLarge>(()))?;
        decoder.take_skipped(&mut sink);
    }
    Ok(())
}

#[crate::test]
fn the_bound_holds_for_events_lines_and_comments_in_any_chunking() {
    for input in [
        b"data: 0123456789\n\n".as_slice(),
        b": 0\n\n: 1\n\ndata:1\n\n",
        b"0123456789abcdefgh",
        b"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    ] {
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        for chunks in [&[input][..], &bytes[..]] {
            assert_eq!(feed_all(chunks, input.len()), Ok(()), "{input:?}");
            assert_eq!(feed_all(chunks, input.len() - 1), Err(EventTooLarge), "{input:?}");
        }
    }
    assert_eq!(feed_all(&[b"data: 1\n\n".repeat(50).as_slice()], 9), Ok(()));
}

#[crate::test]
fn an_event_tells_what_was_skipped_before_it() {
    for chunks in [
        &[b": ping\n\n: own\ndata: a\n\n".as_slice()][..],
        &[b": ping\n\n: ow", b"n\ndata: a\n\n"],
    ] {
        let mut decoder = Decoder::new(100);
        for chunk in chunks {
            let fed: Result<(), EventTooLarge> = decoder.feed(chunk, |event| {
                assert_eq!(event.skipped, b": ping\n\n");
                Ok(())
            });
            fed.unwrap();
        }
    }
}

#[crate::test]
fn an_error_of_the_callback_ends_the_call() {
    #[derive(Debug, PartialEq)]
    struct Stop;
    impl From<EventTooLarge> for Stop {
        fn from(_: EventTooLarge) -> Self {
            panic!("no event is too large here")
        }
    }
    let mut seen = 0;
    let fed = Decoder::new(100).feed(b"data: a\n\ndata: b\n\n", |_| {
        seen += 1;
        Err(Stop)
    });
    assert_eq!((fed, seen), (Err(Stop), 1));
}

/// Quadratic work on these four million bytes would take hours.
#[crate::test]
fn a_long_event_byte_by_byte_takes_linear_time() {
    let mut event = b"data: ".to_vec();
    event.resize(2_000_000, b'x');
    event.extend(b"\ndata: y".repeat(100_000));
    event.extend(b"\n\n");
    let mut comments = b": ping\n\n".repeat(100_000);
    comments.extend(event);
    let mut decoder = Decoder::new(usize::MAX);
    let mut data_bytes = 0;
    for byte in comments.chunks(1) {
        let fed: Result<(), EventTooLarge> = decoder.feed(byte, |event| {
            data_bytes += event.data.len();
            Ok(())
        });
        fed.unwrap();
    }
    assert_eq!(data_bytes, 2_000_000 - 6 + 200_000);
}

#[cfg(not(target_family = "wasm"))]
mod properties {
    use super::decode;
    use proptest::prelude::*;

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "data", "event", "id", ":", " ", "\r", "\n", "\r\n", "\n\n", "\r\n\r\n", "x", "\u{feff}", "é",
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events_and_every_byte(input in stream(), size in 1_usize..9) {
            let whole = decode(&[&input]);
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(&decode(&chunks), &whole);
            let mut bytes: Vec<u8> = whole.0.iter().flat_map(|event| event.2.clone()).collect();
            bytes.extend(&whole.1);
            prop_assert_eq!(bytes, input);
        }
    }
}
