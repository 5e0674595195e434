// SPDX-License-Identifier: Apache-2.0

//! The house rules that neither the compiler nor clippy can keep.
//!
//! Reads the sources as text: which room imports which, how long files are, where the host's bindings are named,
//! what a name may not be, and whether the documents speak of files that exist. A text search is cruder than a
//! parser and needs no dependency; comments and strings are blanked first, so that prose may say anything.
//!
//! The import table stands here and, for readers, in `ARCHITECTURE.md`; the two are compared.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Which rooms each room may import. Whoever adds an entry adds it to `ARCHITECTURE.md` too, with a reason.
const IMPORTS: [(&str, &[&str]); 17] = [
    ("api_error", &[]),
    (
        "attempt",
        &[
            "api_error",
            "clock",
            "codec",
            "config",
            "handoff",
            "headers",
            "local_reply",
            "provider",
            "usage",
        ],
    ),
    ("clock", &[]),
    ("codec", &[]),
    (
        "command",
        &["config", "exchange", "policy", "protocol", "provider"],
    ),
    ("config", &[]),
    (
        "exchange",
        &[
            "api_error",
            "clock",
            "config",
            "handoff",
            "headers",
            "local_reply",
            "policy",
            "protocol",
            "provider",
            "shared_store",
            "telemetry",
            "usage",
        ],
    ),
    (
        "filter",
        &[
            "api_error",
            "attempt",
            "clock",
            "config",
            "exchange",
            "handoff",
            "headers",
            "local_reply",
            "policy",
            "shared_store",
            "telemetry",
            "usage",
        ],
    ),
    (
        "handoff",
        &["api_error", "headers", "policy", "provider", "usage"],
    ),
    ("headers", &[]),
    ("local_reply", &["api_error"]),
    ("policy", &["clock", "config", "headers", "shared_store", "usage"]),
    ("protocol", &["api_error", "usage"]),
    (
        "provider",
        &["api_error", "codec", "config", "headers", "protocol", "usage"],
    ),
    ("shared_store", &[]),
    ("telemetry", &["clock", "usage"]),
    ("usage", &["shared_store"]),
];

