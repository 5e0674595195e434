// SPDX-License-Identifier: Apache-2.0

//! JSON Web Key Sets ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).
//!
//! Issuers publish keys for many purposes in one set, so a key that is not for verifying signatures, or is of a
//! type that is not known here, is passed over, as section 5 asks. A key that claims to be usable and is not
//! (broken, too weak, or private) is a fault of the configuration: passing it over would show much later, as
//! refused callers. In a set that an issuer publishes it is passed over: its other keys are still good.

use super::algorithm::{Algorithm, PublicKey};
use super::digest::Digest;
use super::prepared_key::PreparedKey;
use super::strict_json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::BoxedUint;
use serde_json::{Map, Value};
use std::rc::Rc;

/// The most keys that a set may have.
pub(super) const MAX_KEYS: usize = 100;
/// The shortest RSA modulus that is accepted (RFC 7518, section 3.3), in bits.
const MIN_RSA_BITS: usize = 2048;
/// The longest RSA modulus that is accepted, in bits: verifying costs the square of it.
const MAX_RSA_BITS: usize = 8192;
/// The most keys that one token is tried with.
const MAX_TRIED_KEYS: usize = 8;

/// One key of a set.
#[derive(Clone)]
struct Jwk {
    /// The digest of the key as it is written.
    written: Digest,
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    /// Shared with what was verified by it, so that it is forgotten with the key.
    key: Rc<PublicKey>,
}

impl Jwk {
    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.key.fits(algorithm)
    }
}

/// Why no key was found for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// No key has this `kid`; or there is no `kid` and too many keys would have to be tried.
    UnknownId,
    /// Keys were found, and none is for this algorithm.
    OtherAlgorithm,
}

/// The usable keys of one issuer.
pub(super) struct KeySet(Vec<Jwk>);

impl KeySet {
    /// Reads a key set of the configuration; the error says what was expected and what was found.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        Self::read(json, &[], Err)
    }

    /// Reads a key set that an issuer has published. Keys that cannot be used are passed over; those that stand in one
    /// that is `known` are taken from there.
    pub(super) fn parse_published(json: &str, known: &[&Self]) -> Result<Self, String> {
        Self::read(json, known, |_| Ok(None))
    }

    /// How many usable keys there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    fn read(
        json: &str,
        known: &[&Self],
        on_fault: impl Fn(String) -> Result<Option<Jwk>, String>,
    ) -> Result<Self, String> {
        let set = strict_json::object(json.as_bytes()).ok_or(
            "expected a JSON Web Key Set such as {\"keys\": []}, found no JSON object, or one with a name twice",
        )?;
        let Some(Value::Array(written)) = set.get("keys") else {
            return Err("expected a JSON Web Key Set, found no array `keys`".to_owned());
        };
        if written.len() > MAX_KEYS {
            return Err(format!(
                "expected at most {MAX_KEYS} keys, found {}",
                written.len()
            ));
        }
        let mut keys: Vec<Jwk> = Vec::new();
        for (index, jwk) in written.iter().enumerate() {
            let as_written = Digest::of(&jwk.to_string());
            let mut known = known.iter().flat_map(|set| &set.0).chain(&keys);
            if let Some(same) = known.find(|key| key.written == as_written) {
                keys.push(same.clone());
                continue;
            }
            let key = match jwk.as_object() {
                Some(jwk) => read_key(jwk, as_written).map_err(|fault| format!("{fault} at keys[{index}]")),
                None => Err(format!(
                    "expected a JSON Web Key, found no object at keys[{index}]"
                )),
            };
            keys.extend(key.or_else(&on_fault)?);
        }
        if keys.is_empty() {
            return Err(format!(
                "expected a public key for verifying signatures (RSA, EC P-256, P-384, P-521 or OKP Ed25519), \
                 found none among {} keys",
                written.len()
            ));
        }
        Ok(Self(keys))
    }

    /// The keys that a token with these header parameters may have been signed with; at least one.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<impl Iterator<Item = &Rc<PublicKey>>, NoKey> {
        let named = move |jwk: &&Jwk| kid.is_none_or(|kid| jwk.kid.as_deref() == Some(kid));
        if !self.0.iter().any(|jwk| named(&jwk)) {
            return Err(NoKey::UnknownId);
        }
        let fitting = self.0.iter().filter(move |jwk| named(jwk) && jwk.fits(algorithm));
        match fitting.clone().count() {
            0 => Err(NoKey::OtherAlgorithm),
            1..=MAX_TRIED_KEYS => Ok(fitting.map(|jwk| &jwk.key)),
            _ => Err(NoKey::UnknownId),
        }
    }
}

