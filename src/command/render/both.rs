// SPDX-License-Identifier: Apache-2.0

//! What one listener filter in both seats cannot do, and what it needs of the configuration around it.

use crate::command::check::{Checked, Findings};
use crate::config::{Credential, token_cluster};
use crate::policy::auth::KeySource;
use std::collections::BTreeSet;

/// Judges a file for both seats.
#[must_use]
pub fn judge(checked: &Checked) -> Findings {
    let mut found = Findings::default();
    let gateway = &checked.gateway;
    for (name, provider) in &gateway.providers {
        if provider.credential.as_ref().is_some_and(Credential::is_injected) {
            let message = "expected a credential by `env`: behind a listener filter Envoy can add no other";
            found.faults.add(format!("providers.{name}.credential"), message);
        }
        let is_fetched = |credential: &Credential| matches!(credential.token_request(), Ok(Some(_)));
        if provider.credential.as_ref().is_some_and(is_fetched) {
            let message = format!(
                "make a cluster `{}`, from which the access token is fetched",
                token_cluster(name)
            );
            found
                .warnings
                .add(format!("providers.{name}.credential"), message);
        }
        if let Ok(Some(signing)) = provider.signing(name) {
            let message = format!(
                "put Envoy's filter aws_request_signing behind this one, for the service `{}` in `{}`",
                signing.service, signing.region
            );
            found.warnings.add(format!("providers.{name}"), message);
        }
    }
    for (index, model) in gateway.models.iter().enumerate() {
        for (nth, target) in model.targets.iter().enumerate() {
            if target.priority > 0 {
                let path = format!("models[{index}].targets[{nth}].priority");
                let message = "this target is never tried: one filter in both seats does not fail over";
                found.warnings.add(path, message);
            }
        }
    }
    let mut clusters = BTreeSet::new();
    for (index, issuer) in gateway.identity.jwt.iter().enumerate() {
        if let Ok(Some(source)) = KeySource::of(issuer)
            && source.is_rendered
            && clusters.insert(source.cluster.clone())
        {
            let message = format!(
                "make a cluster `{}`, from which the keys are fetched",
                source.cluster
            );
            found.warnings.add(format!("identity.jwt[{index}]"), message);
        }
    }
    found
}
