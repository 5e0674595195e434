// SPDX-License-Identifier: Apache-2.0

//! Known attacks on JSON Web Tokens, one test each, named after what the attacker does.
//!
//! They are those of [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725) and of the advisories that are named beside
//! them. Every test also sends the honest token through the same authenticator, so that none passes because
//! everything is refused.

use super::{
    ISSUER, NOW, authenticator, bearer, encode, own_authenticator, own_jwks, own_jwt, own_key, provider,
    sign, vector_authenticator, vectors,
};
use crate::clock::Timestamp;
use crate::policy::auth::{Authenticator, Deny, MAX_CREDENTIAL_BYTES};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

fn ask(authenticator: &mut Authenticator, credential: &str) -> Result<String, Deny> {
    bearer(authenticator, credential, Timestamp::from_secs(NOW))
}

fn payload() -> String {
    json!({"iss": ISSUER, "sub": "mallory", "aud": "tollgate", "exp": NOW + 100}).to_string()
}

/// A token with this header, rightly signed, at an authenticator that takes the honest one.
fn with_header(header: &str) -> Result<String, Deny> {
    let mut own = own_authenticator(json!({}));
    assert_eq!(ask(&mut own, &own_jwt(json!({}))), Ok("alice".to_owned()));
    ask(&mut own, &sign(header, &payload()))
}

fn with_claims(settings: Value, claims: Value) -> Result<String, Deny> {
    ask(&mut own_authenticator(settings), &own_jwt(claims))
}

/// A token of `vectors.json` that somebody forged.
fn forged(name: &str) -> Result<String, Deny> {
    let vectors = vectors();
    let mut trusting = vector_authenticator();
    assert!(ask(&mut trusting, vectors["good"]["ES256"].as_str().unwrap()).is_ok());
    ask(&mut trusting, vectors["bad"][name].as_str().unwrap())
}

/// The honest token of `algorithm` with another signature.
fn resigned(algorithm: &str, signature: &[u8]) -> Result<String, Deny> {
    let vectors = vectors();
    let credential = vectors["good"][algorithm].as_str().unwrap();
    let mut trusting = vector_authenticator();
    assert!(ask(&mut trusting, credential).is_ok());
    let (signed, _) = credential.rsplit_once('.').unwrap();
    ask(&mut trusting, &format!("{signed}.{}", encode(signature)))
}

/// `alg: none`, in every spelling (CVE-2015-2951, CVE-2022-23540).
#[crate::test]
fn the_signature_is_left_out_with_alg_none() {
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": none, "kid": "own"}).to_string();
        assert_eq!(with_header(&header), Err(Deny::AlgorithmNotAllowed), "{none}");
        let unsigned = format!("{}.{}.", encode(&header), encode(payload()));
        assert_eq!(
            ask(&mut own_authenticator(json!({})), &unsigned),
            Err(Deny::AlgorithmNotAllowed)
        );
    }
}

/// A true header and an empty signature (CVE-2020-28042).
#[crate::test]
fn the_signature_is_empty() {
    for algorithm in ["RS256", "PS256", "ES256", "ES512", "EdDSA"] {
        assert_eq!(resigned(algorithm, b""), Err(Deny::BadSignature), "{algorithm}");
    }
}

/// HMAC with the public key as its secret (CVE-2015-9235, CVE-2016-10555).
#[crate::test]
fn the_public_key_is_used_as_an_hmac_secret() {
    assert_eq!(
        forged("hs256_with_the_public_key_as_secret"),
        Err(Deny::AlgorithmNotAllowed)
    );
}

