// SPDX-License-Identifier: Apache-2.0

//! Which credential an attempt presents: the caller's own, its team's, or the gateway's.

use super::access_token::AccessToken;
use crate::clock::Timestamp;
use crate::handoff::{CredentialOwner, Handoff};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// The credentials that the gateway has for one provider.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The gateway's own; `None`: none is sent.
    pub own: Option<Rc<str>>,
    /// Those of teams. A team whose credential is configured and missing has `None`, so that nobody else pays.
    pub teams: BTreeMap<String, Option<Rc<str>>>,
    /// The gateway's own, if it is an access token that comes and goes.
    pub fetched: Option<Rc<RefCell<AccessToken>>>,
}

impl Credentials {
    /// These with the access token of this moment, if there is one to be fetched.
    #[must_use]
    pub fn current(self: &Rc<Self>, now: impl FnOnce() -> Timestamp) -> Rc<Self> {
        let Some(fetched) = &self.fetched else {
            return Rc::clone(self);
        };
        let own = fetched.try_borrow().ok();
        let own = own.and_then(|fetched| fetched.current(now()));
        Rc::new(Self {
            own,
            ..(**self).clone()
        })
    }

    /// The credential to present to `provider`, and whose it is; `None` if it is an access token that has not come.
    pub(super) fn choose(
        &self,
        handoff: Option<&Handoff>,
        provider: &str,
    ) -> Option<(Option<Rc<str>>, CredentialOwner)> {
        if let Some(brought) = handoff.and_then(|handoff| handoff.brought_credential(provider)) {
            return Some((Some(brought.into()), CredentialOwner::Caller));
        }
        let team = handoff
            .and_then(|handoff| handoff.team.as_ref())
            .and_then(|team| self.teams.get(team));
        match team {
            Some(credential) => Some((credential.clone(), CredentialOwner::Team)),
            None if self.own.is_none() && self.fetched.is_some() => None,
            None => Some((self.own.clone(), CredentialOwner::Gateway)),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let teams: Vec<_> = self.teams.keys().collect();
        write!(
            f,
            "Credentials {{ own: {}, teams: {teams:?} }}",
            self.own.is_some()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[crate::test]
    fn credentials_cannot_be_printed() {
        let credentials = Credentials {
            own: Some("sk-own".into()),
            teams: [("search".to_owned(), Some("sk-team".into()))]
                .into_iter()
                .collect(),
            fetched: None,
        };
        assert_eq!(
            format!("{credentials:?}"),
            r#"Credentials { own: true, teams: ["search"] }"#
        );
    }
}
