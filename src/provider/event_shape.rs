// SPDX-License-Identifier: Apache-2.0

//! The shape of a stream's latest event of text, by which the next one is known without being parsed.
//!
//! The events of a stream that say a word each are alike but for the word, and for OpenAI's `obfuscation`, a
//! padding against guessing words by the size of their packets. An event whose bytes equal those of the latest one
//! up to the quotes of these strings, and have sound strings in their place, therefore means what that one meant,
//! with another word. Comparing costs a fraction of parsing. Whatever differs is parsed, a word with an escape too.

use memchr::memchr2;

/// A longer event is not remembered.
const MOST_BYTES: usize = 4 * 1024;

const PADDING: &[u8] = br#""obfuscation":""#;

/// What an event of text holds beside the text. Empty until one is remembered: then it fits nothing.
#[derive(Debug, Default)]
pub(super) struct EventShape {
    /// From the event's begin up to and with the quote before the text.
    before: Vec<u8>,
    /// From the quote after the text to the event's end, or up to and with the quote before the padding.
    after: Vec<u8>,
    /// From the quote after the padding to the event's end; empty if there is no padding.
    end: Vec<u8>,
}

impl EventShape {
    /// Remembers an event. `text` is the one JSON string in it that is passed on, with its quotes, and a slice of
    /// `event`.
    pub(super) fn remember(&mut self, event: &[u8], text: &str) {
        let Some((before, after)) = around(event, text) else {
            return;
        };
        let (after, end) = match memchr::memmem::find(after, PADDING) {
            Some(at) => {
                let (after, padded) = after.split_at(at.saturating_add(PADDING.len()).min(after.len()));
                match string(padded) {
                    Some((_, end)) => (after, end),
                    None => return,
                }
            }
            None => (after, &[] as &[u8]),
        };
        for (kept, new) in [
            (&mut self.before, before),
            (&mut self.after, after),
            (&mut self.end, end),
        ] {
            kept.clear();
            kept.extend_from_slice(new);
        }
    }

    /// The inside of the text's quotes, if the event has the shape that was remembered.
    pub(super) fn text_of<'a>(&self, event: &'a [u8]) -> Option<&'a str> {
        if self.before.is_empty() {
            return None;
        }
        let (text, rest) = string(event.strip_prefix(self.before.as_slice())?)?;
        let rest = rest.strip_prefix(self.after.as_slice())?;
        let rest = if self.end.is_empty() {
            rest
        } else {
            let (_, rest) = string(rest)?;
            rest.strip_prefix(self.end.as_slice())?
        };
        rest.is_empty().then_some(text)
    }
}

/// The event before the text, its first quote included, and from its last quote on.
fn around<'a>(event: &'a [u8], text: &str) -> Option<(&'a [u8], &'a [u8])> {
    if event.len() > MOST_BYTES || text.len() < 2 {
        return None;
    }
    // Where the text lies within the event. One that lies elsewhere is out of bounds, or no text is found there.
    let start = (text.as_ptr() as usize).checked_sub(event.as_ptr() as usize)?;
    let end = start.checked_add(text.len())?;
    if event.get(start..end)? != text.as_bytes() || !text.starts_with('"') {
        return None;
    }
    Some((
        event.get(..start.saturating_add(1))?,
        event.get(end.saturating_sub(1)..)?,
    ))
}

/// The inside of a string that has begun, and its closing quote with what follows. `None` if it has an escape or is
/// no JSON.
fn string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (inside, rest) = bytes.split_at_checked(memchr2(b'"', b'\\', bytes)?)?;
    let is_closed = rest.first() == Some(&b'"');
    let has_control = inside.iter().any(|byte| *byte < b' ');
    if !is_closed || has_control {
        return None;
    }
    Some((simdutf8::basic::from_utf8(inside).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::EventShape;

    const PLAIN: &str = r#"{"id":"c","delta":{"content":"Hello"},"finish_reason":null}"#;
    const PADDED: &str = r#"{"id":"c","delta":{"content":"Hello"},"obfuscation":"x1","usage":null}"#;

    fn shape(event: &str) -> EventShape {
        let mut shape = EventShape::default();
        let start = event.find("\"Hello\"").unwrap();
        shape.remember(event.as_bytes(), &event[start..start + 7]);
        shape
    }

    #[crate::test]
    fn an_event_that_differs_in_its_text_alone_is_known() {
        for (event, padding) in [(PLAIN, "x1"), (PADDED, "longer than before"), (PADDED, "")] {
            let shape = shape(event);
            for text in ["Hello", "", " w\u{f6}rld \u{1f30d}", "}},{"] {
                let next = event.replace("Hello", text).replace("x1", padding);
                assert_eq!(shape.text_of(next.as_bytes()), Some(text), "{next}");
            }
        }
    }

    #[crate::test]
    fn whatever_else_differs_is_not_known() {
        for event in [PLAIN, PADDED] {
            let shape = shape(event);
            for (old, new) in [
                ("null", "\"stop\""),
                ("\"c\"", "\"d\""),
                ("\"c\",", "\"c\", "),
                ("Hello", "a\\n"),
                ("Hello", "a\nb"),
                ("Hello", "a\",\"refusal\":\"b"),
                ("Hello\"", "Hello"),
                ("null}", "null} "),
                ("null}", "null"),
            ] {
                let next = event.replacen(old, new, 1);
                assert_ne!(next, event);
                assert_eq!(shape.text_of(next.as_bytes()), None, "{next}");
            }
            for cut in 0..event.len() {
                assert_eq!(shape.text_of(&event.as_bytes()[..cut]), None, "{cut}");
            }
            let (before, after) = event.split_once("Hello").unwrap();
            let foreign = [before.as_bytes(), b"\xff\xfe", after.as_bytes()].concat();
            assert_eq!(shape.text_of(&foreign), None);
        }
        assert_eq!(EventShape::default().text_of(b""), None);
        assert_eq!(
            shape(PADDED).text_of(PADDED.replace("x1", "x\\").as_bytes()),
            None
        );
    }

    #[crate::test]
    fn what_is_not_within_the_event_is_not_remembered() {
        let mut shape = EventShape::default();
        shape.remember(PLAIN.as_bytes(), "\"Hello\"");
        shape.remember(PLAIN.as_bytes(), "");
        let long = PLAIN.replace("\"c\"", &format!("\"{}\"", "c".repeat(5_000)));
        let start = long.find("\"Hello\"").unwrap();
        shape.remember(long.as_bytes(), &long[start..start + 7]);
        assert_eq!(shape.text_of(PLAIN.as_bytes()), None);
        assert_eq!(shape.text_of(long.as_bytes()), None);
    }
}