/// An `oct` key in a published set must not become a secret that everybody knows.
#[crate::test]
fn a_symmetric_key_in_the_key_set_is_used() {
    let mut jwks = own_jwks();
    jwks["keys"]
        .as_array_mut()
        .unwrap()
        .push(json!({"kty": "oct", "kid": "shared", "alg": "HS256", "k": "c2VjcmV0"}));
    let mut trusting = authenticator(json!({"jwt": [provider(ISSUER, &jwks)]}));
    let outcome = ask(
        &mut trusting,
        &sign(r#"{"alg":"HS256","kid":"shared"}"#, &payload()),
    );
    assert_eq!(outcome, Err(Deny::AlgorithmNotAllowed));
    let outcome = ask(
        &mut trusting,
        &sign(r#"{"alg":"EdDSA","kid":"shared"}"#, &payload()),
    );
    assert_eq!(outcome, Err(Deny::UnknownKeyId));
}

/// Another algorithm of the same key than the one that the key set pins.
#[crate::test]
fn the_algorithm_is_exchanged_for_another_of_the_key() {
    assert_eq!(forged("rs256_against_an_ec_key"), Err(Deny::AlgorithmNotAllowed));
    let mut jwks = vectors()["jwks"].clone();
    jwks["keys"][0]["alg"] = json!("PS256");
    let mut pinned = authenticator(json!({"jwt": [provider(ISSUER, &jwks)]}));
    let vectors = vectors();
    assert!(ask(&mut pinned, vectors["good"]["PS256"].as_str().unwrap()).is_ok());
    assert_eq!(
        ask(&mut pinned, vectors["good"]["RS256"].as_str().unwrap()),
        Err(Deny::AlgorithmNotAllowed)
    );
}

/// The attacker's key in the header (CVE-2018-0114).
#[crate::test]
fn a_key_is_brought_along_as_jwk() {
    assert_eq!(
        forged("es256_signed_with_the_key_in_its_own_header"),
        Err(Deny::EmbeddedKey)
    );
    // Refused even where it is the issuer's own.
    let header = json!({"alg": "EdDSA", "kid": "own", "jwk": own_jwks()["keys"][0]}).to_string();
    assert_eq!(with_header(&header), Err(Deny::EmbeddedKey));
}

/// The address of the attacker's keys, or a certificate chain (RFC 8725, section 3.10).
#[crate::test]
fn the_address_of_a_key_is_brought_along() {
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks.json")),
        ("jku", json!("http://169.254.169.254/latest/meta-data")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("jku", Value::Null),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "own"});
        header[name] = value;
        assert_eq!(
            with_header(&header.to_string()),
            Err(Deny::EmbeddedKey),
            "{header}"
        );
    }
}

/// An extension that has to be understood and is not (CVE-2025-59420).
#[crate::test]
fn a_critical_extension_is_demanded() {
    for crit in [json!(["exp"]), json!([]), json!(["b64"]), json!("x"), Value::Null] {
        let header = json!({"alg": "EdDSA", "kid": "own", "crit": crit}).to_string();
        assert_eq!(with_header(&header), Err(Deny::UnsupportedExtension), "{header}");
    }
    // RFC 7797: an unencoded payload, also where `crit` does not announce it.
    let header = json!({"alg": "EdDSA", "kid": "own", "b64": false}).to_string();
    assert_eq!(with_header(&header), Err(Deny::UnsupportedExtension));
}

/// Signatures of zeros, which verify where `r` and `s` are not checked (CVE-2022-21449).
#[crate::test]
fn an_ecdsa_signature_is_zero() {
    // The order of P-256, which is zero to the arithmetic.
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| u8::from_str_radix(&order[at..at + 2], 16).unwrap())
        .collect();
    let one = {
        let mut one = vec![0; 32];
        one[31] = 1;
        one
    };
    for (r, s) in [
        (vec![0; 32], vec![0; 32]),
        (one.clone(), vec![0; 32]),
        (vec![0; 32], one.clone()),
        (order.clone(), one.clone()),
        (one, order),
    ] {
        assert_eq!(resigned("ES256", &[r, s].concat()), Err(Deny::BadSignature));
    }
    assert_eq!(resigned("ES384", &[0; 96]), Err(Deny::BadSignature));
    assert_eq!(resigned("ES512", &[0; 132]), Err(Deny::BadSignature));
}

/// ECDSA signatures in another form, which would give one token many spellings.
#[crate::test]
fn an_ecdsa_signature_is_der_or_padded() {
    assert_eq!(forged("es256_as_der"), Err(Deny::BadSignature));
    let vectors = vectors();
    let (_, signature) = vectors["good"]["ES256"]
        .as_str()
        .unwrap()
        .rsplit_once('.')
        .unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = signature.split_at(32);
    assert_eq!(
        resigned("ES256", &[&[0], r, &[0], s].concat()),
        Err(Deny::BadSignature)
    );
    assert_eq!(
        resigned("ES256", &[&signature[..], &[0]].concat()),
        Err(Deny::BadSignature)
    );
}

