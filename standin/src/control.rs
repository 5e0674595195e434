// SPDX-License-Identifier: Apache-2.0

//! The control interface below `/__standin/`: faults in, records out.

use serde_json::{Value, json};

use crate::faults::{Faults, Rule};
use crate::record::Recorder;

/// Answers a control request with a status and a JSON body.
pub(crate) fn control(
    method: &str,
    action: &str,
    body: &[u8],
    faults: &mut Faults,
    recorder: &Recorder,
) -> (u16, Value) {
    match (method, action) {
        ("GET", "health") => (200, json!({"status": "ok"})),
        ("GET", "faults") => (200, json!(faults.rules())),
        ("POST", "faults") => match rules(body) {
            Ok(rules) => {
                rules.into_iter().for_each(|rule| faults.push(rule));
                (200, json!(faults.rules()))
            }
            Err(error) => (
                400,
                json!({"error": format!("expected a fault rule, found {error}")}),
            ),
        },
        ("POST", "reset") => {
            faults.reset();
            recorder.reset();
            (200, json!({"status": "ok"}))
        }
        ("GET", "requests") => (200, recorder.requests()),
        ("GET", "totals") => (200, recorder.totals()),
        ("GET", "production") => (200, recorder.production()),
        _ => (
            404,
            json!({"error": format!("expected a control path, found {method} {action}")}),
        ),
    }
}

/// One rule or a list of them.
fn rules(body: &[u8]) -> Result<Vec<Rule>, serde_json::Error> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_list {
        serde_json::from_slice(body)
    } else {
        serde_json::from_slice(body).map(|rule| vec![rule])
    }
}