/// Reads one key; `None` if it is not for us.
fn read_key(jwk: &Map<String, Value>, written: Digest) -> Result<Option<Jwk>, String> {
    if !is_for_signatures(jwk) {
        return Ok(None);
    }
    let algorithm = match jwk
        .get("alg")
        .map(|alg| alg.as_str().and_then(Algorithm::from_name))
    {
        Some(None) => return Ok(None),
        known => known.flatten(),
    };
    let crv = jwk.get("crv").and_then(Value::as_str);
    let key = match (jwk.get("kty").and_then(Value::as_str), crv) {
        (Some("RSA"), _) => read_rsa(jwk)?,
        (Some("EC"), Some("P-256")) => p256::ecdsa::VerifyingKey::from_sec1_bytes(&point(jwk, 32)?)
            .map(|key| PublicKey::P256(PreparedKey::new(key.as_affine())))
            .map_err(|_| off_curve())?,
        (Some("EC"), Some("P-384")) => p384::ecdsa::VerifyingKey::from_sec1_bytes(&point(jwk, 48)?)
            .map(|key| PublicKey::P384(PreparedKey::new(key.as_affine())))
            .map_err(|_| off_curve())?,
        (Some("EC"), Some("P-521")) => p521::ecdsa::VerifyingKey::from_sec1_bytes(&point(jwk, 66)?)
            .map(|key| PublicKey::P521(PreparedKey::new(key.as_affine())))
            .map_err(|_| off_curve())?,
        (Some("OKP"), Some("Ed25519")) => read_ed25519(jwk)?,
        _ => return Ok(None),
    };
    if jwk.contains_key("d") {
        return Err("expected a public key, found a private one (member `d`)".to_owned());
    }
    if let Some(own) = algorithm
        && !key.fits(own)
    {
        return Err("expected an `alg` that belongs to the key's type, found another".to_owned());
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err("expected `kid` to be a text, found another value".to_owned()),
    };
    Ok(Some(Jwk {
        written,
        kid,
        algorithm,
        key: Rc::new(key),
    }))
}

/// Whether `use` and `key_ops`, where given, allow to verify signatures.
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    jwk.get("use").is_none_or(|purpose| purpose == "sig")
        && jwk.get("key_ops").is_none_or(|operations| {
            operations
                .as_array()
                .is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
        })
}

fn read_rsa(jwk: &Map<String, Value>) -> Result<PublicKey, String> {
    // Numbers are as wide as their bytes, and arithmetic with them takes as long as they are wide.
    let number = |name| {
        bytes(jwk, name).map(|bytes| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            BoxedUint::from_be_slice_vartime(bytes.get(zeros..).unwrap_or_default())
        })
    };
    let (modulus, exponent) = (number("n")?, number("e")?);
    let bits = usize::try_from(modulus.bit_width_vartime()).unwrap_or(usize::MAX);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(format!(
            "expected an RSA key of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, found one of {bits} bits"
        ));
    }
    rsa::PublicKey::new_with_size_limits(modulus, exponent, MIN_RSA_BITS..=MAX_RSA_BITS)
        .map(PublicKey::Rsa)
        .map_err(|_| "expected an RSA key, found numbers that cannot be one".to_owned())
}

fn read_ed25519(jwk: &Map<String, Value>) -> Result<PublicKey, String> {
    let point = <[u8; 32]>::try_from(bytes(jwk, "x")?)
        .map_err(|x| format!("expected `x` to have 32 bytes, found {}", x.len()))?;
    ed25519_dalek::VerifyingKey::from_bytes(&point)
        .ok()
        .filter(|key| !key.is_weak())
        .map(PublicKey::Ed25519)
        .ok_or_else(off_curve)
}

/// The uncompressed SEC 1 form of an elliptic-curve point.
fn point(jwk: &Map<String, Value>, width: usize) -> Result<Vec<u8>, String> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = bytes(jwk, name)?;
        if coordinate.len() != width {
            return Err(format!(
                "expected `{name}` to have {width} bytes, found {}",
                coordinate.len()
            ));
        }
        point.extend(coordinate);
    }
    Ok(point)
}

fn off_curve() -> String {
    "expected a point on the key's curve, found another".to_owned()
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let found = match jwk.get(name) {
        Some(Value::String(text)) => match URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => "another text",
        },
        Some(_) => "another value",
        None => "nothing",
    };
    Err(format!(
        "expected `{name}` to be base64url without padding, found {found}"
    ))
}

