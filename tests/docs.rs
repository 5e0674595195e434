// SPDX-License-Identifier: Apache-2.0

//! The documents against the code: examples are run, and lists are compared with what they list.
//!
//! A block of YAML whose first line is `# gateway.yaml` is a whole file; one that begins with
//! `# gateway.yaml, in part` stands for its sections, and a small base supplies the others. Each goes through the
//! command's loader and into the types that the filter builds at its start. Blocks of other YAML are Envoy's.
//!
//! Whoever adds a key, an error code, a header, an access-log field or a make target is told here which document
//! has to mention it; whoever takes one away is told which document still does.

#![cfg(not(target_family = "wasm"))]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests read the documents and hand examples to the command"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file is a test, its functions included"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tollgate::config::load::from_json;
use tollgate::config::{LimitStore, PluginConfig};
use tollgate::exchange::Policy;
use tollgate::policy::rate_limit::RateLimiter;
use tollgate::telemetry::{Record, UsageSource};

const WHOLE: &str = "# gateway.yaml";
const PART: &str = "# gateway.yaml, in part";

/// What an example in part leaves out.
const BASE: [(&str, &str); 3] = [
    (
        "providers",
        "providers:\n  openai: { kind: openai, endpoint: \"https://api.openai.com/v1\" }\n  \
         anthropic: { kind: anthropic, endpoint: \"https://api.anthropic.com\" }\n",
    ),
    (
        "models",
        "models:\n  - { name: gpt-4o-mini, targets: [{ provider: openai }] }\n",
    ),
    ("identity", "identity: { allow_anonymous: true }\n"),
];

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document of this project, by its path.
fn documents() -> BTreeMap<String, String> {
    let mut paths: Vec<PathBuf> = [".", "docs", "docs/decisions", "envoy", "standin"]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths
        .into_iter()
        .map(|path| {
            (
                path.to_string_lossy().trim_start_matches("./").to_owned(),
                read(&path),
            )
        })
        .collect()
}

/// The fenced blocks of a document in this language, each with the line that it begins at.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            None if line.trim() == format!("```{language}") => open = Some((number + 2, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block that is not closed");
    found
}

/// The words in backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The cells of each row of every table below a heading.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text
        .split(&format!("{heading}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    // A vertical bar within a cell is written `\|`.
    lines
        .map(|line| line.replace("\\|", "\u{1}"))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().replace('\u{1}', "|"))
                .collect::<Vec<_>>()
        })
        .filter(|cells| !cells[0].starts_with("---"))
        .collect()
}

/// A whole file of an example: itself, or its sections and the base's others.
fn completed(block: &str) -> String {
    let mut text = block.to_owned();
    if block.starts_with(PART) {
        for (section, base) in BASE {
            if !block.contains(&format!("\n{section}:")) {
                text.push_str(base);
            }
        }
    }
    text
}

fn tollgate(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = ["tollgate"].into_iter().chain(arguments.iter().copied());
    let code = tollgate::command::run(all, &mut out, &mut err);
    (
        code,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

#[test]
fn every_example_of_gateway_yaml_is_sound() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("docs");
    fs::create_dir_all(&folder).unwrap();
    fs::copy("envoy/demo-jwks.json", folder.join("jwks.json")).unwrap();
    let mut count = 0;
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "yaml") {
            if !block.starts_with(WHOLE) {
                continue;
            }
            count += 1;
            let place = format!("{path}:{line}");
            let file = folder.join(format!("{}.yaml", place.replace(['/', ':', '.'], "-")));
            fs::write(&file, completed(&block)).unwrap();
            let file = file.to_str().unwrap();
            for command in [vec!["check"], vec!["render", "envoy"]] {
                let (code, _, err) = tollgate(&[command, vec![file]].concat());
                // An example shows a part, and only the whole would have all that it names.
                let is_warning = |line: &str| line.contains(": warning: ");
                let told: Vec<&str> = err.lines().filter(|line| !is_warning(line)).collect();
                assert_eq!((code, told), (0, vec![]), "{place}");
            }
            let (_, json, _) = tollgate(&["render", "plugin", file]);
            let PluginConfig::Gateway { gateway } = from_json::<PluginConfig>(&json).unwrap() else {
                panic!("{place}: expected the gateway seat");
            };
            assert!(Policy::new(&gateway).is_ok(), "{place}");
        }
    }
    assert!(count >= 2, "the README's and the configuration's examples");
}

#[test]
fn every_example_of_the_filter_s_own_configuration_is_sound() {
    let mut seats = BTreeSet::new();
    for (path, text) in documents() {
        for (_, block) in blocks(&text, "yaml") {
            for value in values(&block).filter(|value| value.contains("\"seat\"")) {
                let config = from_json::<PluginConfig>(&value);
                assert!(config.is_ok(), "{path}: {:?}: {value}", config.err());
                seats.extend(value.split('"').nth(3).map(str::to_owned));
            }
        }
    }
    assert_eq!(
        seats.into_iter().collect::<Vec<_>>(),
        ["both", "gateway", "provider"]
    );
}

