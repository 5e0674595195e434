// SPDX-License-Identifier: Apache-2.0

//! The signature algorithms of [RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.1) and
//! [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037#section-3.1), and the public keys that verify them.
//!
//! A public key knows its type, and the type decides which algorithms it can verify: the token's `alg` may only
//! choose among those. `none` and `HS256` are no variants of [`Algorithm`], so a token that names them cannot
//! be expressed, let alone verified with a public key as its secret.
//!
//! Nothing here holds or uses a private key.

use super::host_signature::{Question, SignatureHost};
use super::prepared_key::PreparedKey;
use core::time::Duration;
use ecdsa::elliptic_curve::sec1::ToSec1Point as _;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use sha2::{Sha256, Sha384, Sha512};

/// What stands before a point in the DER form of a key on P-256 (RFC 5480): the lengths and the two object identifiers.
const P256_KEY: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The same on P-384.
const P384_KEY: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";

/// A signature algorithm, by its registered name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// EdDSA on Curve25519.
    Ed25519,
}

impl Algorithm {
    /// Reads a registered name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            // RFC 9864 replaces the first name, which names two curves, by the second.
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }
}

/// A public key.
pub(super) enum PublicKey {
    /// RSA, of 2048 bits or more.
    Rsa(rsa::PublicKey),
    /// A point on P-256.
    P256(PreparedKey<p256::NistP256>),
    /// A point on P-384.
    P384(PreparedKey<p384::NistP384>),
    /// A point on P-521.
    P521(PreparedKey<p521::NistP521>),
    /// A point on Curve25519.
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Whether signatures of `algorithm` can be made with this key.
    pub(super) const fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Rsa(_) => matches!(
                algorithm,
                A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512
            ),
            Self::P256(_) => matches!(algorithm, A::Es256),
            Self::P384(_) => matches!(algorithm, A::Es384),
            Self::P521(_) => matches!(algorithm, A::Es512),
            Self::Ed25519(_) => matches!(algorithm, A::Ed25519),
        }
    }

    /// Whether `signature` is one of `message` by this key, made with `algorithm`, and about how long that took: asks
    /// the host, and verifies here what it gives no verdict on.
    pub(super) fn judge(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        host: &dyn SignatureHost,
    ) -> (bool, Duration) {
        match self.verdict_of(host, algorithm, message, signature) {
            Some(is_good) => (is_good, self.cost_in_host()),
            None => (self.verifies(algorithm, message, signature), self.cost()),
        }
    }

    /// About how long a verification takes in the module, as `tests/e2e/test_verification_cost.py` measures it.
    fn cost(&self) -> Duration {
        let micros = match self {
            // Squaring takes the square of the length.
            Self::Rsa(key) => {
                let bytes = u64::try_from(key.size()).unwrap_or(u64::MAX);
                bytes.saturating_mul(bytes) / 160
            }
            Self::P256(_) => 400,
            Self::P384(_) => 1_300,
            Self::P521(_) => 800,
            Self::Ed25519(_) => 200,
        };
        Duration::from_micros(micros)
    }

    /// The same for a verification by the host.
    fn cost_in_host(&self) -> Duration {
        match self {
            Self::Rsa(_) | Self::P256(_) => Duration::from_micros(200),
            Self::P384(_) => Duration::from_micros(700),
            // The host is not asked about these.
            Self::P521(_) | Self::Ed25519(_) => self.cost(),
        }
    }

    /// What the host says, if it knows the algorithm. A signature that has not even the form of one is not asked about.
    fn verdict_of(
        &self,
        host: &dyn SignatureHost,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let ask = |hash, key: &[u8], signature: &[u8]| {
            let question = Question {
                hash,
                key,
                signature,
                message,
            };
            question.ask(host)
        };
        match (self, algorithm) {
            (Self::Rsa(key), _) => {
                let hash = pkcs1_hash(algorithm)?;
                ask(hash, key.to_public_key_der().ok()?.as_bytes(), signature)
            }
            (Self::P256(key), Algorithm::Es256) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).ok()?.to_der();
                let key = [P256_KEY, key.point().to_sec1_point(false).as_bytes()].concat();
                ask("sha256", &key, signature.as_bytes())
            }
            (Self::P384(key), Algorithm::Es384) => {
                let signature = p384::ecdsa::Signature::from_slice(signature).ok()?.to_der();
                let key = [P384_KEY, key.point().to_sec1_point(false).as_bytes()].concat();
                ask("sha384", &key, signature.as_bytes())
            }
            _ => None,
        }
    }

    /// Whether `signature` is one of `message` by this key, made with `algorithm`.
    ///
    /// ECDSA signatures are `r` and `s`, each of the curve's full width (RFC 7518, section 3.4), never DER. PSS
    /// salts have the length of the hash (section 3.5).
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Rsa(key), algorithm) => verifies_rsa(key, algorithm, message, signature),
            (Self::P256(key), Algorithm::Es256) => key.verifies(message, signature),
            (Self::P384(key), Algorithm::Es384) => key.verifies(message, signature),
            (Self::P521(key), Algorithm::Es512) => key.verifies(message, signature),
            // Strict: a key or a nonce of small order would verify many messages.
            (Self::Ed25519(key), Algorithm::Ed25519) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            _ => false,
        }
    }
}

fn verifies_rsa(key: &rsa::PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    match algorithm {
        Algorithm::Rs256 => key.pkcs1v15_verify::<Sha256>(message, signature),
        Algorithm::Rs384 => key.pkcs1v15_verify::<Sha384>(message, signature),
        Algorithm::Rs512 => key.pkcs1v15_verify::<Sha512>(message, signature),
        Algorithm::Ps256 => key.pss_verify::<Sha256>(message, signature),
        Algorithm::Ps384 => key.pss_verify::<Sha384>(message, signature),
        Algorithm::Ps512 => key.pss_verify::<Sha512>(message, signature),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::Ed25519 => return false,
    }
    .is_ok()
}

/// The hash of an algorithm with PKCS #1 v1.5 padding, by the host's name.
const fn pkcs1_hash(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Rs256 => Some("sha256"),
        Algorithm::Rs384 => Some("sha384"),
        Algorithm::Rs512 => Some("sha512"),
        Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::Ed25519 => None,
    }
}
