// SPDX-License-Identifier: Apache-2.0

//! Faults of the places where people write a secret instead of where it is found.
//!
//! What is said of them ends up in terminals, logs and continuous integration, so nothing that was found there is
//! shown: neither values nor keys that are not ours.

use super::ConfigError;
use super::error::{listed, nearest};
use super::place::{Steps, key, name, value};
use serde_json::Value;

const CREDENTIAL: &str = "`{ env: NAME }` or `{ file: PATH }`";
const TEAM_CREDENTIAL: &str = "`{ env: NAME }`";
const CLIENT_SECRET: &str = "`{ file: PATH }`";

/// The fault that serde has at the end of `steps`; `None` if that is no such place, or if it only says that a key is
/// missing.
pub(super) fn fault(tree: &Value, steps: &Steps<'_>, message: &str) -> Option<ConfigError> {
    let (credential, expected) = credential(steps)?;
    if message.starts_with("missing field ") {
        return None;
    }
    let secret = steps.iter().position(|step| key(step) == Some("client_secret"));
    if let Some(secret) = secret.and_then(|at| steps.get(..=at)) {
        return Some(unexpected(tree, secret, CLIENT_SECRET));
    }
    if steps.len() <= credential {
        return Some(unexpected(tree, steps, expected));
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field ") {
        let found = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let hint = nearest(found, &known).map_or_else(
            || format!("expected one of {}", listed(&known)),
            |near| format!("did you mean `{near}`?"),
        );
        let (_, around) = steps.split_last()?;
        return Some(ConfigError::new(name(around), format!("unknown key, {hint}")));
    }
    if message.starts_with("invalid ") {
        let expected = message
            .rsplit_once(", expected ")
            .map_or("", |(_, expected)| expected);
        let expected = match expected {
            "a sequence" => "a list",
            expected if expected.starts_with("struct ") => "a mapping",
            expected => expected,
        };
        return Some(unexpected(tree, steps, expected));
    }
    // What the types themselves say shows nothing.
    Some(ConfigError::new(name(steps), message))
}

/// How many steps lead to the credential that `steps` lead into, and what one looks like there.
fn credential(steps: &Steps<'_>) -> Option<(usize, &'static str)> {
    let mut before = None;
    for (at, step) in steps.iter().enumerate() {
        match key(step) {
            // A provider may have such a name.
            _ if before == Some("providers") => {}
            Some("credential") => return Some((at + 1, CREDENTIAL)),
            Some("team_credentials") if at + 1 == steps.len() => return Some((at + 1, "a mapping")),
            Some("team_credentials") => return Some((at + 2, TEAM_CREDENTIAL)),
            Some(_) | None => {}
        }
        before = key(step);
    }
    None
}

fn unexpected(tree: &Value, steps: &Steps<'_>, expected: &str) -> ConfigError {
    let found = match value(tree, steps) {
        None => "none",
        Some(Value::Null) => "nothing",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(keys)) if keys.is_empty() => "an empty mapping",
        Some(Value::Object(keys)) if keys.len() > 1 => "a mapping with several keys",
        Some(Value::Object(_)) => "another mapping",
    };
    ConfigError::new(name(steps), format!("expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use crate::config::Gateway;
    use crate::config::load::from_json;
    use serde_json::{Value, json};

    fn check(key: &str, value: &Value, expected: &str) {
        let tree = json!({
            "providers": {"credential": {"kind": "openai", "endpoint": "https://api.openai.com/v1", key: value}},
            "models": [{"name": "a", "targets": [{"provider": "credential"}]}],
            "identity": {"allow_anonymous": true},
        });
        let faults = from_json::<Gateway>(&tree.to_string()).unwrap_err();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [format!("providers.credential.{expected}")], "{value}");
    }

    #[crate::test]
    fn nothing_of_what_may_be_a_secret_is_shown() {
        for (value, found) in [
            (json!("sk-secret"), "a text"),
            (json!(5309), "a number"),
            (json!(["sk-secret"]), "a list"),
            (json!({}), "an empty mapping"),
            (json!({"sk-secret": null}), "another mapping"),
            (json!({"env": "A", "file": "/a"}), "a mapping with several keys"),
        ] {
            let expected =
                format!("credential: expected `{{ env: NAME }}` or `{{ file: PATH }}`, found {found}");
            check("credential", &value, &expected);
            let expected = format!("team_credentials.a: expected `{{ env: NAME }}`, found {found}");
            check("team_credentials", &json!({"a": value}), &expected);
        }
        let expected = "team_credentials: expected a mapping, found a text";
        check("team_credentials", &json!("sk-secret"), expected);
    }

    #[crate::test]
    fn the_name_of_a_variable_is_no_key() {
        let expected = "expected the name of an environment variable, of letters, digits and `_`, found another text; \
                        the credential itself does not belong here";
        for value in ["sk-proj-secret", "", "1A", "A B", "${A}", "Ü", "A="] {
            check(
                "credential",
                &json!({"env": value}),
                &format!("credential.env: {expected}"),
            );
            let expected = format!("team_credentials.a.env: {expected}");
            check("team_credentials", &json!({"a": {"env": value}}), &expected);
        }
        check(
            "credential",
            &json!({"env": 5309}),
            "credential.env: expected a string, found a number",
        );
        let expected = "credential.file: expected the path of a file, found an empty one";
        check("credential", &json!({"file": ""}), expected);
    }

    #[crate::test]
    fn a_client_and_its_secret_are_judged_alike() {
        let client = |key: &str, value: Value| {
            let mut client =
                json!({"token_url": "https://a/t", "client_id": "a", "client_secret": {"file": "/a"}});
            client[key] = value;
            json!({"oauth2": client})
        };
        for (key, value, expected) in [
            (
                "client_secret",
                json!("s3cr3t"),
                ".client_secret: expected `{ file: PATH }`, found a text",
            ),
            (
                "client_secret",
                json!({"s3cr3t": null}),
                ".client_secret: expected `{ file: PATH }`, found another mapping",
            ),
            (
                "client_secret",
                json!({"file": 5309}),
                ".client_secret: expected `{ file: PATH }`, found another mapping",
            ),
            (
                "client_id",
                json!(5309),
                ".client_id: expected a string, found a number",
            ),
            (
                "client_id",
                json!(""),
                ".client_id: expected a text, found an empty one",
            ),
            (
                "scopes",
                json!([5309]),
                ".scopes[0]: expected a string, found a number",
            ),
            (
                "scope",
                json!(["s3cr3t"]),
                ": unknown key, did you mean `scopes`?",
            ),
            (
                "s3cr3t",
                json!(1),
                ": unknown key, expected one of `token_url`, `client_id`, `client_secret`, `scopes`",
            ),
        ] {
            check(
                "credential",
                &client(key, value),
                &format!("credential.oauth2{expected}"),
            );
        }
        let missing = json!({"oauth2": {"token_url": "https://a/t", "client_id": "a"}});
        check(
            "credential",
            &missing,
            "credential.oauth2: missing key `client_secret`",
        );
    }
}