/// The texts that are given as `value: |-` in a block of YAML.
fn values(block: &str) -> impl Iterator<Item = String> {
    block.split("value: |-\n").skip(1).map(|rest| {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let own = rest.lines().next().map_or(0, indent);
        let lines = rest.lines().take_while(|line| indent(line) >= own);
        lines.collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    for (path, text) in documents() {
        let shell = blocks(&text, "sh").into_iter().map(|(_, block)| block);
        let commands: Vec<String> = shell
            .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
            .chain(spans(&text).map(str::to_owned))
            .collect();
        for command in commands {
            let mut words = command
                .split_whitespace()
                .skip_while(|word| word.contains('=') && !word.starts_with("make"));
            if words.next() != Some("make") {
                continue;
            }
            let Some(target) = words.next().filter(|word| !word.starts_with('#')) else {
                continue;
            };
            assert!(targets.contains(target), "{path}: make {target}");
        }
    }
}

/// Every key path of the schema, with its default as text where it has one.
fn keys(schema: &Value) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    walk(schema, schema, "", None, &mut found);
    found
}

fn walk(
    root: &Value,
    node: &Value,
    path: &str,
    default: Option<&Value>,
    found: &mut BTreeMap<String, Option<String>>,
) {
    let default = default.or_else(|| node.get("default"));
    if let Some(name) = node
        .get("$ref")
        .and_then(|name| name.as_str()?.strip_prefix("#/$defs/"))
    {
        return walk(root, &root["$defs"][name], path, default, found);
    }
    for choice in ["anyOf", "oneOf"]
        .iter()
        .filter_map(|key| node.get(*key)?.as_array())
        .flatten()
    {
        walk(root, choice, path, default, found);
    }
    if let Some(items) = node.get("items") {
        walk(root, items, &format!("{path}[]"), None, found);
    }
    if let Some(values) = node
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        walk(root, values, &format!("{path}.NAME"), None, found);
    }
    for (key, value) in node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let default = default
            .and_then(|default| default.get(key))
            .or_else(|| value.get("default"));
        let text = match default {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => None,
            Some(other) => Some(other.to_string()),
        };
        // Within a list there is no element to have a default of its own.
        found.insert(path.clone(), text);
        walk(root, value, &path, default, found);
    }
}

#[test]
fn the_configuration_document_has_every_key_and_no_other() {
    let schema: Value = serde_json::from_str(&read("envoy/gateway.schema.json")).unwrap();
    let keys = keys(&schema);
    let text = read("docs/configuration.md");
    let rows: Vec<Vec<String>> = rows(&text, "## Keys");
    let mut told = BTreeMap::new();
    for cells in &rows {
        let name = cells[0].trim_matches('`');
        if name == "key" {
            continue;
        }
        assert!(
            keys.contains_key(name),
            "docs/configuration.md has a key `{name}` too many"
        );
        told.insert(name.to_owned(), cells[2].trim_matches('`').to_owned());
    }
    for (key, default) in keys {
        let told = told
            .get(&key)
            .unwrap_or_else(|| panic!("docs/configuration.md lacks the key `{key}`"));
        if let Some(default) = default {
            assert_eq!(*told, default, "the default of `{key}`");
        }
    }
}

