// SPDX-License-Identifier: Apache-2.0

//! JSON in, typed configuration out, or everything that is wrong with it.
//!
//! The filter and the command read their configuration through this file, so both say the same of a fault: where
//! it is, as a key path, what was expected and what was found. serde stops at the first fault; here the faulty
//! key is noted and taken out, and the rest is read again, so that one run shows as many faults as can be told
//! apart. Where a key is missing, the key around it goes.
//!
//! What the values mean together (an unknown provider, a limit twice) is told by the runtime types when they are
//! built from the result. At most [`MAX_FAULTS`] readings are made.

use super::error::{listed, nearest};
use super::place::{self, Steps};
use super::{ConfigError, Gateway, Listener, PluginConfig, Provider, confidential, preset};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// How many faults are looked for.
pub const MAX_FAULTS: usize = 32;

/// A configuration that can be read from a JSON tree.
pub trait FromTree: Sized {
    /// Reads the tree.
    ///
    /// # Errors
    ///
    /// The faults that were found, at least one.
    fn from_tree(tree: Value) -> Result<Self, Vec<ConfigError>>;
}

/// Reads a configuration from JSON.
///
/// # Errors
///
/// The faults that were found, at least one.
pub fn from_json<T: FromTree>(text: &str) -> Result<T, Vec<ConfigError>> {
    let tree = serde_json::from_str(text).map_err(|fault| {
        vec![ConfigError::new(
            "",
            format!("expected JSON, found a fault: {fault}"),
        )]
    })?;
    T::from_tree(tree)
}

impl FromTree for Gateway {
    fn from_tree(mut tree: Value) -> Result<Self, Vec<ConfigError>> {
        preset::expand(tree.get_mut("providers"));
        read(tree)
    }
}

