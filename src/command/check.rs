// SPDX-License-Identifier: Apache-2.0

//! Everything that can be wrong with `gateway.yaml`, in one run.
//!
//! First the shape, then the meaning: the meaning is told by the very types that the filter builds at its start
//! ([`Routes`], [`Authenticator`], [`AccessRules`], [`RateLimiter`], [`Prices`]), so a file that passes here is a file
//! that the filter takes. What only Envoy would refuse, and what could never have an effect, is told beside it.

mod bounds;
mod endpoints;
mod names;

use super::source::Source;
use crate::config::load::FromTree;
use crate::config::{ConfigError, Credential, Endpoint, Gateway, Jwks, Moment, Provider};
use crate::policy::access::AccessRules;
use crate::policy::auth::Authenticator;
use crate::policy::brought::BroughtHeaders;
use crate::policy::prices::Prices;
use crate::policy::rate_limit::RateLimiter;
use crate::policy::routing::Routes;
use crate::provider::configured;

/// A file that was found sound: the configuration with its key sets inlined, and its routes.
pub struct Checked {
    /// The configuration.
    pub gateway: Gateway,
    /// Its routes.
    pub routes: Routes,
    /// What is sound and most likely not meant.
    pub warnings: Faults,
}

/// What was found, in the order in which it was.
#[derive(Debug, Default)]
pub struct Faults(pub Vec<ConfigError>);

impl Faults {
    /// One more.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigError::new(path, message));
    }
}

/// What is wrong, and what is sound and most likely not meant.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong.
    pub faults: Faults,
    /// What is most likely not meant.
    pub warnings: Faults,
}

/// Reads a file (by its name relative to `gateway.yaml`), or says why it cannot.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Checks a tree, at a time.
///
/// # Errors
///
/// Every fault.
pub fn check(source: &Source, read_file: ReadFile<'_>, now: Moment) -> Result<Checked, Vec<ConfigError>> {
    let mut gateway = Gateway::from_tree(source.tree.clone())?;
    let mut faults = inline_key_sets(&mut gateway, read_file);
    let mut found = Findings::default();
    bounds::faults(&gateway, &mut found.faults);
    endpoints::judge(&gateway, &mut found);
    names::faults(&gateway, &mut found.faults);
    for (name, provider) in &gateway.providers {
        faults.extend(provider.signing(name).err());
        faults.extend(fault_of_token_url(name, provider));
        if let Some((key, message)) = configured::fault(provider) {
            faults.push(ConfigError::new(format!("providers.{name}.{key}"), message));
        }
    }
    if let (true, Err(found)) = (faults.is_empty(), Authenticator::new(&gateway.identity)) {
        faults.extend(found);
    }
    faults.extend(found.faults.0);
    if let Err(found) = BroughtHeaders::new(&gateway.providers) {
        faults.extend(found);
    }
    if let Err(found) = AccessRules::new(&gateway.access, gateway.access_options) {
        faults.extend(found);
    }
    let limiter = RateLimiter::new(&gateway.limits, &gateway.limit_store);
    let limiter = limiter.map_err(|found| faults.extend(found)).ok();
    let prices = Prices::new(&gateway.prices, &gateway.providers);
    let prices = prices.map_err(|found| faults.extend(found)).ok();
    let routes = match Routes::new(&gateway.models, &gateway.providers) {
        Ok(routes) => routes,
        Err(found) => {
            faults.extend(found);
            return Err(faults);
        }
    };
    if let (Some(limiter), Some(prices), true) = (limiter, prices, faults.is_empty()) {
        faults = prices.missing(&routes, &limiter);
    }
    if faults.is_empty() {
        names::warnings(&gateway, now, &mut found.warnings);
        Ok(Checked {
            gateway,
            routes,
            warnings: found.warnings,
        })
    } else {
        Err(faults)
    }
}

/// A client's secret goes to the token endpoint, so its address is judged like a provider's. What is no address at all
/// is not shown: it may be the secret in the wrong place.
fn fault_of_token_url(name: &str, provider: &Provider) -> Option<ConfigError> {
    let Some(Credential::OAuth2(oauth2)) = &provider.credential else {
        return None;
    };
    let fault = oauth2.token_url.parse::<Endpoint>().err()?;
    let fault = if oauth2.token_url.starts_with("http") {
        fault
    } else {
        "expected a URL such as \"https://login.example.com/token\", found another text".to_owned()
    };
    let path = format!("providers.{name}.credential.oauth2.token_url");
    Some(ConfigError::new(path, fault))
}

/// The filter cannot read files, and public keys are public: their content takes the place of the name.
fn inline_key_sets(gateway: &mut Gateway, read_file: ReadFile<'_>) -> Vec<ConfigError> {
    let mut faults = Vec::new();
    for (index, issuer) in gateway.identity.jwt.iter_mut().enumerate() {
        let Jwks::File(name) = &issuer.jwks else { continue };
        match read_file(name) {
            Ok(text) => issuer.jwks = Jwks::Inline(text.trim().to_owned()),
            Err(reason) => faults.push(ConfigError::new(
                format!("identity.jwt[{index}].jwks.file"),
                format!("expected a readable file, found that `{name}` is not: {reason}"),
            )),
        }
    }
    faults
}
