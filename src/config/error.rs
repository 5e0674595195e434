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

    /// A word that is not one of `known`, with the nearest of them, or a few of them if none is near.
    pub fn unknown<'a>(
        path: impl Into<String>,
        what: &str,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let hint = match nearest(found, &known) {
            Some(near) => format!(", did you mean `{near}`?"),
            None if known.is_empty() => String::new(),
            None => format!(", expected one of {}", listed(&known)),
        };
        Self::new(path, format!("unknown {what} `{found}`{hint}"))
    }
}

/// Words that people write for one of ours, and that are no slips of it.
const OTHER_WORDS: [(&str, &str); 13] = [
    ("bedrock", "aws_bedrock"),
    ("friday", "fri"),
    ("grok", "xai"),
    ("monday", "mon"),
    ("ollama", "openai_compatible"),
    ("sagemaker", "aws_sagemaker"),
    ("saturday", "sat"),
    ("sunday", "sun"),
    ("thursday", "thu"),
    ("tokens", "total_tokens"),
    ("tuesday", "tue"),
    ("vllm", "openai_compatible"),
    ("wednesday", "wed"),
];

/// The word that `found` most likely means.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let other = OTHER_WORDS
        .iter()
        .find(|(word, _)| found.eq_ignore_ascii_case(word));
    if let Some(ours) = other.and_then(|(_, ours)| known.iter().find(|word| *word == ours)) {
        return Some(ours);
    }
    let slips = |word: &str| {
        let is_beginning = found.len() > 1 && word.starts_with(found);
        if is_beginning {
            1
        } else {
            strsim::damerau_levenshtein(found, word)
        }
    };
    known
        .iter()
        .map(|word| (slips(word), *word))
        .filter(|(slips, word)| *slips <= 1 + word.len() / 4)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// The first few words of a list, in backticks.
pub(super) fn listed(known: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = known
        .iter()
        .take(SHOWN)
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if known.len() > SHOWN {
        text.push_str(", …");
    }
    text
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
