// SPDX-License-Identifier: Apache-2.0

//! Signatures that the host verifies, with machine code instead of WebAssembly.
//!
//! Envoy has a foreign function `verify_signature`, whose arguments and answer are the protocol buffers
//! `VerifySignatureArguments` and `VerifySignatureResult`
//! (<https://github.com/envoyproxy/envoy/blob/v1.40.0/source/extensions/common/wasm/ext/verify_signature.proto>). It
//! takes a key as a DER `SubjectPublicKeyInfo` (RFC 5280) and knows RSASSA-PKCS1-v1_5 and ECDSA, whose signatures are
//! DER too.
//!
//! Which key and which algorithm are asked about is decided before, from a key that was read and found sound here. The
//! host is believed in two cases: it says that the signature is good and nothing else, or it says in Envoy's one
//! sentence for it that the signature is not. Whatever else it says is no verdict, and [`super::algorithm`] judges by
//! itself. See docs/decisions/0031-host-signatures.md.

/// What Envoy says of a signature that is not one, and of nothing else.
const IS_BAD: &[u8] = b"Failed to verify digest. Error code: 0";

/// A host that may be able to verify signatures.
pub trait SignatureHost {
    /// Calls `verify_signature` and gives its answer back; `None` if the host does not have it or it failed.
    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>>;
}

/// A host that verifies nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSignatureHost;

impl SignatureHost for NoSignatureHost {
    fn verify_signature(&self, _arguments: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// A signature as the host is asked about it.
pub(super) struct Question<'a> {
    /// `sha256`, `sha384` or `sha512`.
    pub(super) hash: &'static str,
    /// The key, in DER.
    pub(super) key: &'a [u8],
    /// The signature, for ECDSA in DER.
    pub(super) signature: &'a [u8],
    /// What was signed.
    pub(super) message: &'a [u8],
}

impl Question<'_> {
    /// The host's verdict, if it is clear.
    pub(super) fn ask(&self, host: &dyn SignatureHost) -> Option<bool> {
        verdict(&host.verify_signature(&self.encode())?)
    }

    /// `VerifySignatureArguments`.
    fn encode(&self) -> Vec<u8> {
        let fields = [
            (1, self.hash.as_bytes()),
            (2, self.key),
            (3, self.signature),
            (4, self.message),
        ];
        let size: usize = fields.iter().map(|(_, value)| value.len() + 4).sum();
        let mut arguments = Vec::with_capacity(size);
        for (number, value) in fields {
            put_field(&mut arguments, number, value);
        }
        arguments
    }
}

/// Appends a field of bytes, whose number is below 16.
fn put_field(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    message.push(number << 3 | LENGTH_DELIMITED);
    let mut length = value.len();
    while length >= 0x80 {
        // The lower seven bits, and that more follow.
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(value);
}

/// Reads `VerifySignatureResult`. The two verdicts have one spelling each, since a field with its default value is not
/// written, so they are compared and not parsed.
fn verdict(result: &[u8]) -> Option<bool> {
    if result == [0x08, 1] {
        return Some(true);
    }
    let mut bad = Vec::new();
    put_field(&mut bad, 2, IS_BAD);
    (result == bad).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::{IS_BAD, Question, put_field, verdict};

    #[crate::test]
    fn the_arguments_are_a_protocol_buffer() {
        let question = Question {
            hash: "sha256",
            key: &[1, 2],
            signature: &[3],
            message: &[b'm'; 300],
        };
        let mut expected = b"\x0a\x06sha256\x12\x02\x01\x02\x1a\x01\x03\x22\xac\x02".to_vec();
        expected.extend([b'm'; 300]);
        assert_eq!(question.encode(), expected);
    }

    #[crate::test]
    fn only_a_clear_verdict_is_one() {
        let error = |text: &[u8]| {
            let mut result = Vec::new();
            put_field(&mut result, 2, text);
            result
        };
        assert_eq!(verdict(&[0x08, 1]), Some(true));
        assert_eq!(verdict(&error(IS_BAD)), Some(false));
        let mut both = vec![0x08, 1];
        both.extend(error(IS_BAD));
        for unclear in [
            Vec::new(),
            vec![0x08],
            vec![0x08, 0],
            vec![0x08, 2],
            vec![0x08, 0x81, 0],
            vec![0x08, 1, 0x12, 0],
            vec![0x08, 1, 0x18, 1],
            both,
            error(b""),
            error(b"sha256 is not supported."),
            error(b"Failed to initialize digest verify."),
            error(b"Failed to verify digest. Error code: -1"),
        ] {
            assert_eq!(verdict(&unclear), None, "{unclear:?}");
        }
    }
}
