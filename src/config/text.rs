// SPDX-License-Identifier: Apache-2.0

//! Texts that have a form. Nothing here shows what was found, since it may be a secret in the wrong place.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The names of environment variables, as shells take them.
#[cfg(not(target_family = "wasm"))]
pub(super) const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// Reads the name of an environment variable.
pub(super) fn variable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    read(
        deserializer,
        is_variable,
        "expected the name of an environment variable, of letters, digits and `_`, found another text; the credential \
         itself does not belong here",
    )
}

fn is_variable(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_fit) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Reads the path of a file.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let is_path = |path: &str| !path.is_empty();
    read(
        deserializer,
        is_path,
        "expected the path of a file, found an empty one",
    )
}

/// Reads a text that may not be empty.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let is_some = |text: &str| !text.is_empty();
    read(deserializer, is_some, "expected a text, found an empty one")
}

fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_fit: impl Fn(&str) -> bool,
    fault: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_fit(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(fault))
    }
}
