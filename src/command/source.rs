// SPDX-License-Identifier: Apache-2.0

//! YAML in, a JSON tree and the line of every key path out.
//!
//! The tree is what the rest of the project reads, so that the file and the filter's JSON go through one door
//! ([`crate::config::load`]). The lines let a fault be shown where it was written. Anchors and aliases work and
//! their expansion is bounded; a key twice in one mapping, a tag, and more than one document are faults, because
//! each would say something that is not what it seems.
//!
//! `--set key.path=value` is applied to the tree before anything reads it.

use crate::config::ConfigError;
use saphyr::{LoadableYamlNode, MarkedYamlOwned, ScalarOwned, ScanError, YamlDataOwned};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// A file, as a tree.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The content.
    pub tree: Value,
    /// The line, from 1, of each key path.
    lines: BTreeMap<String, usize>,
    /// The key paths that `--set` has changed or made.
    settings: Vec<String>,
}

/// A fault and where it is: the line, if there is one.
pub type Located = (Option<usize>, ConfigError);

impl Source {
    /// Reads YAML.
    ///
    /// # Errors
    ///
    /// The first fault of the text.
    pub fn parse(text: &str) -> Result<Self, Located> {
        let documents = MarkedYamlOwned::load_from_str(text).map_err(|fault| {
            (
                Some(fault.marker().line()),
                ConfigError::new("", described(text, &fault)),
            )
        })?;
        let [document] = documents.as_slice() else {
            let message = format!("expected one YAML document, found {}", documents.len());
            return Err((None, ConfigError::new("", message)));
        };
        let mut source = Self::default();
        source.tree = source.read("", document)?;
        Ok(source)
    }

    /// The line of `path`, or of the nearest key around it.
    #[must_use]
    pub fn line(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = path.rfind(['.', '[']).and_then(|end| path.get(..end))?;
        }
    }

    /// The setting that `path` comes from.
    #[must_use]
    pub fn setting(&self, path: &str) -> Option<&str> {
        let is_within = |setting: &&String| {
            let rest = path.strip_prefix(setting.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.settings.iter().find(is_within).map(String::as_str)
    }

    /// Applies `key.path=value`. The value is read as YAML; keys that do not exist are created. A list element is
    /// named as `models[0]` or `models.0`, and the number of elements makes a new one.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        // The value is not shown: it may be a secret.
        let (path, value) = text
            .split_once('=')
            .ok_or("expected --set key.path=value, found one without `=`")?;
        let fault = |what: &str| format!("expected --set key.path=value, found `{path}=…`: {what}");
        let value = if value.is_empty() {
            Value::String(String::new())
        } else {
            Self::parse(value)
                .map_err(|(_, reason)| fault(&reason.to_string()))?
                .tree
        };
        let mut node = &mut self.tree;
        let (mut at, mut made) = (String::new(), None);
        for step in path.replace('[', ".").replace(']', "").split('.') {
            if step.is_empty() {
                return Err(fault("a key is empty"));
            }
            at.push_str(&match &*node {
                Value::Array(_) => format!("[{step}]"),
                _ if at.is_empty() => step.to_owned(),
                _ => format!(".{step}"),
            });
            let is_there = match &*node {
                Value::Array(items) => step.parse().is_ok_and(|index: usize| index < items.len()),
                other => other.get(step).is_some(),
            };
            if !is_there {
                made.get_or_insert_with(|| at.clone());
            }
            node = match node {
                Value::Array(items) => {
                    let index = step.parse().ok().filter(|index: &usize| *index <= items.len());
                    let index = index.ok_or_else(|| fault(&format!("`{step}` is no place in the list")))?;
                    if index == items.len() {
                        items.push(Value::Null);
                    }
                    items
                        .get_mut(index)
                        .ok_or_else(|| fault("the list has no such element"))?
                }
                Value::Object(keys) => keys.entry(step).or_insert(Value::Null),
                other => {
                    *other = Value::Object(Map::new());
                    let Value::Object(keys) = other else {
                        return Err(fault("it cannot be set"));
                    };
                    keys.entry(step).or_insert(Value::Null)
                }
            };
        }
        *node = value;
        self.settings.push(made.unwrap_or(at));
        Ok(())
    }

    fn read(&mut self, path: &str, node: &MarkedYamlOwned) -> Result<Value, Located> {
        let line = node.span.start.line();
        self.lines.entry(path.to_owned()).or_insert(line);
        let fault = |message: &str| Err((Some(line), ConfigError::new(path, message)));
        match &node.data {
            YamlDataOwned::Value(scalar) => Ok(value(scalar)),
            YamlDataOwned::Sequence(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| self.read(&format!("{path}[{index}]"), item));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            YamlDataOwned::Mapping(entries) => {
                let mut keys = Map::new();
                for (key, item) in entries {
                    let key_line = key.span.start.line();
                    let YamlDataOwned::Value(scalar) = &key.data else {
                        return fault("expected keys that are words, found a key that is a list or mapping");
                    };
                    let name = word(scalar);
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    self.lines.insert(path.clone(), key_line);
                    keys.insert(name, self.read(&path, item)?);
                }
                Ok(Value::Object(keys))
            }
            YamlDataOwned::Tagged(..) => fault("expected a plain value, found a YAML tag"),
            YamlDataOwned::Representation(text, ..) => Ok(Value::String(text.clone())),
            YamlDataOwned::Alias(_) | YamlDataOwned::BadValue => {
                fault("expected a value, found an alias without an anchor or a value that its tag forbids")
            }
        }
    }
}