impl FromTree for PluginConfig {
    /// The seat is taken out first: serde would otherwise copy the rest before it knows the type, and lose the
    /// paths.
    fn from_tree(mut tree: Value) -> Result<Self, Vec<ConfigError>> {
        let seat = tree.as_object_mut().and_then(|keys| keys.remove("seat"));
        match seat.as_ref().and_then(Value::as_str) {
            Some("gateway") => read(tree).map(|GatewaySeat { gateway }| Self::Gateway { gateway }),
            Some("both") => read(tree).map(|GatewaySeat { gateway }| Self::Both { gateway }),
            Some("provider") => read(tree).map(|seat: ProviderSeat| Self::Provider {
                cluster: seat.cluster,
                name: seat.name,
                provider: Box::new(seat.provider),
                bounds: seat.bounds,
            }),
            Some(found) => Err(vec![ConfigError::unknown(
                "seat",
                "seat",
                found,
                ["both", "gateway", "provider"],
            )]),
            None => Err(vec![ConfigError::new(
                "seat",
                "expected `both`, `gateway` or `provider`, found none",
            )]),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewaySeat {
    gateway: Box<Gateway>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderSeat {
    cluster: String,
    name: String,
    provider: Provider,
    #[serde(default)]
    bounds: Listener,
}

fn read<T: DeserializeOwned>(mut tree: Value) -> Result<T, Vec<ConfigError>> {
    let mut faults: Vec<ConfigError> = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    for _ in 0..MAX_FAULTS {
        let error = match serde_path_to_error::deserialize(&tree) {
            Ok(config) if faults.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => error,
        };
        let steps = place::steps(error.path());
        let message = error.inner().to_string();
        let fault =
            confidential::fault(&tree, &steps, &message).unwrap_or_else(|| fault(&tree, &steps, &message));
        let is_told = faults.iter().any(|told| told.path == fault.path);
        if !is_told && !removed.iter().any(|path| is_missing(&fault, path)) {
            faults.push(fault);
        }
        match remove(&mut tree, &steps) {
            Some(path) => removed.push(path),
            None => break,
        }
    }
    Err(faults)
}

/// Whether `fault` says that the key at `path` is missing, which it is because it was taken out.
fn is_missing(fault: &ConfigError, path: &str) -> bool {
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    fault.path == parent && fault.message == missing(key)
}

fn missing(key: &str) -> String {
    format!("missing key `{key}`")
}

/// Takes the last key of `steps` out of the tree and tells its path. List elements stay, because others would
/// change their place: the key that holds the list goes. So does the key that holds a choice, because it holds no
/// other.
fn remove(tree: &mut Value, steps: &Steps<'_>) -> Option<String> {
    let is_key = |step: &&Segment| matches!(step, Segment::Map { .. });
    let path = steps.get(..=steps.iter().rposition(is_key)?)?;
    let (last, around) = path.split_last()?;
    let around = place::value_mut(tree, around)?.as_object_mut()?;
    around.remove(place::key(last)?).map(|_| place::name(path))
}

/// What serde says of a choice that holds several keys, or none.
const ONE_KEY: &str = "expected map with a single key";

/// Says serde's message in the words of this project.
fn fault(tree: &Value, steps: &Steps<'_>, message: &str) -> ConfigError {
    let path = place::name(steps);
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field ") {
        let found = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let message = match nearest(found, &known) {
            Some(near) => format!("unknown key, did you mean `{near}`?"),
            None if known.is_empty() => "unknown key, expected none here".to_owned(),
            None => format!("unknown key, expected one of {}", listed(&known)),
        };
        return ConfigError::new(path, message);
    }
    if message.starts_with("unknown variant ") {
        let found = quoted.next().unwrap_or_default();
        return ConfigError::unknown(path, "value", found, quoted.collect::<Vec<_>>());
    }
    if message.starts_with("missing field ") {
        return ConfigError::new(path, missing(quoted.next().unwrap_or_default()));
    }
    if message.starts_with("invalid length ") && message.contains("struct ") {
        return ConfigError::new(path, "expected a mapping, found a list");
    }
    if message.ends_with(ONE_KEY)
        && let Some(Value::Object(keys)) = place::value(tree, steps)
        && keys.len() > 1
    {
        let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
        let message = format!("expected one of {}, found them together", listed(&keys));
        return ConfigError::new(path, message);
    }
    for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
        let wrong = message
            .strip_prefix(prefix)
            .and_then(|rest| rest.rsplit_once(", expected "));
        if let Some((found, expected)) = wrong {
            return ConfigError::new(
                path,
                format!("expected {}, found {}", in_words(expected), in_words(found)),
            );
        }
    }
    ConfigError::new(path, message)
}

/// Rust's and serde's names for types, in words that a reader of YAML knows.
fn in_words(name: &str) -> &str {
    match name {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number",
        "a sequence" => "a list",
        "sequence" => "a list",
        "a map" | "map" => "a mapping",
        "null" => "nothing",
        name if name.starts_with("struct ") => "a mapping",
        name if name.starts_with("enum ") || name == "string or map" => {
            "one of its names, or a mapping with one key"
        }
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::from_json;
    use crate::config::{Gateway, PluginConfig};
    use serde_json::{Value, json};

    fn gateway() -> Value {
        json!({
            "providers": {"openai": {"kind": "openai", "endpoint": "https://api.openai.com/v1"}},
            "models": [{"name": "a", "targets": [{"provider": "openai"}]}],
            "identity": {"allow_anonymous": true},
        })
    }

    fn faults(tree: &Value) -> Vec<String> {
        let faults = from_json::<Gateway>(&tree.to_string()).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }

    #[crate::test]
    fn a_sound_file_is_read_for_every_seat() {
        assert!(from_json::<Gateway>(&gateway().to_string()).is_ok());
        for seat in ["gateway", "both"] {
            let text = json!({"seat": seat, "gateway": gateway()}).to_string();
            assert!(from_json::<PluginConfig>(&text).is_ok(), "{seat}");
        }
        let provider = gateway()["providers"]["openai"].clone();
        let text = json!({"seat": "provider", "cluster": "openai.2", "name": "openai", "provider": provider});
        assert!(matches!(
            from_json(&text.to_string()),
            Ok(PluginConfig::Provider { cluster, .. }) if cluster == "openai.2"
        ));
    }

    #[crate::test]
    fn what_was_written_is_read_again() {
        let config: Gateway = from_json(&gateway().to_string()).unwrap();
        let plugin = PluginConfig::Gateway {
            gateway: Box::new(config),
        };
        let text = serde_json::to_string(&plugin).unwrap();
        let again: PluginConfig = from_json(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }

    #[crate::test]
    fn unknown_keys_name_their_path_and_the_nearest_known_key() {
        let mut tree = gateway();
        tree["models"][0]["tagets"] = json!([]);
        tree["models"][0]["targets"][0]["wieght"] = json!(1);
        tree["frobnicate"] = json!(1);
        assert_eq!(
            faults(&tree),
            [
                "frobnicate: unknown key, expected one of `listener`, `admin`, `providers`, `models`, `identity`, \
                 `access`, `access_options`, `limits`, `explain`, `prices`, `limit_store`",
                "models[0].tagets: unknown key, did you mean `targets`?",
                "models[0].targets[0].wieght: unknown key, did you mean `weight`?",
            ]
        );
    }

    #[crate::test]
    fn wrong_values_say_what_was_expected_and_what_was_found() {
        let mut tree = gateway();
        tree["listener"] = json!({"port": "ten", "max_event_bytes": "1MB"});
        tree["providers"]["openai"]["kind"] = json!("opnai");
        tree["providers"]["openai"]["connect_timeout"] = json!("fast");
        tree["models"][0]["name"] = json!(4);
        assert_eq!(
            faults(&tree),
            [
                "listener.max_event_bytes: expected a size such as 65536 or \"10MiB\", below 4 GiB, found \"1MB\"",
                "listener.port: expected a whole number from 0 to 65535, found string \"ten\"",
                "models[0].name: expected a string, found integer `4`",
                "providers.openai.connect_timeout: expected a duration such as \"90s\" or \"1h\", found \"fast\"",
                "providers.openai.kind: unknown value `opnai`, did you mean `openai`?",
            ]
        );
    }

    #[crate::test]
    fn a_missing_key_is_named_where_it_is_missing() {
        let mut tree = gateway();
        tree["models"][0].as_object_mut().unwrap().remove("targets");
        assert_eq!(faults(&tree), ["models[0]: missing key `targets`"]);
        tree["providers"]["openai"]
            .as_object_mut()
            .unwrap()
            .remove("kind");
        tree["limits"] = json!([{"name": "a"}]);
        assert_eq!(
            faults(&tree),
            [
                "limits[0]: missing key `count`",
                "models[0]: missing key `targets`",
                "providers.openai: missing key `kind`",
            ]
        );
        assert_eq!(faults(&json!([])), ["expected a mapping, found a list"]);
        assert_eq!(faults(&json!(1)), ["expected a mapping, found integer `1`"]);
    }

    #[crate::test]
    fn a_wrong_number_is_told_once_and_a_missing_one_is_missing() {
        for (limit, expected) in [
            (json!({}), "limits[0]: missing key `max`"),
            (
                json!({"max": -1}),
                "limits[0].max: expected a number such as 100 or 2.5, with at most six decimal places, below \
                 18446744073710, found -1",
            ),
            (
                json!({"max": 1, "window": 60}),
                "limits[0].window: expected a duration such as \"90s\" or \"1h\", found 60 without a unit",
            ),
        ] {
            let mut tree = gateway();
            tree["limits"] = json!([{"name": "a", "count": "requests"}]);
            let keys = tree["limits"][0].as_object_mut().unwrap();
            keys.extend(limit.as_object().unwrap().clone());
            assert_eq!(faults(&tree), [expected]);
        }
    }

    #[crate::test]
    fn of_two_choices_one_is_asked_for_and_faults_within_one_are_no_third() {
        let mut tree = gateway();
        tree["identity"] = json!({"jwt": [{"issuer": "a", "jwks": {"inline": "a", "file": "b"}}]});
        assert_eq!(
            faults(&tree),
            ["identity.jwt[0].jwks: expected one of `file`, `inline`, found them together"]
        );
        tree["identity"] = json!({"trusted": {"jwt_authn": {"payloat": "a"}}});
        assert_eq!(
            faults(&tree),
            [
                "identity.trusted.jwt_authn.payloat: unknown key, did you mean `payload`?",
                "identity.trusted.jwt_authn: missing key `payload`",
            ]
        );
        tree["identity"] = json!({"trusted": {"jwt_authn": {}}});
        assert_eq!(
            faults(&tree),
            ["identity.trusted.jwt_authn: missing key `payload`"]
        );
    }

    #[crate::test]
    fn words_of_others_lead_to_ours() {
        let mut tree = gateway();
        tree["providers"]["openai"]["kind"] = json!("bedrock");
        tree["limits"] = json!([{"name": "a", "max": 1, "count": "tokens", "window": "1d"}]);
        tree["access"] = json!([{"time": {"days": ["Monday"]}}]);
        assert_eq!(
            faults(&tree),
            [
                "access[0].time.days[0]: unknown value `Monday`, did you mean `mon`?",
                "limits[0].count: unknown value `tokens`, did you mean `total_tokens`?",
                "providers.openai.kind: unknown value `bedrock`, did you mean `aws_bedrock`?",
            ]
        );
    }

    #[crate::test]
    fn faults_inside_a_seat_keep_their_path() {
        for (tree, expected) in [
            (
                json!({}),
                "seat: expected `both`, `gateway` or `provider`, found none",
            ),
            (
                json!({"seat": "gatewy"}),
                "seat: unknown seat `gatewy`, did you mean `gateway`?",
            ),
            (
                json!({"seat": "both", "gateway": {"modles": 1}}),
                "gateway.modles: unknown key, did you mean `models`?",
            ),
            (
                json!({"seat": "provider", "cluster": "a", "name": "a", "provider": {"kind": "openai", "end": 1}}),
                "provider.end: unknown key, did you mean `endpoint`?",
            ),
        ] {
            let faults = from_json::<PluginConfig>(&tree.to_string()).unwrap_err();
            assert_eq!(faults[0].to_string(), expected);
        }
        let fault = &from_json::<PluginConfig>("{").unwrap_err()[0].to_string();
        assert!(fault.starts_with("expected JSON"), "{fault}");
    }
}
