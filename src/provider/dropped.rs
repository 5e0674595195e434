// SPDX-License-Identifier: Apache-2.0

//! The names of request fields that were left out, fit for the answer's `x-tollgate-dropped` header.
//!
//! Names come from the client's own JSON and may hold anything, a line break among it, which would begin another
//! header. A name that is no plain identifier is therefore told as `(other)`, and the list is bounded, so that
//! neither the header nor the search for a name that is already there grows with the request.

use std::borrow::Cow;

const MAX_NAMED: usize = 48;
const MAX_NAME_BYTES: usize = 64;

/// What was left out: each path once, in order.
#[derive(Debug, Default)]
pub(super) struct Dropped(Vec<Cow<'static, str>>);

impl Dropped {
    /// Adds a path whose members have passed [`plain_name`].
    pub(super) fn add(&mut self, path: Cow<'static, str>) {
        if self.0.contains(&path) {
            return;
        }
        if self.0.len() < MAX_NAMED {
            self.0.push(path);
        } else if self.0.len() == MAX_NAMED {
            self.0.push("(more)".into());
        }
    }

    /// The paths.
    pub(super) fn into_paths(self) -> Vec<Cow<'static, str>> {
        self.0
    }
}

/// Whether a member of an assistant's message tells of an answer in ways that only answers have.
///
/// The gateway's own answers hold these, and clients put an answer back into the conversation as it came. To leave
/// them out is reported, but never a reason to refuse: the client asked for nothing by them.
pub(super) fn is_told_by_answers(member: &str) -> bool {
    matches!(
        member,
        "annotations"
            | "audio"
            | "citations"
            | "extra_content"
            | "images"
            | "reasoning"
            | "reasoning_content"
            | "reasoning_details"
            | "thinking_blocks"
    )
}

/// A member's name as it may be repeated to the client.
pub(super) fn plain_name(name: &str) -> &str {
    let is_plain = name.len() <= MAX_NAME_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
    if is_plain { name } else { "(other)" }
}

#[cfg(test)]
mod tests {
    use super::{Dropped, plain_name};

    #[crate::test]
    fn a_path_is_named_once_and_the_list_is_bounded() {
        let mut dropped = Dropped::default();
        for number in (0..1000).chain(0..1000) {
            dropped.add(number.to_string().into());
        }
        let paths = dropped.into_paths();
        assert_eq!((paths.len(), &*paths[47], &*paths[48]), (49, "47", "(more)"));
    }

    #[crate::test]
    fn an_odd_name_is_not_repeated() {
        assert_eq!(plain_name("top_k"), "top_k");
        for odd in ["a\r\nset-cookie: b", "\u{e9}", "\0", "a b", &"k".repeat(65)] {
            assert_eq!(plain_name(odd), "(other)", "{odd:?}");
        }
    }
}
