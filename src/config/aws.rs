// SPDX-License-Identifier: Apache-2.0

//! Providers at AWS: where their API is, and what their requests are signed for.
//!
//! An AWS user names a region and expects the rest to follow; who goes through a VPC endpoint, a FIPS endpoint or a
//! proxy names the endpoint instead, whose host usually tells the region
//! (<https://docs.aws.amazon.com/general/latest/gr/bedrock.html>). The signature covers the region, so where the two
//! disagree the key `region` counts.

use super::{ConfigError, Endpoint, Provider, ProviderKind};

/// What requests are signed for (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// The service's name in a signature.
    pub service: &'static str,
    /// The region.
    pub region: String,
}

impl ProviderKind {
    /// The service's name in signatures, and how its endpoint's host begins; `None` for providers outside AWS.
    const fn aws_service(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::AwsBedrock => Some(("bedrock", "bedrock-runtime")),
            Self::AwsSageMaker => Some(("sagemaker", "runtime.sagemaker")),
            Self::Anthropic
            | Self::AzureOpenAi
            | Self::Cohere
            | Self::Gemini
            | Self::Mistral
            | Self::OpenAi
            | Self::OpenAiCompatible
            | Self::OpenRouter
            | Self::VertexAi => None,
        }
    }
}

impl Provider {
    /// The base URL: the one given, or that of the service in the region.
    ///
    /// # Errors
    ///
    /// An endpoint that is missing, or no URL; a region that is none. `name` is the provider's.
    pub fn base_url(&self, name: &str) -> Result<Endpoint, ConfigError> {
        let fault = |key: &str, message: String| ConfigError::new(format!("providers.{name}.{key}"), message);
        if let (Some(_), None) = (&self.region, self.kind.aws_service()) {
            let message = "expected no region: only providers at AWS have one".to_owned();
            return Err(fault("region", message));
        }
        if let Some(region) = self.region.as_deref().filter(|region| !is_region(region)) {
            let message = format!(
                "expected a region such as \"us-east-1\", found \"{}\"",
                region.escape_debug()
            );
            return Err(fault("region", message));
        }
        if self.kind == ProviderKind::AwsSageMaker && self.credential.is_some() {
            let message =
                "expected none: SageMaker has no API keys, requests to it are always signed".to_owned();
            return Err(fault("credential", message));
        }
        if let Some(endpoint) = &self.endpoint {
            return endpoint.parse().map_err(|message| fault("endpoint", message));
        }
        match (self.kind.aws_service(), &self.region) {
            (Some((_, host)), Some(region)) => {
                let domain = if region.starts_with("cn-") {
                    "amazonaws.com.cn"
                } else {
                    "amazonaws.com"
                };
                let url = format!("https://{host}.{region}.{domain}");
                url.parse().map_err(|message| fault("endpoint", message))
            }
            (Some(_), None) => {
                let message = "expected `region` or `endpoint`, found neither".to_owned();
                Err(fault("region", message))
            }
            (None, _) => Err(ConfigError::new(
                format!("providers.{name}"),
                "missing key `endpoint`",
            )),
        }
    }

    /// Whether Envoy signs requests.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.kind.aws_service().is_some() && self.credential.is_none()
    }

    /// What requests are signed for; `None` if they are not, because the provider is not at AWS or takes the
    /// configured credential as a bearer.
    ///
    /// # Errors
    ///
    /// What [`Provider::base_url`] finds, or a region that neither key tells.
    pub fn signing(&self, name: &str) -> Result<Option<Signing>, ConfigError> {
        let endpoint = self.base_url(name)?;
        let Some((service, _)) = self.kind.aws_service().filter(|_| self.is_signed()) else {
            return Ok(None);
        };
        let region = self.region.as_deref().or_else(|| region_of(&endpoint.host));
        let region = region.ok_or_else(|| {
            let message = "expected a region, which the endpoint's host does not tell";
            ConfigError::new(format!("providers.{name}.region"), message)
        })?;
        Ok(Some(Signing {
            service,
            region: region.to_owned(),
        }))
    }
}

/// The region in the name of one of AWS's hosts.
fn region_of(host: &str) -> Option<&str> {
    const DOMAINS: [&str; 4] = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".api.aws",
        ".api.amazonwebservices.com.cn",
    ];
    let names = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain))?;
    names.split('.').rev().find(|name| is_region(name))
}

