// SPDX-License-Identifier: Apache-2.0

//! Public keys of ECDSA with multiples of their points that are computed once, so that each signature is verified in a
//! third of the time.
//!
//! A signature is good if the generator and the key, each taken many times, add up to a point with the right first
//! coordinate ([FIPS 186-5](https://doi.org/10.6028/NIST.FIPS.186-5), section 6.4.2). Most of the time goes into
//! doubling. Here both factors are cut into pieces, and what every piece is multiplied with is known ahead, so only the
//! bits of one piece are left to double for.
//!
//! All arithmetic, of numbers and of points, is that of the crates. Nothing is secret here, so it may take longer for
//! some numbers than for others. See docs/decisions/0035-prepared-keys.md.

use ecdsa::elliptic_curve::array::typenum::{U6, Unsigned as _};
use ecdsa::elliptic_curve::ops::{Invert as _, Reduce};
use ecdsa::elliptic_curve::point::AffineCoordinates as _;
use ecdsa::elliptic_curve::{CurveArithmetic, CurveGroup as _, FieldBytes, FieldBytesSize, Group as _};
use ecdsa::{DigestAlgorithm, EcdsaCurve, Signature};
use sha2::Digest as _;
use sha2::digest::OutputSizeUser;
use std::sync::LazyLock;
use wnaf::{WnafBase, WnafScalar, WnafSize};

/// How many bytes of a factor are a piece. More pieces of fewer bytes take more memory and less time.
const PIECE: usize = 6;

/// A curve of prime order, whose numbers are no shorter than the hashes that are signed with it.
pub(super) trait Curve:
    EcdsaCurve + DigestAlgorithm + CurveArithmetic<Scalar: WnafSize + Reduce<FieldBytes<Self>>>
{
    /// The multiples of the generator.
    fn generator() -> &'static Multiples<Self>;
}

macro_rules! curve {
    ($($name:ty),*) => {$(
        impl Curve for $name {
            fn generator() -> &'static Multiples<Self> {
                static MULTIPLES: LazyLock<Multiples<$name>> =
                    LazyLock::new(|| Multiples::of(<$name as CurveArithmetic>::ProjectivePoint::generator()));
                &MULTIPLES
            }
        }
    )*};
}
curve!(p256::NistP256, p384::NistP384, p521::NistP521);

/// A point, and that point times 2 to the power of each multiple of a piece's bits.
pub(super) struct Multiples<C: Curve>(Vec<WnafBase<C::ProjectivePoint, U6>>);

impl<C: Curve> Multiples<C> {
    fn of(mut point: C::ProjectivePoint) -> Self {
        let pieces = FieldBytes::<C>::default().len().div_ceil(PIECE);
        let mut bases = Vec::with_capacity(pieces);
        bases.push(WnafBase::new(&point));
        while bases.len() < pieces {
            for _ in 0..8 * PIECE {
                point = point.double();
            }
            bases.push(WnafBase::new(&point));
        }
        Self(bases)
    }
}

/// A public key, with its multiples.
pub(super) struct PreparedKey<C: Curve> {
    point: C::AffinePoint,
    multiples: Multiples<C>,
}

impl<C: Curve> PreparedKey<C> {
    /// Prepares the key that is this point, which takes about as long as verifying three signatures.
    pub(super) fn new(point: &C::AffinePoint) -> Self {
        // Here and not with the first signature, which would have to wait for it.
        C::generator();
        Self {
            point: *point,
            multiples: Multiples::of((*point).into()),
        }
    }

    /// The key itself.
    pub(super) const fn point(&self) -> &C::AffinePoint {
        &self.point
    }

    /// Whether `signature`, `r` and `s` in their full width, is one of `message` with this key and the curve's hash.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::<C>::from_slice(signature) else {
            return false;
        };
        // Neither is zero, or it would be no signature.
        let (r, s) = signature.split_scalars();
        let inverse = *s.invert_vartime();
        let factors = [hash::<C>(message) * inverse, *r * inverse];
        let pieces: Vec<_> = factors.into_iter().flat_map(pieces::<C>).collect();
        let multiples = C::generator().0.iter().chain(&self.multiples.0);
        let sum = WnafBase::multiscalar_mul(multiples.zip(&pieces));
        // Of the point at infinity the coordinate is zero here.
        C::Scalar::reduce(&sum.to_affine().x()) == *r
    }
}

/// The hash of a message, as a number.
fn hash<C: Curve>(message: &[u8]) -> C::Scalar {
    // Of a longer one only the first bits would count.
    const { assert!(<C::Digest as OutputSizeUser>::OutputSize::USIZE <= FieldBytesSize::<C>::USIZE) };
    let hash = C::Digest::digest(message);
    let mut padded = FieldBytes::<C>::default();
    padded
        .iter_mut()
        .rev()
        .zip(hash.iter().rev())
        .for_each(|(to, from)| *to = *from);
    C::Scalar::reduce(&padded)
}

