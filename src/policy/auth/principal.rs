// SPDX-License-Identifier: Apache-2.0

//! The caller, once recognised.

use std::collections::BTreeMap;

/// The consumer of a request that came without a credential, where that is allowed.
pub const ANONYMOUS: &str = "anonymous";

/// The label that holds the name of the issuer whose token the caller has sent.
pub(super) const ISSUER_LABEL: &str = "issuer";

/// An authenticated caller.
///
/// It says nothing of how the caller proved it: an API key and a JSON Web Token of the same consumer share
/// that consumer's permissions and limits, and so do tokens of two issuers that use the same name, unless rules and
/// limits tell them apart by the label [`ISSUER_LABEL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// Who calls: a person, a service, a key's owner.
    pub consumer: String,
    /// The consumer's team.
    pub team: Option<String>,
    /// Further facts that access rules and limits may use.
    pub labels: BTreeMap<String, String>,
    /// The models that the credential may be used for, as patterns; `None`: all that the principal may use.
    pub models: Option<Vec<String>>,
    /// The claims that access rules ask about, each with its values. Nothing is known of a claim that is not here: a rule
    /// that allows does not fit for it, and one that denies does.
    pub claims: BTreeMap<String, Vec<String>>,
}

impl Principal {
    /// Somebody of whom nothing is known.
    pub(super) fn anonymous() -> Self {
        Self {
            consumer: ANONYMOUS.to_owned(),
            ..Self::default()
        }
    }

    /// About how many bytes this takes on the heap, each text with its allocation.
    pub(super) fn heap_bytes(&self) -> usize {
        const PER_TEXT: usize = 40;
        let labels = self.labels.iter().flat_map(|(name, value)| [name, value]);
        [&self.consumer]
            .into_iter()
            .chain(&self.team)
            .chain(labels)
            .chain(self.models.iter().flatten())
            .chain(self.claims.keys())
            .chain(self.claims.values().flatten())
            .map(|text| text.capacity().saturating_add(PER_TEXT))
            .fold(size_of::<Self>(), usize::saturating_add)
    }
}
