// SPDX-License-Identifier: Apache-2.0

#![no_main]

use tollgate::codec::sse::{Decoder, EventTooLarge};

/// The events, each as its name and its data.
fn events(data: &[u8], size: usize) -> (Vec<(Vec<u8>, Vec<u8>)>, bool) {
    let mut decoder = Decoder::new(1024);
    let mut found = Vec::new();
    let mut is_sound = true;
    for piece in data.chunks(size) {
        let fed: Result<(), EventTooLarge> = decoder.feed(piece, |event| {
            found.push((event.name.to_vec(), event.data.to_vec()));
            Ok(())
        });
        is_sound &= fed.is_ok();
        if !is_sound {
            break;
        }
    }
    (found, is_sound)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((size, data)) = data.split_last() {
        assert_eq!(events(data, data.len().max(1)), events(data, usize::from(*size) + 1), "the cuts show");
    }
});