/// The pieces of a factor, the lowest first.
fn pieces<C: Curve>(factor: C::Scalar) -> Vec<WnafScalar<C::Scalar, U6>> {
    let mut bytes: FieldBytes<C> = factor.into();
    bytes.reverse();
    bytes.chunks(PIECE).map(WnafScalar::from_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::{Curve, Multiples, PIECE, PreparedKey, hash, pieces};
    use ecdsa::Signature;
    use ecdsa::elliptic_curve::ops::Invert as _;
    use ecdsa::elliptic_curve::{Field as _, Group as _, PrimeField as _};
    use p256::ecdsa::signature::{Signer as _, Verifier as _};
    use wnaf::WnafBase;

    /// The point times the factor, by its multiples and by the crate.
    fn is_as_the_crate_says<C: Curve>(factor: C::Scalar) -> bool {
        let point = C::ProjectivePoint::generator().double();
        let (multiples, pieces) = (Multiples::<C>::of(point), pieces::<C>(factor));
        assert_eq!(multiples.0.len(), pieces.len());
        WnafBase::multiscalar_mul(multiples.0.iter().zip(&pieces)) == point * factor
    }

    fn factors_are_cut_without_loss<C: Curve>() {
        let one = C::Scalar::ONE;
        assert!(is_as_the_crate_says::<C>(C::Scalar::ZERO));
        assert!(is_as_the_crate_says::<C>(-one));
        // Around each end of a piece, where what is carried crosses over, and where the last digit is a short one.
        let piece = C::Scalar::from(2).pow_vartime([8 * PIECE as u64]);
        for end in core::iter::successors(Some(one), |end| Some(*end * piece)).take(11) {
            for factor in [
                end,
                end - one,
                end + one,
                -end,
                end.double(),
                end * C::Scalar::TWO_INV,
                end * C::Scalar::from((1 << 47) + (1 << 42)),
            ] {
                assert!(is_as_the_crate_says::<C>(factor), "{factor:?}");
            }
        }
    }

    #[crate::test]
    fn factors_are_cut_without_loss_on_every_curve() {
        factors_are_cut_without_loss::<p256::NistP256>();
        factors_are_cut_without_loss::<p384::NistP384>();
        factors_are_cut_without_loss::<p521::NistP521>();
    }

    /// The crate signs, and what was signed or is changed a little is judged by both.
    macro_rules! verdicts_are_the_crate_s {
        ($curve:ty, $signer:ty, $width:literal) => {
            for seed in 1..=2 {
                let mut secret = [seed; $width];
                secret[0] = 0;
                let signer = <$signer>::from_slice(&secret).unwrap();
                let key = PreparedKey::<$curve>::new(signer.verifying_key().as_affine());
                let signature: Signature<$curve> = signer.sign(b"message");
                assert!(key.verifies(b"message", &signature.to_bytes()));
                let (r, s) = signature.split_scalars();
                let mut signatures = vec![signature];
                signatures.extend(Signature::from_scalars(r, -s));
                signatures.extend(Signature::from_scalars(-r, s));
                signatures.extend(Signature::from_scalars(s, r));
                signatures.extend(Signature::from_scalars(r, r));
                // The sum of the two points is none.
                let secret = *signer.as_nonzero_scalar().invert();
                let none = -(hash::<$curve>(b"message") * secret);
                signatures.extend(Signature::from_scalars(none, s));
                for at in [0, $width - 1, $width, 2 * $width - 1] {
                    let mut bytes = signature.to_bytes();
                    bytes[at] ^= 1;
                    signatures.extend(Signature::from_slice(&bytes));
                }
                let mut good = 0;
                for signature in signatures {
                    for message in ["message", "massage", ""] {
                        let expected = signer
                            .verifying_key()
                            .verify(message.as_bytes(), &signature);
                        let found = key.verifies(message.as_bytes(), &signature.to_bytes());
                        assert_eq!(found, expected.is_ok(), "{message} {signature:?}");
                        good += usize::from(found);
                    }
                }
                // With s as good as with -s, and with nothing else.
                assert_eq!(good, 2);
            }
        };
    }

    #[crate::test]
    fn verdicts_are_the_crate_s() {
        verdicts_are_the_crate_s!(p256::NistP256, p256::ecdsa::SigningKey, 32);
        verdicts_are_the_crate_s!(p384::NistP384, p384::ecdsa::SigningKey, 48);
        verdicts_are_the_crate_s!(p521::NistP521, p521::ecdsa::SigningKey, 66);
    }
}
