// SPDX-License-Identifier: Apache-2.0

//! What a model's name says of what it can do.
//!
//! Gemini's generations differ, and the name is all there is to tell them apart
//! (<https://ai.google.dev/gemini-api/docs/thinking>, `.../function-calling`). A Gemini without a version
//! (`gemini-flash-latest`) is taken for one of the newest.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingMode {
    /// It does not.
    None,
    /// By a budget of tokens (Gemini 2.5).
    Budget {
        /// The largest.
        most: i64,
        /// The smallest; 0 is off.
        least: i64,
    },
    /// By a level (from Gemini 3 on).
    Level {
        /// `MINIMAL` is one of its levels.
        has_minimal: bool,
        /// `MEDIUM` is one of its levels.
        has_medium: bool,
    },
}

/// What a model's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) thinking: ThinkingMode,
    /// Calls are refused without the signature of the thoughts that led to them.
    pub(super) demands_signatures: bool,
    /// What a function answers may hold media.
    pub(super) has_media_in_answers: bool,
    /// Arguments can be made to follow their schema without forcing a call.
    pub(super) has_validated_mode: bool,
}

impl Generation {
    /// Reads a model's name, for example `gemini-2.5-flash` or `publishers/google/models/gemini-3-pro-preview`.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let Some(rest) = name.strip_prefix("gemini-") else {
            return Self {
                thinking: ThinkingMode::None,
                demands_signatures: false,
                has_media_in_answers: false,
                has_validated_mode: false,
            };
        };
        let version = version(rest);
        let since = |least: (u32, u32)| version.is_none_or(|version| version >= least);
        let is_pro = rest.contains("pro") && !rest.contains("flash");
        Self {
            thinking: match () {
                () if since((3, 0)) => ThinkingMode::Level {
                    has_minimal: !is_pro,
                    has_medium: !is_pro || since((3, 1)),
                },
                () if !since((2, 5)) => ThinkingMode::None,
                () if is_pro => ThinkingMode::Budget {
                    most: 32_768,
                    least: 128,
                },
                () => ThinkingMode::Budget {
                    most: 24_576,
                    least: 0,
                },
            },
            demands_signatures: since((3, 0)),
            has_media_in_answers: since((3, 0)),
            has_validated_mode: since((2, 5)),
        }
    }
}

/// Major and minor version at the beginning of what follows `gemini-`.
fn version(rest: &str) -> Option<(u32, u32)> {
    let number = rest.split('-').next()?;
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Generation, ThinkingMode};

    #[crate::test]
    fn generations_are_read_from_names() {
        for (model, expected) in [
            ("gemini-2.0-flash", ThinkingMode::None),
            ("gemma-3-27b-it", ThinkingMode::None),
            (
                "gemini-2.5-pro",
                ThinkingMode::Budget {
                    most: 32_768,
                    least: 128,
                },
            ),
            (
                "publishers/google/models/gemini-2.5-flash-lite",
                ThinkingMode::Budget {
                    most: 24_576,
                    least: 0,
                },
            ),
            (
                "gemini-3-pro-preview",
                ThinkingMode::Level {
                    has_minimal: false,
                    has_medium: false,
                },
            ),
            (
                "gemini-3.1-pro-preview",
                ThinkingMode::Level {
                    has_minimal: false,
                    has_medium: true,
                },
            ),
            (
                "gemini-flash-latest",
                ThinkingMode::Level {
                    has_minimal: true,
                    has_medium: true,
                },
            ),
        ] {
            assert_eq!(Generation::of(model).thinking, expected, "{model}");
        }
        assert!(!Generation::of("gemini-2.5-pro").demands_signatures);
        assert!(Generation::of("gemini-3-flash-preview").demands_signatures);
    }
}
