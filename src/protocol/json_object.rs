// SPDX-License-Identifier: Apache-2.0

//! A JSON object as its members' places in the text, and edits that leave every other byte as it was.
//!
//! The passthrough translators change a field or two of a request or a chunk. Parsing and writing the whole
//! value again would reorder keys, respell numbers and cost a tree; cutting at the members' spans does not.
//! [`Object`] reads one level only: values are validated as JSON and otherwise left alone. Linear in the text.

use core::fmt;
use core::ops::Range;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The member in the text, from the key's opening quote to the end of its value.
    pub member: Range<usize>,
    /// The value in the text.
    pub span: Range<usize>,
}

/// An object and where its members stand. All spans refer to [`Object::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// The text that was read, white space around the object included.
    pub text: &'a str,
    /// The members, in order. A key may come more than once.
    pub fields: Vec<Field<'a>>,
}

impl<'a> Object<'a> {
    /// Reads an object that fills `text`.
    ///
    /// # Errors
    ///
    /// Text that is not one JSON object.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = Fields {
            base: text.as_ptr().addr(),
        }
        .deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(Self { text, fields })
    }

    /// The value of `key` as JSON text; of the last one, if the key is repeated.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let field = self.fields.iter().rev().find(|field| field.key == key)?;
        self.value(field)
    }

    /// The value of one of this object's fields, as JSON text.
    #[must_use]
    pub fn value(&self, field: &Field<'_>) -> Option<&'a str> {
        self.text.get(field.span.clone())
    }

    /// A key that comes more than once, if there is one.
    #[must_use]
    pub fn repeated_key(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.fields.iter().map(|field| &*field.key).collect();
        keys.sort_unstable();
        let mut pairs = keys.iter().zip(keys.iter().skip(1));
        pairs.find(|(one, next)| one == next).map(|(one, _)| *one)
    }
}

struct Fields {
    base: usize,
}

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Vec<Field<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<Field<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        // Borrowed raw values point into the text, so their addresses tell their places.
        let place = |raw: &RawValue| {
            let start = raw.get().as_ptr().addr().saturating_sub(self.base);
            start..start.saturating_add(raw.get().len())
        };
        while let Some(key) = map.next_key::<&RawValue>()? {
            let value: &RawValue = map.next_value()?;
            let span = place(value);
            fields.push(Field {
                key: unescape(key.get()).map_err(A::Error::custom)?,
                member: place(key).start..span.end,
                span,
            });
        }
        Ok(fields)
    }
}

/// The content of a JSON string, borrowed if it holds no escapes.
///
/// # Errors
///
/// Text that is not a JSON string.
pub fn unescape(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains(['\\', '"']) => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(text).map(Cow::Owned),
    }
}

/// What a JSON value is, for an error message: never its content.
#[must_use]
pub fn kind_of(text: &str) -> &'static str {
    match text.trim_start().bytes().next() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-') => "a negative number",
        Some(_) => "a number",
        None => "nothing",
    }
}

