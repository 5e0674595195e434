// SPDX-License-Identifier: Apache-2.0

//! Edits of JSON that leave every byte alone that they need not touch.

use crate::api_error::ApiError;
use crate::protocol::json_object::{Editor, Object, quote, unescape};
use serde_json::value::RawValue;

/// The body of a request.
///
/// # Errors
///
/// A body that is no JSON object.
pub(super) fn object_of(body: &[u8]) -> Result<Object<'_>, ApiError> {
    let text = simdutf8::basic::from_utf8(body)
        .map_err(|_| ApiError::bad_request(None, "expected UTF-8, found an invalid byte"))?;
    Object::parse(text)
        .map_err(|_| ApiError::bad_request(None, "expected a JSON object, found something else"))
}

/// Gives the model the name that its provider knows.
pub(super) fn name_model(object: &Object<'_>, editor: &mut Editor<'_, '_>, upstream_model: &str) {
    if !is_string(object.get("model"), upstream_model) {
        editor.set("model", quote(upstream_model));
    }
}

/// Writes the edited object, which is `body` byte for byte if nothing was edited.
pub(super) fn write(editor: Editor<'_, '_>, body: &[u8], out: &mut Vec<u8>) {
    if editor.is_unchanged() {
        out.extend_from_slice(body);
    } else {
        out.reserve(body.len());
        editor.write(out);
    }
}

/// An array with every element passed through `edit`.
pub(super) fn each(array: &str, mut edit: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    let mut out = String::with_capacity(array.len());
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match edit(item.get()) {
            Some(edited) => out.push_str(&edited),
            None => out.push_str(item.get()),
        }
    }
    out.push(']');
    Some(out)
}

/// The edited object as text.
pub(super) fn written(editor: Editor<'_, '_>) -> Option<String> {
    let mut out = Vec::new();
    editor.write(&mut out);
    String::from_utf8(out).ok()
}

/// An array with its elements edited; `None` if none changes.
pub(super) fn elements(array: &str, mut edit: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut is_changed = false;
    let edited = each(array, |text| {
        let edited = edit(text);
        is_changed |= edited.is_some();
        edited
    })?;
    is_changed.then_some(edited)
}

/// The edited object as text; `None` if nothing changes.
pub(super) fn changed(editor: Editor<'_, '_>) -> Option<String> {
    if editor.is_unchanged() {
        None
    } else {
        written(editor)
    }
}

/// Moves the value of `from` to `to`; a null is removed and leaves `to` alone.
pub(super) fn move_member<'o>(object: &'o Object<'_>, editor: &mut Editor<'o, '_>, from: &str, to: &'o str) {
    match object.get(from) {
        None => {}
        Some("null") => editor.remove(from),
        Some(_) => {
            editor.remove(to);
            editor.rename(from, to);
        }
    }
}

/// Whether a JSON value is the given string.
fn is_string(json: Option<&str>, text: &str) -> bool {
    json.and_then(|json| unescape(json).ok())
        .is_some_and(|found| found == text)
}
