// SPDX-License-Identifier: Apache-2.0

//! What every stream decoder owes, whatever comes: it does not panic, and it says the same however the bytes are cut.

mod frames;

pub use frames::{frame, framed};

use tollgate::config::ProviderKind;
use tollgate::provider::{ResponseStream, Settings, Tally, UpstreamRequest, response_stream};

/// Small, so that the fuzzer reaches the bound.
const MAX_EVENT_BYTES: usize = 4096;

/// Feeds `data` whole and in pieces, and compares. The last byte says how it is cut and what the client asked for.
pub fn check_stream(kind: ProviderKind, data: &[u8]) {
    let Some((control, data)) = data.split_last() else { return };
    check_cuts(kind, data, *control);
}

/// The same for a provider that streams in Amazon's frames. The highest bit of the last byte says whether `data` are
/// frames already, be they sound or not, or lines to put into sound ones.
pub fn check_framed_stream(kind: ProviderKind, data: &[u8]) {
    let Some((control, data)) = data.split_last() else { return };
    if control & 0x80 == 0 {
        check_cuts(kind, &framed(data), control & 0x7F);
    } else {
        check_cuts(kind, data, control & 0x7F);
    }
}

fn check_cuts(kind: ProviderKind, data: &[u8], control: u8) {
    let include_usage = control & 1 == 1;
    let size = usize::from(control >> 1) + 1;
    let whole = run(kind, include_usage, data, data.len().max(1));
    let pieces = run(kind, include_usage, data, size);
    assert_eq!(whole, pieces, "the cuts show");
    if let (Ok(()), out, _) = &whole {
        // Any of the three line ends that server-sent events know.
        assert!(out.is_empty() || out.ends_with(b"\n") || out.ends_with(b"\r"), "the last event is not whole");
    }
}

type Outcome = (Result<(), (u16, String)>, Vec<u8>, Tally);

fn run(kind: ProviderKind, include_usage: bool, data: &[u8], size: usize) -> Outcome {
    let settings = Settings {
        max_event_bytes: MAX_EVENT_BYTES,
        ..Settings::of(kind, "model")
    };
    let request = UpstreamRequest {
        is_streaming: true,
        include_usage,
        ..UpstreamRequest::default()
    };
    let mut stream: Box<dyn ResponseStream> = response_stream(&settings, &request);
    let mut out = Vec::new();
    let mut result = Ok(());
    for piece in data.chunks(size) {
        result = stream.on_bytes(piece, &mut out).map(drop);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| stream.on_end(&mut out));
    let told = result.map_err(|fault| (fault.error.status, fault.error.message.into_owned()));
    (told, out, stream.tally())
}
