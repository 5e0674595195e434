// SPDX-License-Identifier: Apache-2.0

//! Where in a tree a fault is: the steps to it, as serde tells them.

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// The steps from the root of a tree to a value.
pub(super) type Steps<'a> = [&'a Segment];

/// The steps of a path.
pub(super) fn steps(path: &Path) -> Vec<&Segment> {
    path.iter().collect()
}

/// The key that a step goes through; `None` for an element of a list.
pub(super) fn key(step: &Segment) -> Option<&str> {
    match step {
        Segment::Map { key } | Segment::Enum { variant: key } => Some(key),
        Segment::Seq { .. } | Segment::Unknown => None,
    }
}

/// The steps as people write them: `models[0].targets`.
pub(super) fn name(steps: &Steps<'_>) -> String {
    let mut name = String::new();
    for step in steps {
        match step {
            Segment::Seq { index } => name.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    name
}

/// What the steps lead to.
pub(super) fn value<'a>(tree: &'a Value, steps: &Steps<'_>) -> Option<&'a Value> {
    steps.iter().try_fold(tree, |value, step| match step {
        Segment::Seq { index } => value.get(*index),
        Segment::Map { key } | Segment::Enum { variant: key } => value.get(key.as_str()),
        Segment::Unknown => None,
    })
}

/// The same, to be changed.
pub(super) fn value_mut<'a>(tree: &'a mut Value, steps: &Steps<'_>) -> Option<&'a mut Value> {
    steps.iter().try_fold(tree, |value, step| match step {
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Map { key } | Segment::Enum { variant: key } => value.get_mut(key.as_str()),
        Segment::Unknown => None,
    })
}
