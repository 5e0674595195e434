// SPDX-License-Identifier: Apache-2.0

//! YAML out, in the order in which it was built.
//!
//! A small writer of our own, because what it writes is read by people and compared byte for byte: keys keep
//! their order, whatever fits into a line is written in flow style, text of several lines as a literal block, and
//! everything that could be taken for something else is quoted.

use core::fmt::Write;

/// A node.
#[derive(Clone, Debug)]
pub(super) enum Yaml {
    /// A mapping, in order.
    Map(Vec<(String, Self)>),
    /// A list.
    List(Vec<Self>),
    /// Text, quoted where it must be.
    Text(String),
    /// A number or a boolean.
    Bare(String),
}

/// Beyond this width a collection is written as a block.
const FLOW_WIDTH: usize = 88;

/// A mapping.
pub(super) fn map<const N: usize>(entries: [(&str, Yaml); N]) -> Yaml {
    Yaml::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// A mapping with its protobuf type.
pub(super) fn typed<const N: usize>(name: &str, entries: [(&str, Yaml); N]) -> Yaml {
    let mut all = vec![("@type".to_owned(), format!("type.googleapis.com/{name}").into())];
    all.extend(entries.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Yaml::Map(all)
}

/// An extension: a name and a typed configuration.
pub(super) fn extension(name: &str, config: Yaml) -> Yaml {
    map([("name", name.into()), ("typed_config", config)])
}

impl Yaml {
    /// Appends an entry to a mapping.
    pub(super) fn with(mut self, key: &str, value: impl Into<Self>) -> Self {
        if let Self::Map(entries) = &mut self {
            entries.push((key.to_owned(), value.into()));
        }
        self
    }

    /// The document's text.
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        self.block(0, &mut out);
        out
    }

    /// Writes the lines of a block; the cursor is at the beginning of a line.
    fn block(&self, indent: usize, out: &mut String) {
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    pad(indent, out);
                    out.push_str(&scalar(key));
                    out.push(':');
                    value.after_key(indent, out);
                }
            }
            Self::List(items) => {
                for item in items {
                    pad(indent, out);
                    out.push('-');
                    match item {
                        Self::Map(_) if item.in_flow(indent).is_none() => {
                            // The first key stands beside the dash.
                            let mut text = String::new();
                            item.block(indent.saturating_add(2), &mut text);
                            out.push(' ');
                            out.push_str(text.trim_start());
                        }
                        _ => item.after_key(indent, out),
                    }
                }
            }
            Self::Text(_) | Self::Bare(_) => self.after_key(indent, out),
        }
    }

    /// Writes a value behind `key:` or `-`, with its line ending.
    fn after_key(&self, indent: usize, out: &mut String) {
        if let Some(flow) = self.in_flow(indent) {
            out.push(' ');
            out.push_str(&flow);
            out.push('\n');
            return;
        }
        if let Self::Text(text) = self {
            out.push_str(" |-\n");
            for line in text.lines() {
                pad(indent.saturating_add(2), out);
                out.push_str(line);
                out.push('\n');
            }
            return;
        }
        out.push('\n');
        // Lists stand at their key's own indentation, as Envoy's documentation writes them.
        let deeper = if matches!(self, Self::List(_)) {
            indent
        } else {
            indent.saturating_add(2)
        };
        self.block(deeper, out);
    }

    fn in_flow(&self, indent: usize) -> Option<String> {
        let text = self.flow()?;
        let is_scalar = matches!(self, Self::Text(_) | Self::Bare(_));
        (is_scalar || text.len().saturating_add(indent) <= FLOW_WIDTH).then_some(text)
    }

    fn flow(&self) -> Option<String> {
        match self {
            Self::Bare(text) => Some(text.clone()),
            Self::Text(text) if text.contains('\n') => None,
            Self::Text(text) => Some(scalar(text)),
            Self::List(items) => {
                let items: Option<Vec<_>> = items.iter().map(Self::flow).collect();
                Some(format!("[{}]", items?.join(", ")))
            }
            Self::Map(entries) => {
                let entries: Option<Vec<_>> = entries
                    .iter()
                    .map(|(key, value)| Some(format!("{}: {}", scalar(key), value.flow()?)))
                    .collect();
                Some(format!("{{{}}}", entries?.join(", ")))
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{:indent$}", "");
}

/// A scalar, quoted unless it can only be read as the text that it is.
fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    let is_duration = text
        .strip_suffix('s')
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    if is_word || is_duration {
        text.to_owned()
    } else {
        // A JSON string is a double-quoted YAML scalar.
        serde_json::Value::from(text).to_string()
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Yaml {
    fn from(number: u32) -> Self {
        Self::Bare(number.to_string())
    }
}

impl From<bool> for Yaml {
    fn from(is: bool) -> Self {
        Self::Bare(is.to_string())
    }
}

impl From<Vec<Self>> for Yaml {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

impl From<core::time::Duration> for Yaml {
    /// Protobuf's JSON form of a duration.
    fn from(duration: core::time::Duration) -> Self {
        let (secs, millis) = (duration.as_secs(), duration.subsec_millis());
        Self::Text(if millis == 0 {
            format!("{secs}s")
        } else {
            format!("{secs}.{millis:03}s")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Yaml, map};
    use crate::command::source::Source;
    use core::time::Duration;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        let odd = [
            "", "yes", "5", "a: b", "# no", "- x", "null", "é\u{7}", "{}", "1.5", "'", "\"", "/a b", "*x",
            "5s",
        ];
        let long = "x".repeat(200);
        let lines = "{\n  \"a\": \"b: # c\"\n}";
        let node = map([
            (
                "odd",
                odd.iter()
                    .map(|text| Yaml::from(*text))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            (
                "list",
                vec![map([
                    ("a", long.as_str().into()),
                    ("b", vec![map([("c", lines.into())])].into()),
                ])]
                .into(),
            ),
            ("on", true.into()),
            ("period", Duration::from_millis(1500).into()),
        ]);
        let source = Source::parse(&node.to_text()).unwrap();
        assert_eq!(
            source.tree,
            json!({"odd": odd, "list": [{"a": long, "b": [{"c": lines}]}], "on": true, "period": "1.500s"})
        );
    }
}