/// Whether a word has the form of a region: `us-east-1`, `us-gov-west-1`.
fn is_region(word: &str) -> bool {
    let Some((area, number)) = word.rsplit_once('-') else {
        return false;
    };
    let is_number = !number.is_empty() && number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
    let is_word = |word: &str| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase());
    is_number && word.len() <= 32 && area.split('-').count() >= 2 && area.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::{is_region, region_of};
    use crate::config::Provider;

    #[crate::test]
    fn regions_are_told_from_other_words() {
        for (host, expected) in [
            ("bedrock-runtime.us-east-1.amazonaws.com", Some("us-east-1")),
            (
                "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
                Some("us-gov-west-1"),
            ),
            (
                "vpce-0a1b-2c3d.bedrock-runtime.eu-central-1.vpce.amazonaws.com",
                Some("eu-central-1"),
            ),
            ("bedrock-runtime.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("bedrock-runtime.ap-southeast-7.api.aws", Some("ap-southeast-7")),
            (
                "runtime.sagemaker.il-central-1.amazonaws.com",
                Some("il-central-1"),
            ),
            ("bedrock.us-east-1.example.com", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(region_of(host), expected, "{host}");
        }
        for word in [
            "us-east",
            "useast-1",
            "us-east-1x",
            "US-EAST-1",
            "us-east-1/x",
            "",
            "us--1",
            "us-east-123",
        ] {
            assert!(!is_region(word), "{word}");
        }
    }

    fn check(json: &str, url: Result<&str, &str>, signing: Result<Option<&str>, &str>) {
        let provider: Provider = serde_json::from_str(json).unwrap();
        let found = provider.base_url("aws").map(|endpoint| endpoint.to_string());
        assert_eq!(
            found.as_deref().map_err(|fault| fault.path.as_str()),
            url,
            "{json}"
        );
        let found = provider
            .signing("aws")
            .map(|signing| signing.map(|signing| signing.region));
        assert_eq!(
            found
                .as_ref()
                .map(|region| region.as_deref())
                .map_err(|fault| fault.path.as_str()),
            signing,
            "{json}"
        );
    }

    #[crate::test]
    fn a_region_is_enough_and_an_endpoint_usually_tells_it() {
        check(
            r#"{"kind":"aws_bedrock","region":"us-east-1"}"#,
            Ok("https://bedrock-runtime.us-east-1.amazonaws.com"),
            Ok(Some("us-east-1")),
        );
        check(
            r#"{"kind":"aws_bedrock","region":"cn-north-1"}"#,
            Ok("https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
            Ok(Some("cn-north-1")),
        );
        check(
            r#"{"kind":"aws_sagemaker","region":"eu-west-1"}"#,
            Ok("https://runtime.sagemaker.eu-west-1.amazonaws.com"),
            Ok(Some("eu-west-1")),
        );
        let vpc = "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com";
        check(
            &format!(r#"{{"kind":"aws_bedrock","endpoint":"{vpc}"}}"#),
            Ok(vpc),
            Ok(Some("eu-west-1")),
        );
        check(
            &format!(r#"{{"kind":"aws_bedrock","endpoint":"{vpc}","region":"us-west-2"}}"#),
            Ok(vpc),
            Ok(Some("us-west-2")),
        );
    }

    #[crate::test]
    fn an_api_key_is_a_bearer_and_needs_no_region() {
        check(
            r#"{"kind":"aws_bedrock","endpoint":"https://proxy.example","credential":{"env":"KEY"}}"#,
            Ok("https://proxy.example"),
            Ok(None),
        );
    }

    #[crate::test]
    fn what_cannot_be_signed_is_told() {
        check(
            r#"{"kind":"aws_bedrock","endpoint":"https://proxy.example"}"#,
            Ok("https://proxy.example"),
            Err("providers.aws.region"),
        );
        let region = Err("providers.aws.region");
        check(r#"{"kind":"aws_bedrock"}"#, region, Err("providers.aws.region"));
        check(
            r#"{"kind":"aws_bedrock","region":"us-east-1.evil.example"}"#,
            region,
            Err("providers.aws.region"),
        );
        check(
            r#"{"kind":"openai","endpoint":"https://a","region":"us-east-1"}"#,
            region,
            Err("providers.aws.region"),
        );
        let credential = Err("providers.aws.credential");
        check(
            r#"{"kind":"aws_sagemaker","region":"us-east-1","credential":{"env":"KEY"}}"#,
            credential,
            Err("providers.aws.credential"),
        );
        check(r#"{"kind":"openai"}"#, Err("providers.aws"), Err("providers.aws"));
    }
}
