// SPDX-License-Identifier: Apache-2.0

//! Signatures that a host verifies, or does not.

use super::{NOW, bearer, vector_authenticator, vectors};
use crate::clock::Timestamp;
use crate::policy::auth::{Deny, SignatureHost};
use std::cell::RefCell;
use std::rc::Rc;

/// A host that gives one answer to everything, and what it was asked.
struct Host {
    answer: Option<&'static [u8]>,
    asked: RefCell<Vec<Vec<u8>>>,
}

impl SignatureHost for Host {
    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push(arguments.to_vec());
        self.answer.map(<[u8]>::to_vec)
    }
}

const GOOD: &[u8] = &[0x08, 1];
const BAD: &[u8] = b"\x12\x26Failed to verify digest. Error code: 0";

/// The outcome for the good token of `algorithm`, or for it with another signature, and how often the host was asked.
fn outcome(
    answer: Option<&'static [u8]>,
    algorithm: &str,
    is_forged: bool,
) -> (Result<String, Deny>, Vec<Vec<u8>>) {
    let host = Rc::new(Host {
        answer,
        asked: RefCell::default(),
    });
    let mut authenticator = vector_authenticator();
    authenticator.verify_with(Rc::<Host>::clone(&host));
    let vectors = vectors();
    let mut credential = vectors["good"][algorithm].as_str().unwrap().to_owned();
    if is_forged {
        // Another letter in the midst of the signature: it keeps its form.
        let at = credential.len() - 40;
        let other = if &credential[at..=at] == "A" { "B" } else { "A" };
        credential.replace_range(at..=at, other);
    }
    let outcome = bearer(&mut authenticator, &credential, Timestamp::from_secs(NOW));
    let asked = host.asked.take();
    (outcome, asked)
}

const BY_HOST: [&str; 5] = ["RS256", "RS384", "RS512", "ES256", "ES384"];
const BY_MODULE: [&str; 5] = ["PS256", "PS384", "PS512", "ES512", "EdDSA"];

#[crate::test]
fn a_host_s_clear_verdict_is_taken() {
    for algorithm in BY_HOST {
        let (good, asked) = outcome(Some(GOOD), algorithm, false);
        assert_eq!((good, asked.len()), (Ok("alice".to_owned()), 1), "{algorithm}");
        // That the host was believed shows where it is wrong.
        let (bad, _) = outcome(Some(BAD), algorithm, false);
        assert_eq!(bad, Err(Deny::BadSignature), "{algorithm}");
    }
}

#[crate::test]
fn without_a_clear_verdict_the_module_verifies() {
    let unclear: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(&[0x08, 2]),
        Some(b"\x12\x23Failed to initialize digest verify."),
        Some(&[0x08, 1, 0x12, 1, b'x']),
    ];
    for answer in unclear {
        for algorithm in BY_HOST {
            let (good, asked) = outcome(answer, algorithm, false);
            assert_eq!(
                (good, asked.len()),
                (Ok("alice".to_owned()), 1),
                "{algorithm} {answer:?}"
            );
            let (bad, _) = outcome(answer, algorithm, true);
            assert_eq!(bad, Err(Deny::BadSignature), "{algorithm} {answer:?}");
        }
    }
}

#[crate::test]
fn a_host_is_not_asked_about_what_is_verified_here() {
    for algorithm in BY_MODULE {
        for (is_forged, expected) in [(false, Ok("alice".to_owned())), (true, Err(Deny::BadSignature))] {
            // It would say yes to everything.
            let (found, asked) = outcome(Some(GOOD), algorithm, is_forged);
            assert_eq!((found, asked.len()), (expected, 0), "{algorithm}");
        }
    }
}

#[crate::test]
fn a_host_is_asked_in_its_own_words() {
    let (_, asked) = outcome(Some(GOOD), "ES256", false);
    let arguments = &asked[0];
    assert_eq!(&arguments[..8], b"\x0a\x06sha256");
    // SubjectPublicKeyInfo of 91 bytes, and a signature in DER, a sequence.
    assert_eq!(&arguments[8..12], b"\x12\x5b\x30\x59");
    let signature = &arguments[10 + 91..];
    assert_eq!((signature[0], signature[2]), (0x1a, 0x30));
    let (_, asked) = outcome(Some(GOOD), "RS512", false);
    assert_eq!(&asked[0][..8], b"\x0a\x06sha512");
    // SubjectPublicKeyInfo of an RSA key with 2048 bits has 294 bytes.
    assert_eq!(&asked[0][8..15], b"\x12\xa6\x02\x30\x82\x01\x22");
}
