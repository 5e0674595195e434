// SPDX-License-Identifier: Apache-2.0

//! `tollgate key new`: an API key, shown once, and its digest for `gateway.yaml`.

use crate::config::Moment;
use crate::policy::auth::{digest_of_api_key, new_api_key};
use serde_json::Value;

/// Whom a key is made for.
pub(super) struct Owner {
    pub(super) consumer: String,
    pub(super) team: Option<String>,
    pub(super) name: Option<String>,
    pub(super) expires: Option<String>,
}

/// A new key, and the entry of `identity.api_keys` for it.
///
/// # Errors
///
/// What is wrong with the owner; or that the operating system has no random numbers.
pub(super) fn new(owner: &Owner, now: Moment) -> Result<String, String> {
    if owner.consumer.is_empty() {
        return Err("--consumer: expected whom the key stands for, found an empty text".to_owned());
    }
    if let Some(text) = &owner.expires {
        let expires = serde_json::from_value::<Moment>(Value::from(text.as_str()))
            .map_err(|fault| format!("--expires: {fault}"))?;
        if expires <= now {
            return Err(format!("--expires: expected a time to come, found {expires}"));
        }
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|fault| format!("no random numbers: {fault}"))?;
    let key = new_api_key(random);
    let mut entry = format!("  - sha256: {}\n", digest_of_api_key(&key));
    let lines = [
        ("consumer", Some(&owner.consumer)),
        ("team", owner.team.as_ref()),
        ("name", owner.name.as_ref()),
        ("expires", owner.expires.as_ref()),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            // A JSON string is a double-quoted YAML scalar.
            entry.push_str(&format!("    {name}: {}\n", Value::from(value.as_str())));
        }
    }
    Ok(format!(
        "{key}\n\n# The key is shown this once: give it to its owner. For identity.api_keys in gateway.yaml:\n{entry}"
    ))
}
