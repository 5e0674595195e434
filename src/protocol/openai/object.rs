// SPDX-License-Identifier: Apache-2.0

//! Borrowed JSON objects that remember the members they do not know.
//!
//! A translator must report every member that it leaves out, so unknown members are kept, as raw JSON. Serde's
//! `flatten` would do the same by buffering the whole object first, which copies every string of a prompt; the
//! [`object!`] macro writes the visitor by hand instead and borrows throughout. An explicit `null` counts as
//! absent, in known and unknown members alike. A repeated key keeps its last value.

use serde::Deserialize;
use std::borrow::Cow;

/// A JSON string, borrowed from the body unless it holds escapes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl core::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Declares a borrowed object type: every member optional, unknown members in `rest`.
macro_rules! object {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$field_meta:meta])* $field:ident: $type:ty = $key:literal, )* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $name<'a> {
            $( $(#[$field_meta])* pub $field: Option<$type>, )*
            /// Members that this type does not know, in order, without those that are `null`.
            pub rest: Vec<(Text<'a>, &'a RawValue)>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members<'a>(PhantomData<&'a ()>);

                impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<Text<'a>>()? {
                            match &*key {
                                $( $key => object.$field = map.next_value()?, )*
                                _ => {
                                    let value: &'a RawValue = map.next_value()?;
                                    if value.get() != "null" {
                                        object.rest.push((key, value));
                                    }
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(Members(PhantomData))
            }
        }
    };
}

pub(super) use object;