#[cfg(test)]
mod tests {
    use super::{KeySet, NoKey};
    use crate::policy::auth::algorithm::Algorithm;
    use serde_json::{Value, json};
    use std::rc::Rc;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("vectors.json")).unwrap()
    }

    /// The key of `vectors.json` at `index` with `changes`, alone in a set.
    fn changed(index: usize, changes: Value) -> Result<KeySet, String> {
        let mut key = vectors()["jwks"]["keys"][index].clone();
        key.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        KeySet::parse(&json!({"keys": [key]}).to_string())
    }

    #[crate::test]
    fn keys_for_other_purposes_are_passed_over() {
        for changes in [
            json!({"use": "enc"}),
            json!({"key_ops": ["encrypt"]}),
            json!({"alg": "RSA-OAEP"}),
            json!({"kty": "oct", "k": "AA"}),
            json!({"kty": "AKP"}),
        ] {
            let fault = changed(0, changes.clone()).err().unwrap_or_default();
            assert!(fault.contains("found none among 1 keys"), "{changes}: {fault}");
        }
        assert!(changed(1, json!({"crv": "secp256k1"})).is_err_and(|fault| fault.contains("found none")));
        assert!(changed(0, json!({"use": "sig", "key_ops": ["verify"], "alg": "PS256"})).is_ok());
    }

    #[crate::test]
    fn unusable_keys_are_faults() {
        let weak = KeySet::parse(&vectors()["rsa_1024"].to_string()).err().unwrap();
        assert_eq!(
            weak,
            "expected an RSA key of 2048 to 8192 bits, found one of 1024 bits at keys[0]"
        );
        for (index, changes, part) in [
            (0, json!({"e": "AQ"}), "cannot be one"),
            (0, json!({"e": "Ag"}), "cannot be one"),
            (0, json!({"n": "+/"}), "`n` to be base64url"),
            (0, json!({"d": "AQ"}), "a private one"),
            (0, json!({"alg": "ES256"}), "belongs to the key's type"),
            (0, json!({"kid": 1}), "`kid` to be a text"),
            (1, json!({"x": "AQ"}), "`x` to have 32 bytes, found 1"),
            (
                1,
                json!({"x": "A".repeat(43), "y": "A".repeat(43)}),
                "on the key's curve",
            ),
            (1, json!({"y": null}), "found another value"),
            (4, json!({"x": "A".repeat(43)}), "on the key's curve"),
        ] {
            let fault = changed(index, changes.clone()).err().unwrap_or_default();
            assert!(
                fault.starts_with("expected") && fault.contains(part),
                "{changes}: {fault}"
            );
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"keys": {}}"#,
            r#"{"keys": []}"#,
            r#"{"keys": [1]}"#,
        ] {
            assert!(
                KeySet::parse(text).is_err_and(|fault| fault.starts_with("expected")),
                "{text}"
            );
        }
    }

    #[crate::test]
    fn the_algorithm_of_a_key_pins_it() {
        let keys = changed(0, json!({"alg": "PS256"})).unwrap_or_else(|fault| panic!("{fault}"));
        assert!(keys.candidates(Some("rsa"), Algorithm::Ps256).is_ok());
        for algorithm in [Algorithm::Rs256, Algorithm::Ps384, Algorithm::Es256] {
            assert_eq!(
                keys.candidates(Some("rsa"), algorithm).err(),
                Some(NoKey::OtherAlgorithm)
            );
        }
        assert_eq!(
            keys.candidates(Some("RSA"), Algorithm::Ps256).err(),
            Some(NoKey::UnknownId)
        );
    }

    #[crate::test]
    fn a_known_key_is_known_by_all_that_is_written_of_it() {
        let written = vectors()["jwks"]["keys"][1].clone();
        let known = KeySet::parse(&json!({"keys": [written]}).to_string())
            .ok()
            .unwrap();
        let key_of = |set: &KeySet, kid: &str| {
            let found = set.candidates(Some(kid), Algorithm::Es256).ok();
            found.and_then(|mut keys| keys.next().map(Rc::clone))
        };
        let same = key_of(&known, "P-256").unwrap();
        for (changes, is_same, kid) in [
            (json!({}), true, "P-256"),
            (json!({"kid": "other"}), false, "other"),
            (json!({"alg": "ES256"}), false, "P-256"),
        ] {
            let mut jwk = written.clone();
            jwk.as_object_mut()
                .unwrap()
                .extend(changes.as_object().unwrap().clone());
            // Twice in one set it is read once.
            let text = json!({"keys": [jwk, jwk]}).to_string();
            let set = KeySet::parse_published(&text, &[&known]).ok().unwrap();
            assert_eq!(Rc::ptr_eq(&key_of(&set, kid).unwrap(), &same), is_same, "{jwk}");
            assert!(Rc::ptr_eq(&set.0[0].key, &set.0[1].key), "{jwk}");
            assert_eq!(key_of(&set, "P-256").is_some(), kid == "P-256", "{jwk}");
        }
    }

    #[crate::test]
    fn without_a_kid_a_bounded_number_of_keys_is_tried() {
        let key = &vectors()["jwks"]["keys"][4];
        for (count, expected) in [(1, Ok(1)), (8, Ok(8)), (9, Err(NoKey::UnknownId))] {
            let set = json!({"keys": vec![key; count]}).to_string();
            let keys = KeySet::parse(&set).unwrap_or_else(|fault| panic!("{fault}"));
            let found = keys.candidates(None, Algorithm::Ed25519).map(Iterator::count);
            assert_eq!(found, expected);
        }
    }
}