/// The parser's fault; a key that is there twice is named.
fn described(text: &str, fault: &ScanError) -> String {
    let line = text.lines().nth(fault.marker().line().saturating_sub(1));
    let key = line
        .and_then(|line| line.split_once(':'))
        .map(|(key, _)| key.trim().trim_start_matches("- "));
    match key.filter(|_| fault.info().starts_with("duplicated key")) {
        Some(key) => format!("expected each key once, found `{key}` again"),
        None => fault.info().to_owned(),
    }
}

fn value(scalar: &ScalarOwned) -> Value {
    match scalar {
        ScalarOwned::Null => Value::Null,
        ScalarOwned::Boolean(is) => Value::Bool(*is),
        ScalarOwned::Integer(number) => Value::Number(Number::from(*number)),
        ScalarOwned::FloatingPoint(number) => {
            Number::from_f64(number.into_inner()).map_or(Value::Null, Value::Number)
        }
        ScalarOwned::String(text) => Value::String(text.clone()),
    }
}

fn word(scalar: &ScalarOwned) -> String {
    match value(scalar) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::Source;
    use serde_json::json;

    #[test]
    fn every_key_path_has_its_line() {
        let text = "a: 1\nb:\n  - c: x\n    d: [1, 2]\n  - c: y\ne: &anchor\n  f: true\ng: *anchor\n";
        let source = Source::parse(text).unwrap();
        assert_eq!(
            source.tree,
            json!({"a": 1, "b": [{"c": "x", "d": [1, 2]}, {"c": "y"}], "e": {"f": true}, "g": {"f": true}})
        );
        for (path, line) in [
            ("a", 1),
            ("b[0].c", 3),
            ("b[0].d[1]", 4),
            ("b[1].c", 5),
            ("e.f", 7),
            ("g", 8),
        ] {
            assert_eq!(source.line(path), Some(line), "{path}");
        }
        assert_eq!(source.line("b[1].missing.key[3]"), Some(5));
        assert_eq!(source.line("nowhere"), None);
    }

    #[test]
    fn what_would_mislead_is_a_fault_with_its_line() {
        for (text, line) in [
            ("a: 1\nb: 2\na: 3\n", Some(3)),
            ("a: [1\nb: 2\n", Some(2)),
            ("a: 1\n---\nb: 2\n", None),
            ("", None),
            ("a:\n  b: !secret x\n", Some(2)),
            ("? [a]\n: 1\n", Some(1)),
        ] {
            let (found, fault) = Source::parse(text).unwrap_err();
            assert_eq!(found, line, "{text:?}: {fault}");
        }
    }

    #[test]
    fn a_setting_changes_creates_and_extends() {
        let mut source = Source::parse("models: [{name: a}]\nproviders: {x: {endpoint: y}}\n").unwrap();
        for setting in [
            "models.0.name=b",
            "models[1].name=c",
            "providers.x.endpoint=http://127.0.0.1:9001/v1",
            "listener.port=8080",
            "identity.allow_anonymous=true",
            "providers.x.note=",
        ] {
            source.set(setting).unwrap();
        }
        assert_eq!(
            source.tree,
            json!({
                "models": [{"name": "b"}, {"name": "c"}],
                "providers": {"x": {"endpoint": "http://127.0.0.1:9001/v1", "note": ""}},
                "listener": {"port": 8080},
                "identity": {"allow_anonymous": true},
            })
        );
        for setting in ["models", "models.x=1", "models[7].name=1", "a..b=1", "=1"] {
            let fault = source.set(setting).unwrap_err();
            assert!(
                fault.starts_with("expected --set key.path=value"),
                "{setting}: {fault}"
            );
        }
    }
}
