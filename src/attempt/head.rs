// SPDX-License-Identifier: Apache-2.0

//! The head of an answer on its way to the client.

use crate::local_reply::LocalReply;
use core::time::Duration;

/// The head of the answer that leaves the provider seat, as a whole: what is not listed is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead(pub Vec<(&'static str, Vec<u8>)>);

impl From<&LocalReply> for ResponseHead {
    fn from(reply: &LocalReply) -> Self {
        let mut head = Self(
            reply
                .headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes().to_vec()))
                .collect(),
        );
        head.set(":status", &reply.status.to_string());
        head.set("content-length", &reply.body.len().to_string());
        head
    }
}

impl ResponseHead {
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.0.retain(|(known, _)| *known != name);
        let at = if name.starts_with(':') { 0 } else { self.0.len() };
        self.0.insert(at, (name, value.as_bytes().to_vec()));
    }

    /// Takes back what was said of a body.
    pub fn without_body(&mut self) {
        self.set("content-length", "0");
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == "retry-after")?;
        core::str::from_utf8(value)
            .ok()?
            .trim()
            .parse()
            .ok()
            .map(Duration::from_secs)
    }
}
