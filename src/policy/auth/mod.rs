// SPDX-License-Identifier: Apache-2.0

//! Who is calling.

use crate::clock::Timestamp;
use crate::config::{ConfigError, Identity};
use crate::headers::Headers;
use std::collections::BTreeMap;
use std::rc::Rc;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who calls: a person, a service, a key's owner.
    pub consumer: String,
    /// The consumer's team.
    pub team: Option<String>,
    /// Further facts that access rules and limits may use.
    pub labels: BTreeMap<String, String>,
}

/// Why a caller was not recognised. Never holds the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    /// No credential was presented.
    Missing,
}

impl Deny {
    /// message
    pub fn message(self) -> &'static str {
        "x"
    }
}

/// Recognises callers by their credentials.
pub struct Authenticator;

impl Authenticator {
    /// Reads the keys and key sets.
    ///
    /// # Errors
    ///
    /// Every fault of the `identity` section.
    pub fn new(identity: &Identity) -> Result<Self, Vec<ConfigError>> {
        let _ = identity;
        Ok(Self)
    }

    /// Recognises the caller by the request's headers.
    ///
    /// # Errors
    ///
    /// Why the caller was not recognised.
    pub fn authenticate(&mut self, headers: &Headers, now: Timestamp) -> Result<Rc<Principal>, Deny> {
        let _ = (headers, now);
        Err(Deny::Missing)
    }
}