/// The words that a type of the schema may be.
fn words_of(schema: &Value, name: &str) -> Vec<String> {
    let words = schema["$defs"][name]["oneOf"].as_array().unwrap();
    words
        .iter()
        .map(|word| word["const"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_configuration_document_has_every_kind_and_every_preset() {
    let schema: Value = serde_json::from_str(&read("envoy/gateway.schema.json")).unwrap();
    let text = read("docs/configuration.md");
    let rows = rows(&text, "## Keys");
    for (key, name) in [
        ("`providers.NAME.kind`", "ProviderKind"),
        ("`providers.NAME.preset`", "Preset"),
    ] {
        let row = rows.iter().find(|cells| cells[0] == key).unwrap();
        let told: BTreeSet<&str> = spans(&row[3]).collect();
        for word in words_of(&schema, name) {
            assert!(
                told.contains(&*word),
                "docs/configuration.md: {key} lacks `{word}`"
            );
        }
    }
}

#[test]
fn the_memory_bound_of_the_counters_is_the_one_that_is_documented() {
    let limiter = RateLimiter::new(&[], &LimitStore::default()).unwrap();
    let mut figure = limiter.max_store_bytes().to_string();
    for at in (1..figure.len())
        .rev()
        .filter(|at| (figure.len() - at).is_multiple_of(3))
        .collect::<Vec<_>>()
    {
        figure.insert(at, ',');
    }
    let text = read("docs/configuration.md");
    assert!(
        text.contains(&format!("{figure} bytes")),
        "docs/configuration.md lacks {figure}"
    );
}

/// What stands between quotes right after `before`, in every source file that is no test.
fn quoted_after(before: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from("src")];
    while let Some(here) = open.pop() {
        for path in fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
                continue;
            }
            if path.ends_with("tests.rs") {
                continue;
            }
            let text = read(&path);
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for rest in text.split(before).skip(1) {
                found.insert(rest.split('"').next().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn the_api_document_has_every_error_code_and_no_other() {
    let codes = quoted_after("with_code(\"");
    let text = read("docs/api.md");
    let told: BTreeSet<String> = rows(&text, "## Errors")
        .into_iter()
        .map(|cells| cells[2].trim_matches('`').to_owned())
        .filter(|code| code != "code" && code != "null")
        .collect();
    assert_eq!(told, codes);
}

#[test]
fn the_api_document_has_every_header_of_an_answer() {
    let text = read("docs/api.md");
    let told: BTreeSet<String> = rows(&text, "## Headers of answers")
        .iter()
        .flat_map(|cells| spans(&cells[0]).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let ours = ["x-tollgate-", "x-ratelimit-"].iter().flat_map(|prefix| {
        quoted_after(&format!("\"{prefix}"))
            .into_iter()
            .map(move |rest| format!("{prefix}{rest}"))
    });
    // These are set on requests, and the first is a prefix.
    let inner = [
        "x-tollgate-",
        "x-tollgate-route",
        "x-tollgate-cluster",
        "x-tollgate-usage-cost",
        "x-tollgate-explain",
    ];
    for header in ours.filter(|header| !inner.contains(&header.as_str())) {
        assert!(told.contains(&header), "docs/api.md lacks {header}");
    }
}

#[test]
fn the_telemetry_document_has_every_access_log_field_and_no_other() {
    let bootstrap = read("envoy/envoy.yaml");
    let format = bootstrap.split("json_format:\n").nth(1).unwrap();
    let fields: BTreeSet<String> = format
        .lines()
        .take_while(|line| line.contains("\"%"))
        .map(|line| line.trim().split(": ").next().unwrap().to_owned())
        .collect();
    let told: BTreeSet<String> = rows(&read("docs/telemetry.md"), "## Access log")
        .into_iter()
        .map(|cells| cells[0].trim_matches('`').to_owned())
        .filter(|field| field != "field")
        .collect();
    assert_eq!(told, fields);
}

#[test]
fn the_telemetry_document_has_every_value_that_the_filter_writes() {
    let record = Record {
        consumer: "a".to_owned(),
        team: Some("a".to_owned()),
        model: "a".to_owned(),
        provider: "a".to_owned(),
        upstream_model: "a".to_owned(),
        usage_source: Some(UsageSource::Reported),
        refused_by: Some("limit"),
        refused_rule: Some("a".to_owned()),
        credential: Some("gateway"),
        cost: Some("1".to_owned()),
        would_refuse: vec!["a".to_owned()],
        ..Record::default()
    };
    let telemetry = read("docs/telemetry.md");
    let section = telemetry.split("## In your own configuration").nth(1).unwrap();
    let told: BTreeSet<&str> = spans(section).collect();
    for (field, _) in record.fields() {
        assert!(told.contains(field), "docs/telemetry.md lacks {field}");
    }
    for source in [
        UsageSource::Reported,
        UsageSource::Estimated,
        UsageSource::Partial,
    ] {
        assert!(spans(&telemetry).any(|word| word == source.as_str()));
    }
}

#[test]
fn every_document_is_reached_from_the_readme_or_the_index() {
    let documents = documents();
    let linked: String = ["README.md", "docs/decisions/README.md", "docs/configuration.md"]
        .iter()
        .filter_map(|path| documents.get(*path))
        .map(String::as_str)
        .collect();
    for path in documents
        .keys()
        .filter(|path| path.starts_with("docs/") && !path.ends_with("README.md"))
    {
        let name = path.rsplit('/').next().unwrap();
        assert!(linked.contains(name), "nothing links to {path}");
    }
}

/// The words after `fn ` in every source file, with the file.
fn functions_of(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(here) = open.pop() {
        for path in fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.to_string_lossy().replace(['/', '.'], "::");
                let text = read(&path);
                let names = text
                    .split("fn ")
                    .skip(1)
                    .filter_map(|rest| rest.split('(').next());
                found.extend(names.map(|function| (name.clone(), function.to_owned())));
            }
        }
    }
    found
}

#[test]
fn every_row_of_the_threat_model_names_a_test_that_exists() {
    let security = read("SECURITY.md");
    let section = security
        .split("## Threat model")
        .nth(1)
        .unwrap()
        .split("### What does not stop them")
        .next()
        .unwrap();
    let functions = functions_of("src");
    let mut count = 0;
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if cells[0] == "attack" || cells[0].starts_with("---") {
            continue;
        }
        count += 1;
        let test = spans(cells[2])
            .next()
            .unwrap_or_else(|| panic!("no test: {line}"));
        if let Some((room, function)) = test.rsplit_once("::") {
            let room = room.split("::").next().unwrap();
            let is_it = |(path, name): &(String, String)| path.contains(room) && name == function;
            assert!(functions.iter().any(is_it), "{test}");
        } else {
            assert!(Path::new("tests").join(test).exists(), "{test}");
        }
    }
    assert!(count >= 30, "{count} rows");
}
