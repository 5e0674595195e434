// SPDX-License-Identifier: Apache-2.0

//! Sound that a model makes, as OpenAI's `audio`.

use crate::protocol::openai::completion::Audio;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// What a model spoke in pieces, each in base64; `None` if there are none. What is no base64 is no sound.
pub(super) fn audio<'a>(
    pieces: &[&'a str],
    mime_type: Cow<'a, str>,
    id: &'a str,
    created: u64,
) -> Option<Audio<'a>> {
    let data = match pieces {
        [] => return None,
        [only] => Cow::Borrowed(*only),
        pieces => {
            let bytes: Vec<Vec<u8>> = pieces
                .iter()
                .filter_map(|piece| STANDARD.decode(piece).ok())
                .collect();
            Cow::Owned(STANDARD.encode(bytes.concat()))
        }
    };
    Some(Audio {
        id,
        data,
        expires_at: created,
        transcript: "",
        mime_type,
    })
}
