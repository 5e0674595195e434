// SPDX-License-Identifier: Apache-2.0

//! Whose model it is. Converse is one API for all, but what lies beyond its base set of parameters differs.
//!
//! A model is named by an id (`anthropic.claude-sonnet-4-5-20250929-v1:0`), by an inference profile, which puts a
//! geography before it (`us.anthropic.…`), or by an ARN that ends in either
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html>). The ARN of an application
//! inference profile, a provisioned or an imported model tells nothing of the model behind it.

use crate::provider::anthropic::Generation;

/// Whose model it is, as far as the request depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's Claude.
    Claude(Generation),
    /// Amazon's Nova of the first generation.
    Nova,
    /// Amazon's Nova from the second generation on, which can reason.
    Nova2,
    /// OpenAI's open models.
    GptOss,
    /// OpenAI's other models.
    Gpt,
    /// Cohere's Command.
    Cohere,
    /// Mistral's models.
    Mistral,
    /// Another's.
    Other,
    /// Not told by the name: the ARN of a profile, of provisioned throughput, or of a prompt.
    Untold,
}

impl Family {
    /// Reads a model's id or ARN.
    pub(super) fn of(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or(model);
        let mut rest = id;
        while let Some((publisher, name)) = rest.split_once('.') {
            match publisher {
                "anthropic" => return Self::Claude(Generation::of(name)),
                "amazon" if name.starts_with("nova-2") => return Self::Nova2,
                "amazon" if name.starts_with("nova") => return Self::Nova,
                "openai" if name.starts_with("gpt-oss") => return Self::GptOss,
                "openai" => return Self::Gpt,
                "cohere" => return Self::Cohere,
                "mistral" => return Self::Mistral,
                _ => rest = name,
            }
        }
        // Ids begin with a publisher, and what an account names itself has none.
        if id.contains('.') {
            Self::Other
        } else {
            Self::Untold
        }
    }

    /// Whether prompts can be cached, as far as is known.
    pub(super) const fn caches_prompts(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Nova | Self::Nova2 | Self::Untold)
    }

    /// Whether tools can be cached, as far as is known.
    pub(super) const fn caches_tools(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Untold)
    }
}

#[cfg(test)]
mod tests {
    use super::Family;
    use crate::provider::anthropic::Generation;

    #[crate::test]
    fn families_are_read_from_ids_profiles_and_arns() {
        let claude = |name| Family::Claude(Generation::of(name));
        for (model, expected) in [
            (
                "anthropic.claude-3-haiku-20240307-v1:0",
                claude("claude-3-haiku-20240307"),
            ),
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                claude("claude-sonnet-4-5"),
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-7",
                claude("claude-opus-4-7"),
            ),
            (
                "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0",
                Family::Nova,
            ),
            ("global.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
            ("us.openai.gpt-5.6", Family::Gpt),
            ("cohere.command-r-plus-v1:0", Family::Cohere),
            ("mistral.mistral-large-2407-v1:0", Family::Mistral),
            ("us.deepseek.r1-v1:0", Family::Other),
            (
                "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abcd1234",
                Family::Untold,
            ),
            ("", Family::Untold),
        ] {
            assert_eq!(Family::of(model), expected, "{model}");
        }
    }
}
