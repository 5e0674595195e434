// SPDX-License-Identifier: Apache-2.0

//! Memory that all workers share, as far as policy needs it.
//!
//! In Envoy it is the proxy-wasm shared data of one VM id, in tests a map. Keys can never be deleted there, so
//! nothing here may make keys from what callers send.

/// A store with optimistic concurrency.
pub trait SharedStore {
    /// The value of `key` and its version; `None` if it was never set.
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Sets `key` if its version is still `version`; with `None`, if it was never set.
    ///
    /// # Errors
    ///
    /// Somebody else was faster: read again and decide again.
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict>;
}

/// The value changed since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// A store in this process's own memory, for tests and for the native command.
#[derive(Debug, Default)]
pub struct LocalStore(core::cell::RefCell<std::collections::BTreeMap<String, (Vec<u8>, u32)>>);

impl SharedStore for LocalStore {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        let mut map = self.0.borrow_mut();
        let current = map.get(key).map(|(_, version)| *version);
        if current != version {
            return Err(Conflict);
        }
        map.insert(
            key.to_owned(),
            (value.to_vec(), current.unwrap_or(0).wrapping_add(1)),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Conflict, LocalStore, SharedStore};

    #[crate::test]
    fn a_write_from_an_old_reading_is_refused() {
        let store = LocalStore::default();
        assert_eq!(store.get("k"), None);
        assert_eq!(store.compare_and_swap("k", b"a", None), Ok(()));
        assert_eq!(store.compare_and_swap("k", b"b", None), Err(Conflict));
        let (value, version) = store.get("k").unwrap();
        assert_eq!(value, b"a");
        assert_eq!(store.compare_and_swap("k", b"b", Some(version)), Ok(()));
        assert_eq!(store.compare_and_swap("k", b"c", Some(version)), Err(Conflict));
    }
}