/// A JSON string literal.
#[must_use]
pub fn quote(text: &str) -> String {
    // Serialising a string cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// Changes to an object's members, applied by [`Editor::write`].
pub struct Editor<'o, 'a> {
    object: &'o Object<'a>,
    /// By field index; an edit of a field that is edited already replaces the edit.
    edits: Vec<(usize, Edit<'o>)>,
    appended: Vec<(&'o str, Cow<'o, str>)>,
}

enum Edit<'o> {
    Replace(Cow<'o, str>),
    Rename(&'o str),
    Remove,
}

impl<'o, 'a> Editor<'o, 'a> {
    /// No changes yet.
    #[must_use]
    pub const fn new(object: &'o Object<'a>) -> Self {
        Self {
            object,
            edits: Vec::new(),
            appended: Vec::new(),
        }
    }

    /// Whether nothing was changed.
    #[must_use]
    pub const fn is_unchanged(&self) -> bool {
        self.edits.is_empty() && self.appended.is_empty()
    }

    /// Puts `json` in place of the values of `key`; appends the member if there is none.
    pub fn set(&mut self, key: &'o str, json: impl Into<Cow<'o, str>>) {
        let json = json.into();
        let mut is_present = false;
        for (index, field) in self.object.fields.iter().enumerate() {
            if field.key == key {
                is_present = true;
                self.edits.push((index, Edit::Replace(json.clone())));
            }
        }
        if !is_present {
            self.append(key, json);
        }
    }

    /// Removes the members of the given key, each with one comma.
    pub fn remove(&mut self, key: &str) {
        for (index, field) in self.object.fields.iter().enumerate() {
            if field.key == key {
                self.edits.push((index, Edit::Remove));
            }
        }
    }

    /// Removes the members that `keep` does not want, each with one comma. One pass, however many there are.
    pub fn retain(&mut self, mut keep: impl FnMut(&Field<'a>) -> bool) {
        for (index, field) in self.object.fields.iter().enumerate() {
            if !keep(field) {
                self.edits.push((index, Edit::Remove));
            }
        }
    }

    /// Gives the members of the key `from` another key.
    pub fn rename(&mut self, from: &str, to: &'o str) {
        for (index, field) in self.object.fields.iter().enumerate() {
            if field.key == from {
                self.edits.push((index, Edit::Rename(to)));
            }
        }
    }

    /// Adds a member at the end.
    pub fn append(&mut self, key: &'o str, json: impl Into<Cow<'o, str>>) {
        self.appended.push((key, json.into()));
    }

    /// Appends the edited text to `out`.
    pub fn write(mut self, out: &mut Vec<u8>) {
        let text = self.object.text;
        let bytes = |range: Range<usize>| text.as_bytes().get(range).unwrap_or_default();
        // Stable, so that of several edits of one field the last one counts.
        self.edits.sort_by_key(|(index, _)| *index);
        let mut edits = self.edits.into_iter().peekable();
        let open = text.find('{').map_or(0, |at| at + 1);
        let mut end = self
            .object
            .fields
            .first()
            .map_or(open, |field| field.member.start);
        out.extend_from_slice(bytes(0..end));
        let mut is_first = true;
        for (index, field) in self.object.fields.iter().enumerate() {
            let mut edit = None;
            while let Some((_, next)) = edits.next_if(|(edited, _)| *edited == index) {
                edit = Some(next);
            }
            let separator = end..field.member.start;
            end = field.member.end;
            if matches!(edit, Some(Edit::Remove)) {
                continue;
            }
            if !is_first {
                out.extend_from_slice(bytes(separator));
            }
            is_first = false;
            match edit {
                Some(Edit::Replace(json)) => {
                    out.extend_from_slice(bytes(field.member.start..field.span.start));
                    out.extend_from_slice(json.as_bytes());
                }
                Some(Edit::Rename(key)) => {
                    out.extend_from_slice(quote(key).as_bytes());
                    out.push(b':');
                    out.extend_from_slice(bytes(field.span.clone()));
                }
                _ => out.extend_from_slice(bytes(field.member.clone())),
            }
        }
        for (key, json) in self.appended {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            out.extend_from_slice(quote(key).as_bytes());
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        }
        // After a removal of every member the white space before them is left over, which is harmless.
        out.extend_from_slice(bytes(end..text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Editor, Object, kind_of, unescape};

    fn check(text: &str, edit: impl FnOnce(&mut Editor<'_, '_>), expected: &str) {
        let object = Object::parse(text).unwrap();
        let mut editor = Editor::new(&object);
        edit(&mut editor);
        let mut out = Vec::new();
        editor.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    const TEXT: &str = " { \"a\" : 1.0 ,\n\"b\":[{\"a\":2}], \"\\u0063\":null } ";

    #[crate::test]
    fn without_edits_every_byte_stays() {
        check(TEXT, |_| {}, TEXT);
        check("{}", |_| {}, "{}");
        check(" { } ", |_| {}, " { } ");
    }

    #[crate::test]
    fn members_are_kept_by_choice() {
        let keep = |e: &mut Editor<'_, '_>| e.retain(|field| field.key == "b");
        check(TEXT, keep, " { \"b\":[{\"a\":2}] } ");
        check(r#"{"a":1,"a":2,"b":3,"a":4}"#, keep, r#"{"b":3}"#);
    }

    #[crate::test]
    fn a_value_is_replaced_in_its_place() {
        check(
            TEXT,
            |e| e.set("a", "2"),
            " { \"a\" : 2 ,\n\"b\":[{\"a\":2}], \"\\u0063\":null } ",
        );
        check(
            TEXT,
            |e| e.set("c", "0"),
            " { \"a\" : 1.0 ,\n\"b\":[{\"a\":2}], \"\\u0063\":0 } ",
        );
        check(
            TEXT,
            |e| e.rename("b", "d"),
            " { \"a\" : 1.0 ,\n\"d\":[{\"a\":2}], \"\\u0063\":null } ",
        );
    }

    #[crate::test]
    fn a_member_goes_with_its_comma() {
        check(
            TEXT,
            |e| e.remove("a"),
            " { \"b\":[{\"a\":2}], \"\\u0063\":null } ",
        );
        check(TEXT, |e| e.remove("b"), " { \"a\" : 1.0, \"\\u0063\":null } ");
        check(TEXT, |e| e.remove("c"), " { \"a\" : 1.0 ,\n\"b\":[{\"a\":2}] } ");
        check("{\"a\":1,\"b\":2,\"a\":3}", |e| e.remove("a"), "{\"b\":2}");
        let all = |e: &mut Editor<'_, '_>| ["a", "b"].iter().for_each(|key| e.remove(key));
        check("{\"a\":1,\"b\":2}", all, "{}");
    }

    #[crate::test]
    fn a_member_is_appended_with_a_comma_where_one_is_needed() {
        check("{}", |e| e.set("x", "1"), "{\"x\":1}");
        check("{\"a\":1 }", |e| e.set("x", "1"), "{\"a\":1,\"x\":1 }");
        let swap = |e: &mut Editor<'_, '_>| {
            e.remove("a");
            e.append("x", "1");
            e.append("y", "2");
        };
        check("{\"a\":1}", swap, "{\"x\":1,\"y\":2}");
    }

    #[crate::test]
    fn the_last_edit_of_a_field_counts() {
        let twice = |e: &mut Editor<'_, '_>| {
            e.set("a", "1");
            e.set("a", "2");
        };
        check("{\"a\":0}", twice, "{\"a\":2}");
    }

    #[crate::test]
    fn only_one_whole_object_is_read() {
        for text in ["", "[]", "1", "{} x", "{\"a\":}", "{\"a\":1", "{\"\\ud800\":1}"] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
    }

    #[crate::test]
    fn repeated_keys_are_found_behind_escapes() {
        let object = Object::parse("{\"a\":1,\"b\":2,\"\\u0061\":3}").unwrap();
        assert_eq!(
            (object.repeated_key(), object.get("a"), object.get("x")),
            (Some("a"), Some("3"), None)
        );
        assert_eq!(Object::parse(TEXT).unwrap().repeated_key(), None);
    }

    #[crate::test]
    fn strings_are_unescaped_and_kinds_are_named() {
        assert_eq!(unescape(r#""a\nb""#).unwrap(), "a\nb");
        assert!(unescape("1").is_err());
        assert_eq!(
            [kind_of("-1"), kind_of(" {"), kind_of("false")],
            ["a negative number", "an object", "a boolean"]
        );
    }
}
