// SPDX-License-Identifier: Apache-2.0

//! A fault in the configuration: where it is, and what was expected.

use core::fmt;

/// One fault. Displays as `models[0].targets[1].provider: expected …, found …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key path, for example `limits[2].window`. Empty: the file as a whole.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

impl ConfigError {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl core::error::Error for ConfigError {}
