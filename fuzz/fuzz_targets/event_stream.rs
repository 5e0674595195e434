// SPDX-License-Identifier: Apache-2.0

#![no_main]

use tollgate::codec::event_stream::{Decoder, Fault};
use tollgate_fuzz::frame;

/// The names that providers are asked for, and one that no message has.
const NAMES: [&str; 4] = [":message-type", ":event-type", ":exception-type", ""];

type Seen = (Vec<(Vec<Option<String>>, Vec<u8>)>, Option<Fault>, bool);

fn messages(data: &[u8], size: usize) -> Seen {
    let mut decoder = Decoder::new(1024);
    let mut found = Vec::new();
    for piece in data.chunks(size) {
        let fed: Result<(), Fault> = decoder.feed(piece, |message| {
            let headers = NAMES.map(|name| message.header(name).map(str::to_owned));
            found.push((headers.to_vec(), message.payload.to_vec()));
            Ok(())
        });
        if let Err(fault) = fed {
            return (found, Some(fault), false);
        }
    }
    (found, None, decoder.has_leftover())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((control, data)) = data.split_last() else { return };
    // Bytes as they come, or a message for each line: its first byte tells how much of the rest are headers.
    let stream = if control & 0x80 == 0 {
        let framed = data.split(|byte| *byte == b'\n').filter_map(|line| {
            let (headers, rest) = line.split_first()?;
            let (headers, payload) = rest.split_at(usize::from(*headers).min(rest.len()));
            Some(frame(headers, payload))
        });
        framed.collect::<Vec<_>>().concat()
    } else {
        data.to_vec()
    };
    let size = usize::from(control & 0x7F) + 1;
    assert_eq!(messages(&stream, stream.len().max(1)), messages(&stream, size), "the cuts show");
});
