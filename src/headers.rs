// SPDX-License-Identifier: Apache-2.0

//! HTTP headers as the host hands them over: an ordered list of byte strings.
//!
//! Envoy gives names in lower case and pseudo-headers as `:method`, `:path`, `:authority`, `:status`. Values
//! are bytes and need not be UTF-8: [`Headers::str`] answers `None` for one that is not, it never panics.

/// An ordered header list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// Takes the list as the host gave it. Names must be in lower case.
    #[must_use]
    pub fn new(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self(pairs)
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(key, _)| key == name.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0
            .iter()
            .filter(move |(key, _)| key == name.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of `name`, if it is UTF-8.
    #[must_use]
    pub fn str(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get(name)?).ok()
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[crate::test]
    fn a_value_that_is_not_utf8_is_bytes_only() {
        let headers = Headers::new(vec![(b"x-odd".to_vec(), vec![0xff])]);
        assert_eq!(headers.get("x-odd"), Some(&[0xff][..]));
        assert_eq!(headers.str("x-odd"), None);
        assert_eq!(headers.get("x-none"), None);
    }
}
