// SPDX-License-Identifier: Apache-2.0

//! What a verified token says: when, for whom, and who.
//!
//! The claims are those of [RFC 7519, section 4.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1), with
//! one difference: `exp` is required, because a token that never ends can never be revoked here. `iat` is not
//! read; it says nothing about validity.
//!
//! A configured claim name is tried as it is first and as a path second, since names that are URLs
//! (`https://example.com/team`) contain dots too. Each member of the payload is visited at most once per name.

use super::algorithm::PublicKey;
use super::cache::Verified;
use super::deny::Deny;
use super::principal::{ISSUER_LABEL, Principal};
use crate::clock::Timestamp;
use crate::config::ClaimMapping;
use core::time::Duration;
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The payload of a JSON Web Token.
pub(super) type Claims = Map<String, Value>;

/// A point in time in nanoseconds since the epoch, which may lie before it.
///
/// Nanoseconds in 128 bits hold every 64-bit number of seconds exactly; floats saturate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NumericDate(i128);

const NANOS_PER_SEC: i128 = 1_000_000_000;

impl NumericDate {
    fn from_number(number: &Number) -> Option<Self> {
        if let Some(secs) = number.as_i64() {
            return Some(Self(i128::from(secs).saturating_mul(NANOS_PER_SEC)));
        }
        if let Some(secs) = number.as_u64() {
            return Some(Self(i128::from(secs).saturating_mul(NANOS_PER_SEC)));
        }
        let nanos = number.as_f64()? * 1e9;
        // A conversion from a float saturates.
        Some(Self(nanos as i128))
    }

    fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(by)))
    }

    fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(by)))
    }

    fn to_timestamp(self) -> Timestamp {
        Timestamp::from_nanos(u64::try_from(self.0.max(0)).unwrap_or(u64::MAX))
    }
}

fn nanos_of(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// Checks the time claims; returns the span in which they hold.
pub(super) fn validity(
    claims: &Claims,
    leeway: Duration,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), Deny> {
    let until = date(claims, "exp")?
        .ok_or(Deny::MissingClaim)?
        .plus(leeway)
        .to_timestamp();
    let from = date(claims, "nbf")?
        .map(|date| date.minus(leeway).to_timestamp())
        .unwrap_or_default();
    if now >= until {
        return Err(Deny::Expired);
    }
    if now < from {
        return Err(Deny::NotYetValid);
    }
    Ok((from, until))
}

fn date(claims: &Claims, name: &str) -> Result<Option<NumericDate>, Deny> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => NumericDate::from_number(number).map(Some).ok_or(Deny::Malformed),
        Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Deny::Malformed)
        }
    }
}

/// Checks that one of `audiences` is meant. No audiences: everybody is.
pub(super) fn check_audience(claims: &Claims, audiences: &[String]) -> Result<(), Deny> {
    let is_ours = |audience: &Value| {
        audience
            .as_str()
            .is_some_and(|name| audiences.iter().any(|a| a == name))
    };
    let is_meant = audiences.is_empty()
        || claims.get("aud").is_some_and(|aud| match aud {
            Value::Array(several) => several.iter().any(is_ours),
            one => is_ours(one),
        });
    if is_meant {
        Ok(())
    } else {
        Err(Deny::WrongAudience)
    }
}

/// Checks that the token was issued to one of `parties` (`azp`, OpenID Connect Core, section 2). None: to anybody.
pub(super) fn check_authorized_party(claims: &Claims, parties: &[String]) -> Result<(), Deny> {
    let is_accepted = |azp: &Value| {
        azp.as_str()
            .is_some_and(|azp| parties.iter().any(|party| party == azp))
    };
    if parties.is_empty() || claims.get("azp").is_some_and(is_accepted) {
        Ok(())
    } else {
        Err(Deny::WrongParty)
    }
}

/// Checks that the token's `jti` is not denied. A token without one cannot be named, and passes.
pub(super) fn check_id(claims: &Claims, denied: &BTreeSet<String>) -> Result<(), Deny> {
    match claims.get("jti") {
        None => Ok(()),
        Some(Value::String(id)) if denied.contains(id) => Err(Deny::Revoked),
        Some(Value::String(_)) => Ok(()),
        Some(_) if denied.is_empty() => Ok(()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Deny::Malformed)
        }
    }
}

/// Makes the principal, with the claims `kept` for access rules. Only the consumer must be there; other claims that are absent, empty or no plain values
/// leave their place empty.
pub(super) fn principal(
    issuer: &str,
    claims: &Claims,
    mapping: &ClaimMapping,
    kept: &[String],
) -> Result<Principal, Deny> {
    let defaults = &mapping.defaults;
    let found = |name: Option<&String>| name.and_then(|name| text(find(claims, name)?));
    let labels = mapping
        .labels
        .iter()
        .filter_map(|(label, name)| Some((label.clone(), found(Some(name))?)));
    Ok(Principal {
        consumer: consumer(claims, mapping).ok_or(Deny::MissingClaim)?,
        team: found(mapping.team.as_ref()).or_else(|| defaults.team.clone()),
        labels: defaults
            .labels
            .clone()
            .into_iter()
            .chain(labels)
            .chain([(ISSUER_LABEL.to_owned(), issuer.to_owned())])
            .collect(),
        models: None,
        claims: kept
            .iter()
            .filter_map(|name| Some((name.clone(), values(find(claims, name))?)))
            .collect(),
    })
}

/// The consumer that the claims name.
pub(super) fn consumer(claims: &Claims, mapping: &ClaimMapping) -> Option<String> {
    match find(claims, &mapping.consumer) {
        Some(value @ (Value::String(_) | Value::Number(_))) => text(value),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    }
}

/// The value of the claim `name`: the member of that very name, or what the path leads to.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        name.match_indices('.').find_map(|(dot, _)| {
            let (outer, rest) = name.split_at_checked(dot)?;
            find(claims.get(outer)?.as_object()?, rest.strip_prefix('.')?)
        })
    })
}

/// A plain value as text; `None` if it is empty, or no plain value.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A claim's values: those of a list's members, or its own. `None` if it holds something that cannot be compared with a
/// text: of such a claim nothing is known, and a rule that denies by it fits.
fn values(claim: Option<&Value>) -> Option<Vec<String>> {
    let plain = |value: &Value| match value {
        Value::Null => Some(None),
        Value::Array(_) | Value::Object(_) => None,
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(text(value)),
    };
    let values = match claim {
        Some(Value::Array(several)) => several.iter().map(plain).collect::<Option<Vec<_>>>()?,
        Some(one) => vec![plain(one)?],
        None => Vec::new(),
    };
    Some(values.into_iter().flatten().collect())
}

/// A principal with its validity, as the cache keeps it.
pub(super) fn verified(
    principal: Principal,
    (from, until): (Timestamp, Timestamp),
    key: &Rc<PublicKey>,
) -> Verified {
    Verified {
        principal: Rc::new(principal),
        from,
        until,
        key: Rc::downgrade(key),
    }
}
