// SPDX-License-Identifier: Apache-2.0

//! The root context: reads the configuration and takes a seat.

use super::both::BothFilter;
use super::gateway::{self, GatewayFilter};
use super::host::{self, HostConnection, HostSignatures, SharedData};
use super::keys::KeyCalls;
use super::provider::{self, ProviderFilter};
use super::tokens::{self, TokenCalls};
use super::waiting::{AwaitsKeys, Reachable};
use crate::attempt::{Credentials, ProviderSeat};
use crate::config::load::from_json;
use crate::config::{ConfigError, Credential, Gateway, PluginConfig};
use crate::exchange::Policy;
use crate::policy::auth::SignatureHost;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One filter's configuration.
#[derive(Default)]
pub(super) struct Root {
    context: u32,
    seat: Option<Seat>,
    key_calls: Option<KeyCalls>,
    token_calls: Option<TokenCalls>,
}

/// The provider seats of all clusters, with their credentials.
pub(super) type ProviderSeats = BTreeMap<String, (Rc<ProviderSeat>, Rc<Credentials>)>;

enum Seat {
    Both(Rc<Policy>, Rc<ProviderSeats>),
    Gateway(Rc<Policy>),
    Provider {
        seat: Rc<ProviderSeat>,
        credentials: Rc<Credentials>,
    },
}

impl Root {
    pub(super) fn new(context: u32) -> Self {
        Self {
            context,
            ..Self::default()
        }
    }

    fn configure(text: &[u8]) -> Result<Seat, Vec<ConfigError>> {
        let text = core::str::from_utf8(text).map_err(|_| {
            vec![ConfigError::new(
                "",
                "expected JSON, found bytes that are not UTF-8",
            )]
        })?;
        match from_json::<PluginConfig>(text)? {
            PluginConfig::Gateway { gateway } => Ok(Seat::Gateway(policy(&gateway)?)),
            PluginConfig::Provider {
                cluster,
                name,
                provider,
                bounds,
            } => {
                let seat =
                    ProviderSeat::new(cluster, &name, *provider, bounds).map_err(|error| vec![error])?;
                let credentials = credentials(&seat);
                Ok(Seat::Provider {
                    seat: Rc::new(seat),
                    credentials,
                })
            }
            PluginConfig::Both { gateway } => {
                let policy = policy(&gateway)?;
                let mut seats = ProviderSeats::new();
                for (cluster, name) in policy.clusters() {
                    if let Some(provider) = gateway.providers.get(name) {
                        if provider.credential.as_ref().is_some_and(Credential::is_injected) {
                            let message = "expected a credential by `env`: Envoy can add no other behind a listener filter";
                            return Err(vec![ConfigError::new(
                                format!("providers.{name}.credential"),
                                message,
                            )]);
                        }
                        let bounds = gateway.listener.clone();
                        let seat = ProviderSeat::new(cluster.to_owned(), name, provider.clone(), bounds)
                            .map_err(|error| vec![error])?;
                        let credentials = credentials(&seat);
                        seats.insert(cluster.to_owned(), (Rc::new(seat), credentials));
                    }
                }
                Ok(Seat::Both(policy, Rc::new(seats)))
            }
        }
    }
}

fn reachable<F: AwaitsKeys + 'static>(context: u32, filter: F, may_wait: bool) -> Box<dyn HttpContext> {
    if may_wait {
        Box::new(Reachable::new(context, filter))
    } else {
        Box::new(filter)
    }
}

fn policy(gateway: &Gateway) -> Result<Rc<Policy>, Vec<ConfigError>> {
    let signatures: Rc<dyn SignatureHost> = Rc::new(HostSignatures::default());
    let policy = Policy::new(gateway)?
        .connected(Rc::new(HostConnection))
        .verified_by(&signatures);
    policy.prepare(host::now(), &SharedData);
    log::info!(
        "tollgate {}: {} models, {} providers",
        env!("CARGO_PKG_VERSION"),
        gateway.models.len(),
        gateway.providers.len()
    );
    Ok(Rc::new(policy))
}

