// SPDX-License-Identifier: Apache-2.0

//! What has no counterpart: reported, or refused.
//!
//! A report names fields in the answer's header, so it is kept short: a member of many messages is named once,
//! without its index (`messages[].name`), names that are no plain identifiers are not repeated, and the list is
//! bounded. A refusal names the exact place.

use super::dropped::{Dropped, plain_name};
use crate::api_error::ApiError;
use crate::config::OnUnsupported;
use crate::protocol::openai::Text;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Where in the request a member stands, for naming it. Nothing is spelt until there is something to say.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The array, for example `messages`, and the index in it; `None` at the top.
    element: Option<(&'static str, usize)>,
    /// What stands between the element and the member, for example `function`.
    inner: &'static str,
    /// The index in it, if that is an array.
    inner_index: Option<usize>,
}

impl Place {
    /// The request itself.
    pub(super) const TOP: Self = Self {
        element: None,
        inner: "",
        inner_index: None,
    };

    /// An element of one of the request's arrays.
    pub(super) const fn element(array: &'static str, index: usize) -> Self {
        Self {
            element: Some((array, index)),
            inner: "",
            inner_index: None,
        }
    }

    /// An object in the element.
    pub(super) const fn object(self, inner: &'static str) -> Self {
        Self { inner, ..self }
    }

    /// An element of an array in the element.
    pub(super) const fn item(self, inner: &'static str, index: usize) -> Self {
        Self {
            inner,
            inner_index: Some(index),
            ..self
        }
    }

    /// The exact path of a member.
    pub(super) fn path(self, member: &str) -> String {
        self.spell(member, |index| format!("[{index}]"))
    }

    /// The path without indices.
    fn general_path(self, member: &str) -> String {
        self.spell(member, |_| "[]".to_owned())
    }

    fn spell(self, member: &str, bracket: impl Fn(usize) -> String) -> String {
        let mut path = String::new();
        if let Some((array, index)) = self.element {
            path.push_str(array);
            path.push_str(&bracket(index));
            path.push('.');
        }
        if !self.inner.is_empty() {
            path.push_str(self.inner);
            path.push_str(&self.inner_index.map(bracket).unwrap_or_default());
            path.push('.');
        }
        path.push_str(member);
        path
    }
}

/// Collects what is left out, or refuses it.
pub(super) struct Report {
    on_unsupported: OnUnsupported,
    dropped: Dropped,
    approximated: Dropped,
}

impl Report {
    pub(super) fn new(on_unsupported: OnUnsupported) -> Self {
        Self {
            on_unsupported,
            dropped: Dropped::default(),
            approximated: Dropped::default(),
        }
    }

    /// A top-level field is left out, or not kept exactly.
    pub(super) fn drop_field(&mut self, field: &'static str) -> Result<(), ApiError> {
        self.add(field.into(), || field.to_owned())
    }

    /// A member is left out.
    pub(super) fn drop_member(&mut self, place: Place, member: &str) -> Result<(), ApiError> {
        let member = plain_name(member);
        self.add(place.general_path(member).into(), || place.path(member))
    }

    /// A member that an answer came with is left out of the message that the answer has become: told, but never a
    /// reason to refuse.
    pub(super) fn drop_told(&mut self, place: Place, member: &str) {
        self.dropped.add(place.general_path(member).into());
    }

    /// Members that no type knows are left out.
    pub(super) fn drop_rest(&mut self, place: Place, rest: &[(Text<'_>, &RawValue)]) -> Result<(), ApiError> {
        rest.iter()
            .filter(|(name, value)| !is_meaningless(name, value.get()))
            .try_for_each(|(name, _)| self.drop_member(place, name))
    }

    /// A top-level field is served in the provider's own, not quite equal way: told, but no reason to refuse.
    pub(super) fn approximate_field(&mut self, field: &'static str) {
        self.approximated.add(field.into());
    }

    /// A member is served in the provider's own, not quite equal way.
    pub(super) fn approximate_member(&mut self, place: Place, member: &str) {
        self.approximated.add(place.general_path(member).into());
    }

    /// What was left out, and what was served in another way.
    pub(super) fn into_parts(self) -> (Vec<Cow<'static, str>>, Vec<Cow<'static, str>>) {
        (self.dropped.into_paths(), self.approximated.into_paths())
    }

    fn add(&mut self, name: Cow<'static, str>, path: impl FnOnce() -> String) -> Result<(), ApiError> {
        if self.on_unsupported == OnUnsupported::Reject {
            return Err(unsupported(path()));
        }
        self.dropped.add(name);
        Ok(())
    }
}

/// The refusal of a field, named by its exact path.
pub(super) fn unsupported(path: String) -> ApiError {
    let message = format!("The provider of this model has no counterpart for `{path}`.");
    ApiError::bad_request(None, message)
        .with_param(path)
        .with_code("unsupported_parameter")
}

/// A member that must be there is not.
pub(super) fn missing(path: String, expected: &str) -> ApiError {
    ApiError::bad_request(None, format!("{path}: expected {expected}, found nothing")).with_param(path)
}

/// A member is there, but not as it must be.
pub(super) fn wrong(path: String, expected: &str) -> ApiError {
    ApiError::bad_request(None, format!("{path}: expected {expected}")).with_param(path)
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

    const SECOND: Place = Place::element("messages", 1);

    #[crate::test]
    fn a_report_names_a_repeated_member_once_and_never_an_odd_name() {
        let mut report = Report::new(OnUnsupported::Drop);
        report.drop_member(SECOND, "name").unwrap();
        report.drop_member(Place::element("messages", 2), "name").unwrap();
        report.drop_member(SECOND, "a\r\nset-cookie: b").unwrap();
        assert_eq!(report.into_parts().0, ["messages[].name", "messages[].(other)"]);
    }

    #[crate::test]
    fn a_refusal_names_the_exact_place() {
        let mut report = Report::new(OnUnsupported::Reject);
        let error = report.drop_member(SECOND, "name").unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[1].name"));
        assert_eq!(
            SECOND.item("content", 3).path("text"),
            "messages[1].content[3].text"
        );
        assert_eq!(error.code.as_deref(), Some("unsupported_parameter"));
    }

    #[crate::test]
    fn what_is_not_quite_equal_is_told_apart_and_never_refused() {
        let mut report = Report::new(OnUnsupported::Reject);
        report.approximate_field("reasoning_effort");
        report.approximate_member(SECOND, "content");
        let (dropped, approximated) = report.into_parts();
        assert!(dropped.is_empty());
        assert_eq!(approximated, ["reasoning_effort", "messages[].content"]);
    }

    #[crate::test]
    fn what_answers_tell_is_never_refused() {
        let mut report = Report::new(OnUnsupported::Reject);
        report.drop_told(SECOND, "citations");
        assert_eq!(report.into_parts().0, ["messages[].citations"]);
    }

    #[crate::test]
    fn a_report_is_bounded() {
        let mut report = Report::new(OnUnsupported::Drop);
        for number in 0..1000 {
            report.drop_member(SECOND, &number.to_string()).unwrap();
        }
        let dropped = report.into_parts().0;
        assert_eq!((dropped.len(), &*dropped[48]), (49, "(more)"));
    }
}
