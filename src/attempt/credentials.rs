// SPDX-License-Identifier: Apache-2.0

//! Which credential an attempt presents: the caller's own, its team's, or the gateway's.

use crate::handoff::{CredentialOwner, Handoff};
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
}

impl Credentials {
    /// The credential to present to `provider`, and whose it is.
    pub(super) fn choose(&self, handoff: &Handoff, provider: &str) -> (Option<Rc<str>>, CredentialOwner) {
        if let Some(brought) = handoff.brought_credential(provider) {
            return (Some(brought.into()), CredentialOwner::Caller);
        }
        let team = handoff.team.as_ref().and_then(|team| self.teams.get(team));
        match team {
            Some(credential) => (credential.clone(), CredentialOwner::Team),
            None => (self.own.clone(), CredentialOwner::Gateway),
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
        };
        assert_eq!(
            format!("{credentials:?}"),
            r#"Credentials { own: true, teams: ["search"] }"#
        );
    }
}