/// What the environment holds for a provider.
fn credentials(seat: &ProviderSeat) -> Rc<Credentials> {
    let of_team = |(team, name): (&str, &str)| (team.to_owned(), variable(name, &seat.name));
    Rc::new(Credentials {
        own: seat
            .credential_variable()
            .and_then(|name| variable(name, &seat.name)),
        teams: seat.team_credential_variables().map(of_team).collect(),
        fetched: tokens::of(seat),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "Envoy hands credentials to the VM as environment variables"
)]
fn variable(name: &str, provider: &str) -> Option<Rc<str>> {
    let value = std::env::var(name).ok();
    let value = value.as_deref().map(str::trim).filter(|value| !value.is_empty());
    if value.is_none() {
        // Not even the variable's name is told: some write the credential in its place.
        log::warn!(
            "an environment variable that `providers.{provider}` names is not set: it is called without that credential"
        );
    }
    Some(value?.into())
}

impl Seat {
    /// Has Envoy show what this seat counts, before there is anything to count.
    fn show_counters(&self) {
        if let Self::Both(..) | Self::Gateway(_) = self {
            for name in gateway::COUNTERS {
                host::counter(name);
            }
        }
        let show = |seat: &ProviderSeat| host::counter(&provider::refusals(&seat.name));
        match self {
            Self::Both(_, seats) => seats.values().for_each(|(seat, _)| _ = show(seat)),
            Self::Provider { seat, .. } => _ = show(seat),
            Self::Gateway(_) => {}
        }
    }

    /// The policy, if this seat has one that fetches keys.
    fn fetching_policy(&self) -> Option<&Rc<Policy>> {
        match self {
            Self::Both(policy, _) | Self::Gateway(policy) => Some(policy).filter(|p| p.has_remote_keys()),
            Self::Provider { .. } => None,
        }
    }

    /// The calls for the access tokens that this seat presents.
    fn token_calls(&self) -> Option<TokenCalls> {
        let fetched = |(seat, credentials): (&Rc<ProviderSeat>, &Rc<Credentials>)| {
            Some((Rc::clone(&seat.name), Rc::clone(credentials.fetched.as_ref()?)))
        };
        TokenCalls::new(match self {
            Self::Both(_, seats) => seats
                .values()
                .filter_map(|(seat, credentials)| fetched((seat, credentials)))
                .collect(),
            Self::Provider { seat, credentials } => fetched((seat, credentials)).into_iter().collect(),
            Self::Gateway(_) => Vec::new(),
        })
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, id: u32, header_count: usize, body_size: usize, _trailers: usize) {
        if let Some(calls) = self.key_calls.as_mut() {
            calls.on_answer(id, header_count, body_size);
        }
        if let Some(calls) = self.token_calls.as_mut() {
            calls.on_answer(id, header_count, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = host::configuration(size);
        match Self::configure(&text) {
            Ok(seat) => {
                seat.show_counters();
                let policy = seat.fetching_policy();
                self.key_calls = policy.map(|policy| KeyCalls::new(self.context, Rc::clone(policy)));
                self.token_calls = seat.token_calls();
                self.seat = Some(seat);
                true
            }
            Err(errors) => {
                for error in errors {
                    log::error!("tollgate configuration: {error}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(calls) = self.key_calls.as_mut() {
            calls.on_tick();
        }
        if let Some(calls) = self.token_calls.as_mut() {
            calls.on_tick();
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        let may_wait = self.key_calls.is_some();
        Some(match self.seat.as_ref()? {
            Seat::Both(policy, seats) => {
                let filter = BothFilter::new(Rc::clone(policy), Rc::clone(seats));
                reachable(context, filter, may_wait)
            }
            Seat::Gateway(policy) => reachable(context, GatewayFilter::new(Rc::clone(policy)), may_wait),
            Seat::Provider { seat, credentials } => {
                Box::new(ProviderFilter::new(Rc::clone(seat), Rc::clone(credentials), true))
            }
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