/// An Ed25519 key of small order verifies signatures that nobody made.
#[crate::test]
fn an_ed25519_key_or_nonce_of_small_order_is_used() {
    assert_eq!(resigned("EdDSA", &[0; 64]), Err(Deny::BadSignature));
    let mut identity = [0; 64];
    identity[0] = 1;
    assert_eq!(resigned("EdDSA", &identity), Err(Deny::BadSignature));
    for weak in [
        encode([0; 32]),
        encode([1].iter().chain(&[0; 31]).copied().collect::<Vec<u8>>()),
    ] {
        let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": weak}]});
        let identity = super::identity(json!({"jwt": [provider(ISSUER, &jwks)]}));
        assert!(Authenticator::new(&identity).is_err());
    }
}

/// A PKCS #1 signature with another hash, and a PSS one with another salt length.
#[crate::test]
fn an_rsa_signature_has_other_parameters() {
    assert_eq!(forged("rs256_made_with_sha512"), Err(Deny::BadSignature));
    assert_eq!(forged("pss_salt_of_another_length"), Err(Deny::BadSignature));
}

/// RSA keys that can be broken: too short, `e` = 1, even numbers.
#[crate::test]
fn a_weak_rsa_key_is_configured() {
    let mut keys = vec![vectors()["rsa_1024"].clone()];
    for e in ["AQ", "Ag", "AA"] {
        let mut set = vectors()["jwks"].clone();
        set["keys"][0]["e"] = json!(e);
        keys.push(set);
    }
    // An exponent that is no smaller than the modulus, and numbers without a byte.
    let modulus = vectors()["jwks"]["keys"][0]["n"].clone();
    for (name, number) in [
        ("e", modulus),
        ("e", json!("")),
        ("n", json!("")),
        ("n", json!("AAAA")),
    ] {
        let mut set = vectors()["jwks"].clone();
        set["keys"][0][name] = number;
        keys.push(set);
    }
    for set in keys {
        let identity = super::identity(json!({"jwt": [provider(ISSUER, &set)]}));
        assert!(Authenticator::new(&identity).is_err(), "{set}");
    }
}

/// Zeros before a number, which some issuers write, make it no other number.
#[crate::test]
fn an_rsa_key_has_leading_zeros() {
    let mut set = vectors()["jwks"].clone();
    for name in ["n", "e"] {
        let number = URL_SAFE_NO_PAD
            .decode(set["keys"][0][name].as_str().unwrap())
            .unwrap();
        set["keys"][0][name] = json!(encode([vec![0; 9], number].concat()));
    }
    let mut authenticator = authenticator(json!({"jwt": [provider(ISSUER, &set)]}));
    for algorithm in ["RS256", "PS256"] {
        let credential = vectors()["good"][algorithm].as_str().unwrap().to_owned();
        assert!(ask(&mut authenticator, &credential).is_ok(), "{algorithm}");
    }
}

/// A point that lies on another, weaker curve (CVE-2015-7940).
#[crate::test]
fn a_point_off_the_curve_is_configured() {
    let mut set = vectors()["jwks"].clone();
    set["keys"][1]["y"] = set["keys"][1]["x"].clone();
    let identity = super::identity(json!({"jwt": [provider(ISSUER, &set)]}));
    assert!(Authenticator::new(&identity).is_err());
}

