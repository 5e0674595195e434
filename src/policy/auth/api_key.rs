// SPDX-License-Identifier: Apache-2.0

//! API keys, known by their SHA-256 digests alone.
//!
//! A plain, unsalted, fast digest is right here and would be wrong for passwords: an API key is a long random
//! text, so nobody can try them all, and every request has to be looked up. A reader of the configuration
//! learns who has a key, never a key.
//!
//! A lookup costs the same with one key or with all of them; `tests/api_keys.rs` measures the memory.

use super::deny::Deny;
use super::digest::{Digest, DigestMap};
use super::principal::Principal;
use crate::clock::Timestamp;
use crate::config::{ApiKey, ConfigError};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The label that holds a key's name.
const NAME_LABEL: &str = "api_key";

/// The principals, by the digests of their keys.
#[derive(Default)]
pub(super) struct ApiKeys {
    entries: DigestMap<Entry>,
    /// What some keys have in place of claims: apart, because most have none and there may be many.
    claims: Vec<(Digest, BTreeMap<String, Vec<String>>)>,
}

struct Entry {
    principal: Rc<Principal>,
    /// When the key stops being accepted, in seconds since the epoch.
    expires: u64,
}

impl ApiKeys {
    /// Reads the keys, and appends their faults to `faults`.
    pub(super) fn new(keys: &[ApiKey], faults: &mut Vec<ConfigError>) -> Self {
        let mut map = DigestMap::default();
        let mut claims = Vec::new();
        let mut first_at = DigestMap::default();
        map.reserve(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let path = format!("identity.api_keys[{index}]");
            if key.consumer.is_empty() {
                faults.push(ConfigError::new(
                    format!("{path}.consumer"),
                    "expected the consumer's name, found an empty text",
                ));
            }
            let Some(digest) = Digest::from_hex(&key.sha256) else {
                faults.push(ConfigError::new(
                    format!("{path}.sha256"),
                    format!(
                        "expected the 64 hexadecimal digits of a SHA-256 digest, found {}",
                        describe(&key.sha256)
                    ),
                ));
                continue;
            };
            if digest == Digest::of("") {
                faults.push(ConfigError::new(
                    format!("{path}.sha256"),
                    "expected the digest of a key, found the digest of an empty text",
                ));
            }
            if let Some(first) = first_at.insert(digest, index) {
                faults.push(ConfigError::new(
                    format!("{path}.sha256"),
                    format!("expected each key once, found the digest of identity.api_keys[{first}] again"),
                ));
            }
            claims.extend(key.claims.clone().map(|claims| (digest, claims)));
            let mut labels = key.labels.clone();
            if let Some(name) = &key.name {
                if name.is_empty() {
                    faults.push(ConfigError::new(
                        format!("{path}.name"),
                        "expected a name, found an empty text",
                    ));
                }
                if labels.insert(NAME_LABEL.to_owned(), name.clone()).is_some() {
                    faults.push(ConfigError::new(
                        format!("{path}.labels.{NAME_LABEL}"),
                        format!(
                            "expected other labels than `{NAME_LABEL}`, which is the key's name, found it"
                        ),
                    ));
                }
            }
            map.insert(
                digest,
                Entry {
                    principal: Rc::new(Principal {
                        consumer: key.consumer.clone(),
                        team: key.team.clone(),
                        labels,
                        models: key.models.clone(),
                        claims: BTreeMap::new(),
                    }),
                    expires: key.expires.map_or(u64::MAX, |moment| moment.0),
                },
            );
        }
        Self { entries: map, claims }
    }

    /// Gives the principals of keys that have them the claims that access rules ask about.
    pub(super) fn keep_claims(&mut self, kept: &[String]) {
        for (digest, claims) in &self.claims {
            let Some(entry) = self.entries.get_mut(digest) else {
                continue;
            };
            let values = |name: &String| claims.get(name).cloned().unwrap_or_default();
            let known = kept.iter().map(|name| (name.clone(), values(name)));
            Rc::make_mut(&mut entry.principal).claims = known.collect();
        }
    }

    /// The owner of this key, or that it has expired; `None` if it is not known.
    pub(super) fn find(&self, credential: &str, now: Timestamp) -> Option<Result<Rc<Principal>, Deny>> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.entries.get(&Digest::of(credential))?;
        Some(if now.as_secs() < entry.expires {
            Ok(Rc::clone(&entry.principal))
        } else {
            Err(Deny::ExpiredKey)
        })
    }
}

/// Describes what stands in a digest's place without repeating it: it may be the key itself.
fn describe(text: &str) -> String {
    if text.len() == 64 {
        "another character among them".to_owned()
    } else {
        format!("{} bytes of text", text.len())
    }
}