const MOST_SOURCE_LINES: usize = 500;
const MOST_TEST_LINES: usize = 1500;
const LICENCE: &str = "// SPDX-License-Identifier: Apache-2.0";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "this test reads the sources")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` with this extension, sorted, as (path from the root, text).
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(here) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&here) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(root()).expect("below the root");
                found.push((name.to_string_lossy().replace('\\', "/"), read(&path)));
            }
        }
    }
    found.sort();
    found
}

/// Rust with comments, strings and character literals blanked; line breaks stay, so that lines can be named.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let end = match byte {
            b'/' if rest.starts_with(b"//") => line_end(rest),
            b'/' if rest.starts_with(b"/*") => block_comment_end(rest),
            b'r' if !follows_a_name(bytes, at) => raw_string_end(rest),
            b'"' => string_end(rest),
            b'\'' => character_end(rest),
            _ => 0,
        };
        if end == 0 {
            kept.push(if byte.is_ascii() { char::from(byte) } else { ' ' });
            at += 1;
        } else {
            kept.extend(rest[..end].iter().filter(|&&byte| byte == b'\n').map(|_| '\n'));
            kept.push(' ');
            at += end;
        }
    }
    kept
}

fn follows_a_name(bytes: &[u8], at: usize) -> bool {
    // The `b` of `br"..."` is no name.
    let before = |back: usize| at.checked_sub(back).map(|at| bytes[at]);
    let is_name = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name(before(1)) && (before(1) != Some(b'b') || is_name(before(2)))
}

fn line_end(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

fn block_comment_end(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string_end(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let body = &rest[2 + hashes..];
    let found = body
        .windows(close.len())
        .position(|window| window == close)
        .unwrap_or(body.len());
    (2 + hashes + found + close.len()).min(rest.len())
}

fn string_end(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The end of a character literal; 0 for a lifetime.
fn character_end(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|&byte| byte == b'\'').unwrap_or(0);
        return 3 + close + 1;
    }
    (2..=5)
        .find(|&at| rest.get(at) == Some(&b'\''))
        .filter(|&at| is_one_character(&rest[1..at]))
        .map_or(0, |at| at + 1)
}

fn is_one_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1)
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The places of `word` as a whole word, as (line number, byte offset).
fn words(code: &str, word: &str) -> Vec<(usize, usize)> {
    code.match_indices(word)
        .filter(|&(at, _)| {
            let before = code[..at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            !before.is_some_and(is_name) && !after.is_some_and(is_name)
        })
        .map(|(at, _)| (code[..at].matches('\n').count() + 1, at))
        .collect()
}

/// The name at the start of `code`, white space before it skipped.
fn first_name(code: &str) -> &str {
    let code = code.trim_start();
    &code[..code.find(|character| !is_name(character)).unwrap_or(code.len())]
}

/// The first names of a `{...}` group: `{self, a::B, c}` gives `self`, `a` and `c`.
fn group_names(code: &str) -> Vec<&str> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 1);
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (character == ',' && depth == 1) || depth == 0 {
            names.push(first_name(&code[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The rooms that `code` names after `crate::`, with the line.
fn rooms_named(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, at) in words(code, "crate") {
        let Some(after) = code[at + "crate".len()..].strip_prefix("::") else {
            continue;
        };
        let names = match after.trim_start().strip_prefix('{') {
            Some(_) => group_names(after.trim_start()),
            None => vec![first_name(after)],
        };
        found.extend(names.into_iter().map(|name| (line, name.to_owned())));
    }
    found
}

/// `src/provider/openai/mod.rs` and `src/clock.rs` lie in the rooms `provider` and `clock`.
fn room_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/")?;
    let room = name.split('/').next()?.trim_end_matches(".rs");
    (room != "lib" && room != "main").then_some(room)
}

/// The text without its trailing inline test module.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {")
        .map_or(text, |at| &text[..at])
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

fn assert_none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}\n", faults.join("\n  "));
}

#[test]
fn each_room_imports_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        let Some(room) = room_of(&path) else { continue };
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{path}: the room `{room}` is not in the table"));
            continue;
        };
        for (line, other) in rooms_named(&code_only(without_tests(&text))) {
            let is_room = IMPORTS.iter().any(|(name, _)| *name == other);
            if is_room && other != room && !allowed.contains(&other.as_str()) && !is_test_file(&path) {
                faults.push(format!("{path}:{line}: `{room}` may not import `{other}`"));
            }
        }
    }
    assert_none(
        &faults,
        "imports that the table in ARCHITECTURE.md does not allow",
    );
}

#[test]
fn the_import_table_has_no_cycle() {
    let mut left: Vec<_> = IMPORTS.iter().collect();
    while !left.is_empty() {
        let names: BTreeSet<_> = left.iter().map(|(name, _)| *name).collect();
        let before = left.len();
        left.retain(|(_, allowed)| allowed.iter().any(|name| names.contains(name)));
        assert!(
            left.len() < before,
            "these rooms import each other in a circle: {names:?}"
        );
    }
}

#[test]
fn the_import_table_in_architecture_md_is_this_one() {
    let mut expected = String::new();
    for (room, allowed) in IMPORTS {
        let names: Vec<_> = allowed.iter().map(|name| format!("`{name}`")).collect();
        let cell = if names.is_empty() {
            "nothing of ours".to_owned()
        } else {
            names.join(", ")
        };
        writeln!(expected, "`{room}` | {cell}").expect("a string takes text");
    }
    let text = read(&root().join("ARCHITECTURE.md"));
    let (_, after) = text
        .split_once("<!-- import table -->")
        .expect("the mark before the table");
    let (table, _) = after
        .split_once("<!-- end of import table -->")
        .expect("the mark after the table");
    let mut found = String::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        writeln!(found, "{} | {}", cells[0], cells[1]).expect("a string takes text");
    }
    assert_eq!(found, expected, "left: ARCHITECTURE.md, right: tests/tidy.rs");
}

#[test]
fn only_the_filter_names_the_host_bindings() {
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        if room_of(&path) != Some("filter") {
            let places = words(&code_only(&text), "proxy_wasm");
            faults.extend(places.iter().map(|(line, _)| format!("{path}:{line}")));
        }
    }
    assert_none(&faults, "`proxy_wasm` outside src/filter");
}

#[test]
fn every_source_file_begins_with_its_licence() {
    let mut faults = Vec::new();
    for folder in ["src", "standin", "tests"] {
        for (path, text) in files(folder, "rs") {
            if text.lines().next() != Some(LICENCE) {
                faults.push(path);
            }
        }
    }
    assert_none(&faults, &format!("files whose first line is not `{LICENCE}`"));
}

#[test]
fn no_file_outgrows_its_reader() {
    let mut faults = Vec::new();
    for folder in ["src", "standin", "tests"] {
        for (path, text) in files(folder, "rs") {
            let (lines, most) = if is_test_file(&path) {
                (text.lines().count(), MOST_TEST_LINES)
            } else {
                (without_tests(&text).lines().count(), MOST_SOURCE_LINES)
            };
            if lines > most {
                faults.push(format!("{path}: {lines} lines, at most {most}"));
            }
        }
    }
    assert_none(&faults, "files to be divided");
}

#[test]
fn no_variable_or_field_is_called_just_token() {
    // Model tokens are `input_tokens`, what a bucket counts is `permits`, a secret is a `credential`.
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        let code = code_only(&text);
        for word in ["token", "tokens"] {
            for (line, at) in words(&code, word) {
                if declares(&code, at, word) {
                    faults.push(format!("{path}:{line}: `{word}`"));
                }
            }
        }
    }
    assert_none(&faults, "bare `token` as a name");
}

/// Whether the word at `at` is declared here, as a variable, a parameter, a field or a closure's argument.
fn declares(code: &str, at: usize, word: &str) -> bool {
    let before = code[..at].trim_end();
    let after = code[at + word.len()..].trim_start();
    let is_path = before.ends_with("::") || after.starts_with("::");
    let is_typed = after.starts_with(':');
    let last_word = before
        .rsplit(|character| !is_name(character))
        .next()
        .unwrap_or_default();
    let is_bound = ["let", "mut", "ref", "for"].contains(&last_word);
    let in_pattern = before.ends_with(['|', '(', ',']) && after.starts_with(['|', ')', ',']) && {
        let line = &code[code[..at].rfind('\n').map_or(0, |line| line + 1)..at];
        line.contains('|') || line.contains("let ")
    };
    !is_path && (is_typed || is_bound || in_pattern)
}

#[test]
fn documents_name_only_files_that_exist() {
    let mut faults = Vec::new();
    let mut documents = files("docs", "md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        if root().join(name).exists() {
            documents.push((name.to_owned(), read(&root().join(name))));
        }
    }
    for (path, text) in &documents {
        for (number, line) in text.lines().enumerate() {
            for named in paths_in(line) {
                let from_here = root().join(path).parent().map(|folder| folder.join(&named));
                if !root().join(&named).exists() && !from_here.is_some_and(|file| file.exists()) {
                    faults.push(format!("{path}:{}: {named}", number + 1));
                }
            }
        }
    }
    assert_none(&faults, "paths that do not exist");
}

/// The files of this project that a line of Markdown names, in `code` or as the target of a [link](...).
fn paths_in(line: &str) -> Vec<String> {
    const TOP: [&str; 9] = [
        "src/", "tests/", "docs/", "envoy/", "scripts/", "standin/", ".ci/", ".cargo/", "fuzz/",
    ];
    let quoted = line.split('`').skip(1).step_by(2);
    let linked = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_plain = |text: &str| {
        text.chars()
            .all(|character| character.is_ascii_alphanumeric() || "._-/".contains(character))
    };
    let in_code = quoted.filter(|text| is_plain(text) && TOP.iter().any(|top| text.starts_with(top)));
    let in_links = linked.map(|text| text.split('#').next().unwrap_or(text));
    let in_links = in_links.filter(|text| !text.is_empty() && is_plain(text));
    in_code.chain(in_links).map(str::to_owned).collect()
}

