// SPDX-License-Identifier: Apache-2.0

//! Why a caller was not recognised.
//!
//! Each variant is one fault, so that operators can count them. The message goes to the client: it names the
//! fault, for the client can only mend what it knows of, but no key, issuer or claim of ours and nothing of
//! the credential.

/// Why a caller was not recognised. Never holds the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    /// No credential was presented.
    Missing,
    /// A header that should carry a credential does not, or a JSON Web Token is not well-formed.
    Malformed,
    /// More than one credential was presented.
    Ambiguous,
    /// The credential is longer than any that is accepted.
    TooLong,
    /// The credential is no known API key, and no JSON Web Token either.
    UnknownKey,
    /// No configured issuer has the name in `iss`.
    UnknownIssuer,
    /// The issuer has no key that the token could have been signed with.
    UnknownKeyId,
    /// `alg` is none that is supported, or does not belong to the key.
    AlgorithmNotAllowed,
    /// The token demands an extension (`crit`), and none is supported.
    UnsupportedExtension,
    /// The signature is not the issuer's.
    BadSignature,
    /// The token is no longer valid.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token is meant for somebody else.
    WrongAudience,
    /// The token was issued to a client that is not accepted.
    WrongParty,
    /// The token is of a kind (`typ`) that is not accepted.
    WrongType,
    /// The token's `jti` is denied.
    Revoked,
    /// The API key has the form of ours and another checksum.
    MistypedKey,
    /// The API key has expired.
    ExpiredKey,
    /// Too many bad tokens came from where this token comes from.
    TooManyFailures,
    /// Too many tokens were verified, and there is no time for another.
    TooManyVerifications,
    /// The token brings its own key, or the address of one.
    EmbeddedKey,
    /// The issuer's keys are being fetched: ask again. Holds the issuer's place in the configuration.
    KeysAwaited(usize),
    /// The issuer's keys cannot be had. Holds the issuer's place in the configuration.
    KeysUnavailable(usize),
    /// A claim that must be there is not, or has no usable value.
    MissingClaim,
}

impl Deny {
    /// The word for it in the access log.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Ambiguous => "ambiguous",
            Self::TooLong => "too_long",
            Self::UnknownKey => "unknown_key",
            Self::MistypedKey => "mistyped_key",
            Self::ExpiredKey => "expired_key",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKeyId => "unknown_key_id",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::UnsupportedExtension => "unsupported_extension",
            Self::EmbeddedKey => "embedded_key",
            Self::BadSignature => "bad_signature",
            Self::TooManyFailures => "too_many_failures",
            Self::TooManyVerifications => "too_many_verifications",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "wrong_audience",
            Self::WrongParty => "wrong_party",
            Self::WrongType => "wrong_type",
            Self::Revoked => "revoked",
            Self::MissingClaim => "missing_claim",
            Self::KeysAwaited(_) | Self::KeysUnavailable(_) => "keys_unavailable",
        }
    }

    /// What to tell the client.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "No credential was provided. Send an API key or a JSON Web Token as `Authorization: Bearer`."
            }
            Self::Malformed => "The credential is malformed.",
            Self::Ambiguous => "More than one credential was provided.",
            Self::TooLong => "The credential is too long.",
            Self::UnknownKey => "The API key is not known.",
            Self::UnknownIssuer => "The issuer of the JSON Web Token is not known.",
            Self::UnknownKeyId => "The key that the JSON Web Token is signed with is not known.",
            Self::AlgorithmNotAllowed => "The signature algorithm of the JSON Web Token is not allowed.",
            Self::UnsupportedExtension => "The JSON Web Token demands an extension that is not supported.",
            Self::BadSignature => "The signature of the JSON Web Token is not valid.",
            Self::Expired => "The JSON Web Token has expired.",
            Self::NotYetValid => "The JSON Web Token is not valid yet.",
            Self::WrongAudience => "The JSON Web Token is meant for another audience.",
            Self::WrongParty => "The JSON Web Token was issued to a client that is not accepted.",
            Self::WrongType => "The JSON Web Token is of a type that is not accepted.",
            Self::Revoked => "The JSON Web Token has been revoked.",
            Self::KeysAwaited(_) | Self::KeysUnavailable(_) => {
                "The signing keys of the JSON Web Token's issuer cannot be had at the moment."
            }
            Self::MistypedKey => "The API key has a typing error: its checksum does not match.",
            Self::ExpiredKey => "The API key has expired.",
            Self::TooManyFailures => "Too many bad JSON Web Tokens came from your address.",
            Self::TooManyVerifications => {
                "Too many new JSON Web Tokens are coming in; use one for more than one request."
            }
            Self::EmbeddedKey => "The JSON Web Token brings a key of its own, which is not allowed.",
            Self::MissingClaim => "The JSON Web Token lacks a required claim.",
        }
    }
}

impl core::fmt::Display for Deny {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for Deny {}
