// SPDX-License-Identifier: Apache-2.0

//! Networks, as people write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use core::net::IpAddr;

/// The addresses that share a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    prefix: u128,
    length: u32,
    is_v4: bool,
}

impl Network {
    /// Reads a prefix, or an address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let (bits, is_v4) = bits(address.parse().ok()?);
        let longest = if is_v4 { 32 } else { 128 };
        let length = match length {
            Some(length) if length.bytes().all(|b| b.is_ascii_digit()) => length.parse().ok()?,
            Some(_) => return None,
            None => longest,
        };
        // Bits beyond the prefix are most likely a slip.
        let network = Self {
            prefix: bits,
            length,
            is_v4,
        };
        (length <= longest && bits & !network.mask() == 0).then_some(network)
    }

    /// Whether the network has this address. An IPv4 address within IPv6 is one of IPv4.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address.to_canonical());
        is_v4 == self.is_v4 && bits & self.mask() == self.prefix
    }

    /// The bits of the prefix, from the left of the address.
    fn mask(&self) -> u128 {
        u128::MAX
            .checked_shl(128_u32.saturating_sub(self.length))
            .unwrap_or(0)
    }
}

/// An address from the left of 128 bits.
fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[crate::test]
    fn a_network_has_the_addresses_of_its_prefix() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "a00::", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "192.0.2.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8::1", true),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        }
    }

    #[crate::test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "2001:db8::1/32",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "localhost",
            "10.0.0.0 /8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