/// Two members of one name, of which two parsers choose different ones.
#[crate::test]
fn a_member_comes_twice() {
    for header in [
        r#"{"alg":"none","alg":"EdDSA","kid":"own"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"none","kid":"own"}"#,
        r#"{"alg":"EdDSA","kid":"x","kid":"own"}"#,
    ] {
        assert_eq!(with_header(header), Err(Deny::Malformed), "{header}");
    }
    let mut own = own_authenticator(json!({}));
    for payload in [
        format!(
            r#"{{"iss":"{ISSUER}","sub":"alice","sub":"root","aud":"tollgate","exp":{}}}"#,
            NOW + 9
        ),
        format!(
            r#"{{"iss":"{ISSUER}","sub":"alice","aud":"tollgate","exp":1,"exp":{}}}"#,
            NOW + 9
        ),
    ] {
        let outcome = ask(&mut own, &sign(r#"{"alg":"EdDSA","kid":"own"}"#, &payload));
        assert_eq!(outcome, Err(Deny::Malformed), "{payload}");
    }
}

/// `kid` as a path or as a query: here it is only ever compared.
#[crate::test]
fn the_key_id_is_a_path_or_a_query() {
    for kid in [
        "../../../../dev/null",
        "own' OR '1'='1",
        "own; rm -rf /",
        "",
        "OWN",
        "own\0",
    ] {
        let header = json!({"alg": "EdDSA", "kid": kid}).to_string();
        assert_eq!(with_header(&header), Err(Deny::UnknownKeyId), "{kid}");
    }
    assert_eq!(
        with_header(r#"{"alg":"EdDSA","kid":["own"]}"#),
        Err(Deny::Malformed)
    );
}

/// A key of one trusted issuer signs for another (RFC 8725, section 3.8).
#[crate::test]
fn one_issuer_signs_in_the_name_of_another() {
    let mut both = authenticator(json!({"jwt": [
        provider(ISSUER, &vectors()["jwks"]),
        provider("https://own.example", &own_jwks()),
    ]}));
    let own = own_jwt(json!({"iss": "https://own.example"}));
    assert_eq!(ask(&mut both, &own), Ok("alice".to_owned()));
    assert_eq!(ask(&mut both, &own_jwt(json!({}))), Err(Deny::UnknownKeyId));
    assert_eq!(
        ask(&mut both, &sign(r#"{"alg":"EdDSA"}"#, &payload())),
        Err(Deny::BadSignature)
    );
}

/// A token for another service is passed on (RFC 8725, section 3.9).
#[crate::test]
fn a_token_for_another_audience_is_relayed() {
    assert_eq!(
        with_claims(json!({}), json!({"aud": "billing"})),
        Err(Deny::WrongAudience)
    );
    assert_eq!(
        with_claims(json!({}), json!({"aud": null})),
        Err(Deny::WrongAudience)
    );
}

/// A token that was issued to another client is used.
#[crate::test]
fn a_token_of_another_client_is_relayed() {
    let settings = json!({"authorized_parties": ["cli", "web"]});
    for (azp, expected) in [
        (json!("cli"), Ok("alice".to_owned())),
        (json!("web"), Ok("alice".to_owned())),
        (json!("evil"), Err(Deny::WrongParty)),
        (json!(["cli"]), Err(Deny::WrongParty)),
        (json!(null), Err(Deny::WrongParty)),
    ] {
        assert_eq!(
            with_claims(settings.clone(), json!({"azp": azp})),
            expected,
            "{azp}"
        );
    }
    assert!(with_claims(json!({}), json!({"azp": "anybody"})).is_ok());
}

/// A token of another kind of the same issuer, such as an ID token (RFC 8725, section 3.11).
#[crate::test]
fn a_token_of_another_type_is_used() {
    let mut own = own_authenticator(json!({"types": ["at+jwt"]}));
    for (typ, expected) in [
        (json!("at+jwt"), Ok("mallory".to_owned())),
        (json!("AT+JWT"), Ok("mallory".to_owned())),
        (json!("application/at+jwt"), Ok("mallory".to_owned())),
        (json!("JWT"), Err(Deny::WrongType)),
        (json!("logout+jwt"), Err(Deny::WrongType)),
        (json!("application/x/at+jwt"), Err(Deny::WrongType)),
        (json!(1), Err(Deny::Malformed)),
    ] {
        let header = json!({"alg": "EdDSA", "kid": "own", "typ": typ}).to_string();
        assert_eq!(ask(&mut own, &sign(&header, &payload())), expected, "{typ}");
    }
    assert_eq!(ask(&mut own, &own_jwt(json!({}))), Err(Deny::WrongType));
}

/// A stolen token whose `jti` is denied.
#[crate::test]
fn a_revoked_token_is_used() {
    let settings = json!({"denied_ids": ["stolen-1", "stolen-2"]});
    for (jti, expected) in [
        (json!("stolen-2"), Err(Deny::Revoked)),
        (json!("other"), Ok("alice".to_owned())),
        (json!(null), Ok("alice".to_owned())),
        (json!(["stolen-1"]), Err(Deny::Malformed)),
    ] {
        assert_eq!(
            with_claims(settings.clone(), json!({"jti": jti})),
            expected,
            "{jti}"
        );
    }
}

/// A token without an end, or with one that no clock can tell.
#[crate::test]
fn a_token_never_expires() {
    assert_eq!(
        with_claims(json!({}), json!({"exp": null})),
        Err(Deny::MissingClaim)
    );
    assert_eq!(
        with_claims(json!({}), json!({"exp": "never"})),
        Err(Deny::Malformed)
    );
}

/// The honest token's payload is exchanged under its signature.
#[crate::test]
fn the_payload_is_exchanged() {
    let mut own = own_authenticator(json!({}));
    let (honest, mallory) = (own_jwt(json!({})), own_jwt(json!({"sub": "mallory"})));
    let (signed, _) = mallory.rsplit_once('.').unwrap();
    let (_, signature) = honest.rsplit_once('.').unwrap();
    assert_eq!(
        ask(&mut own, &format!("{signed}.{signature}")),
        Err(Deny::BadSignature)
    );
    assert!(ask(&mut own, &honest).is_ok());
}

/// Other spellings of a good token, which would walk around a list of denied ones.
#[crate::test]
fn a_token_is_spelled_in_another_way() {
    let mut own = own_authenticator(json!({}));
    let honest = own_jwt(json!({}));
    for spelling in [
        format!("{honest}="),
        format!("{honest}=="),
        honest.replace('.', ".\u{200b}"),
        format!("{honest}."),
        honest.to_uppercase(),
    ] {
        assert!(ask(&mut own, &spelling).is_err(), "{spelling}");
    }
    // 64 bytes are 86 digits, and the last has four loose bits.
    let (signed, last) = honest.split_at(honest.len() - 1);
    assert!("AQgw".contains(last));
    for loose in ["B", "R", "h", "x"] {
        assert!(ask(&mut own, &format!("{signed}{loose}")).is_err());
    }
}

/// An encrypted token (RFC 7516), or the JSON form, in place of a signed compact one.
#[crate::test]
fn a_token_has_another_form() {
    let mut own = own_authenticator(json!({}));
    let honest = own_jwt(json!({}));
    let parts: Vec<_> = honest.split('.').collect();
    let encrypted = format!("{}..{}.{}.{}", parts[0], parts[1], parts[2], parts[2]);
    let flattened = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    for form in [encrypted, flattened] {
        assert_eq!(ask(&mut own, &form), Err(Deny::UnknownKey), "{form}");
    }
}

/// Tokens that are expensive to read: the longest, and the deepest.
#[crate::test]
fn a_token_is_huge_or_deeply_nested() {
    let mut own = own_authenticator(json!({}));
    let huge = own_jwt(json!({"pad": "x".repeat(MAX_CREDENTIAL_BYTES)}));
    assert_eq!(ask(&mut own, &huge), Err(Deny::TooLong));
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    let payload = format!(r#"{{"iss":"{ISSUER}","exp":{},"x":{deep}}}"#, NOW + 9);
    assert_eq!(
        ask(&mut own, &sign(r#"{"alg":"EdDSA","kid":"own"}"#, &payload)),
        Err(Deny::Malformed)
    );
}

/// A token whose signature does not count, because it was cached under its first part alone.
#[crate::test]
fn a_cached_token_is_copied_with_another_signature() {
    let mut own = own_authenticator(json!({}));
    let honest = own_jwt(json!({}));
    assert!(ask(&mut own, &honest).is_ok());
    let (signed, _) = honest.rsplit_once('.').unwrap();
    let stranger = ed25519_dalek::SigningKey::from_bytes(&[8; 32]);
    assert_ne!(stranger.verifying_key(), own_key().verifying_key());
    let signature = ed25519_dalek::Signer::sign(&stranger, signed.as_bytes());
    let copied = format!("{signed}.{}", encode(signature.to_bytes()));
    assert_eq!(ask(&mut own, &copied), Err(Deny::BadSignature));
}