#[test]
fn blanking_keeps_code_and_drops_prose() {
    let text =
        "let a = \"use crate::x\"; // crate::y\nlet b = r#\"\"crate::z\"#; fn f<'a>(c: char) { '\\'' ; 'q' }";
    let code = code_only(text);
    assert!(!code.contains("crate"), "{code}");
    assert!(
        code.contains("let b = ") && code.contains("fn f<'a>(c: char)") && !code.contains('q'),
        "{code}"
    );
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn imports_are_found_in_groups_and_in_paths() {
    let code = "use crate::{clock, usage::{self, TokenUsage}};\nlet x = crate::policy::decide();";
    let rooms: Vec<_> = rooms_named(code)
        .into_iter()
        .map(|(line, room)| format!("{line} {room}"))
        .collect();
    assert_eq!(rooms, ["1 clock", "1 usage", "2 policy"]);
}

#[test]
fn a_bare_token_is_told_from_qualified_ones() {
    let is_declared = |code: &str| {
        words(code, "token")
            .iter()
            .any(|&(_, at)| declares(code, at, "token"))
    };
    assert!(
        is_declared("let token = 1;") && is_declared("fn f(token: &str)") && is_declared("map(|token| 1)")
    );
    assert!(!is_declared("let input_token = 1;") && !is_declared("token::parse(x)"));
}
