// SPDX-License-Identifier: Apache-2.0

//! What has no counterpart: reported, or refused.
//!
//! A report names fields in the answer's header, so it is kept short: a member of many messages is named once,
//! without its index (`messages[].name`), names that are no plain identifiers are not repeated, and the list is
//! bounded. A refusal names the exact place.

use crate::api_error::ApiError;
use crate::config::OnUnsupported;
use crate::protocol::openai::Text;
use serde_json::value::RawValue;
use std::borrow::Cow;

const MAX_REPORTED: usize = 48;
const MAX_NAME_BYTES: usize = 64;

/// Where in the request a member stands, for naming it.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    /// The array's name, for example `messages`; empty at the top.
    pub(super) array: &'p str,
    /// The index in it.
    pub(super) index: usize,
    /// What stands between the element and the member, for example `content`.
    pub(super) inner: &'p str,
}

impl Place<'_> {
    /// The exact path of a member.
    pub(super) fn path(self, member: &str) -> String {
        self.spell(&format!("[{}]", self.index), member)
    }

    fn spell(self, index: &str, member: &str) -> String {
        if self.array.is_empty() {
            return member.to_owned();
        }
        let dot = if self.inner.is_empty() { "" } else { "." };
        let last = if member.is_empty() { "" } else { "." };
        format!("{}{index}{dot}{}{last}{member}", self.array, self.inner)
    }
}

/// Collects what is left out, or refuses it.
pub(super) struct Report {
    on_unsupported: OnUnsupported,
    dropped: Vec<Cow<'static, str>>,
}

impl Report {
    pub(super) const fn new(on_unsupported: OnUnsupported) -> Self {
        Self {
            on_unsupported,
            dropped: Vec::new(),
        }
    }

    /// A top-level field is left out, or not kept exactly.
    pub(super) fn drop_field(&mut self, field: &'static str) -> Result<(), ApiError> {
        self.add(field.into(), || field.to_owned())
    }

    /// A member is left out.
    pub(super) fn drop_member(&mut self, place: Place<'_>, member: &str) -> Result<(), ApiError> {
        let is_plain = member.len() <= MAX_NAME_BYTES
            && member
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
        let member = if is_plain { member } else { "(other)" };
        self.add(place.spell("[]", member).into(), || place.path(member))
    }

    /// Members that no type knows are left out.
    pub(super) fn drop_rest(
        &mut self,
        place: Place<'_>,
        rest: &[(Text<'_>, &RawValue)],
    ) -> Result<(), ApiError> {
        rest.iter()
            .filter(|(name, value)| !is_meaningless(name, value.get()))
            .try_for_each(|(name, _)| self.drop_member(place, name))
    }

    /// What was left out.
    pub(super) fn into_dropped(self) -> Vec<Cow<'static, str>> {
        self.dropped
    }

    fn add(&mut self, name: Cow<'static, str>, path: impl FnOnce() -> String) -> Result<(), ApiError> {
        if self.on_unsupported == OnUnsupported::Reject {
            return Err(unsupported(path()));
        }
        if self.dropped.contains(&name) {
            return Ok(());
        }
        match self.dropped.len() {
            MAX_REPORTED.. => {}
            MAX_REPORTED_LESS_ONE => self.dropped.push("(more)".into()),
            _ => self.dropped.push(name),
        }
        Ok(())
    }
}

const MAX_REPORTED_LESS_ONE: usize = MAX_REPORTED - 1;

/// The refusal of a field, named by its exact path.
pub(super) fn unsupported(path: String) -> ApiError {
    let message = format!("The provider of this model has no counterpart for `{path}`.");
    ApiError::bad_request(None, message)
        .with_param(path)
        .with_code("unsupported_parameter")
}

/// Whether a member says only what holds without it.
fn is_meaningless(name: &str, value: &str) -> bool {
    match name {
        "logprobs" | "store" | "include_obfuscation" => value == "false",
        "frequency_penalty" | "presence_penalty" => value.parse() == Ok(0.0),
        "top_logprobs" => value == "0",
        "logit_bias" => value == "{}",
        "annotations" => value == "[]",
        "modalities" => value == r#"["text"]"#,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Report};
    use crate::config::OnUnsupported;

    const SECOND: Place<'_> = Place {
        array: "messages",
        index: 1,
        inner: "",
    };

    #[crate::test]
    fn a_report_names_a_repeated_member_once_and_never_an_odd_name() {
        let mut report = Report::new(OnUnsupported::Drop);
        report.drop_member(SECOND, "name").unwrap();
        report.drop_member(Place { index: 2, ..SECOND }, "name").unwrap();
        report.drop_member(SECOND, "a\r\nset-cookie: b").unwrap();
        assert_eq!(report.into_dropped(), ["messages[].name", "messages[].(other)"]);
    }

    #[crate::test]
    fn a_refusal_names_the_exact_place() {
        let mut report = Report::new(OnUnsupported::Reject);
        let error = report.drop_member(SECOND, "name").unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[1].name"));
        assert_eq!(error.code.as_deref(), Some("unsupported_parameter"));
    }

    #[crate::test]
    fn a_report_is_bounded() {
        let mut report = Report::new(OnUnsupported::Drop);
        for number in 0..1000 {
            report.drop_member(SECOND, &number.to_string()).unwrap();
        }
        let dropped = report.into_dropped();
        assert_eq!((dropped.len(), &*dropped[47]), (48, "(more)"));
    }
}
