// SPDX-License-Identifier: Apache-2.0

//! `usage.cost`: what an answer costs in USD, in the usage that the client gets anyhow.
//!
//! The member is OpenRouter's (<https://openrouter.ai/docs/use-cases/usage-accounting>), and the amount is the
//! gateway's, by the prices that it knows: where the provider has said one of its own, it is replaced.

use crate::protocol::json_object::{Editor, Object};

/// Adds the cost to the `usage` of a whole answer or of a chunk. `None` if it has none.
pub fn with_cost(json: &str, usd: &str) -> Option<Vec<u8>> {
    let object = Object::parse(json).ok()?;
    let usage = Object::parse(object.get("usage")?).ok()?;
    let mut editor = Editor::new(&usage);
    editor.set("cost", usd);
    let mut priced = Vec::new();
    editor.write(&mut priced);
    let mut editor = Editor::new(&object);
    editor.set("usage", String::from_utf8(priced).ok()?);
    let mut out = Vec::with_capacity(json.len().saturating_add(32));
    editor.write(&mut out);
    Some(out)
}

/// Adds the cost to the usage chunk among events that are about to leave, from `start` on.
pub fn add_cost_to_events(out: &mut Vec<u8>, start: usize, usd: &str) {
    let events = out.get(start..).unwrap_or_default();
    if memchr::memmem::find(events, b"\"usage\"").is_none() {
        return;
    }
    let events = out.split_off(start);
    for line in events.split_inclusive(|byte| *byte == b'\n') {
        let data = line
            .strip_prefix(b"data: ")
            .and_then(|data| str::from_utf8(data).ok())
            .and_then(|data| with_cost(data.trim_end(), usd));
        match data {
            Some(data) => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&data);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{add_cost_to_events, with_cost};

    #[crate::test]
    fn the_cost_stands_in_the_usage() {
        let check = |json: &str, expected: Option<&str>| {
            let found = with_cost(json, "0.002").map(|json| String::from_utf8(json).unwrap());
            assert_eq!(found.as_deref(), expected, "{json}");
        };
        check(
            r#"{"id":"a","usage":{"total_tokens":3}}"#,
            Some(r#"{"id":"a","usage":{"total_tokens":3,"cost":0.002}}"#),
        );
        check(r#"{"usage":{"cost":9}}"#, Some(r#"{"usage":{"cost":0.002}}"#));
        for json in [r#"{"usage":null}"#, "{}", "[DONE]", ""] {
            check(json, None);
        }
    }

    #[crate::test]
    fn only_the_usage_chunk_of_a_stream_changes() {
        let before = "data: {\"usage\":{\"a\":1}}\n\n";
        let events = concat!(
            ": ping\n\ndata: {\"choices\":[],\"usage\":null}\n\n",
            "data: {\"choices\":[],\"usage\":{\"a\":1}}\n\ndata: [DONE]\n\n"
        );
        let mut out = [before, events].concat().into_bytes();
        add_cost_to_events(&mut out, before.len(), "1");
        let expected = events.replace(r#"{"a":1}"#, r#"{"a":1,"cost":1}"#);
        assert_eq!(String::from_utf8(out).unwrap(), [before, &expected].concat());
    }
}
