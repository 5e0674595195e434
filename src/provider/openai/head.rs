// SPDX-License-Identifier: Apache-2.0

//! Whose a chunk is: its id, time and model, where a server leaves them out.
//!
//! All chunks of a stream carry the same. A server that names them once is repeated, one that never does (Text
//! Generation Inference has an empty id) is given an id made of the answer itself, so that the same bytes give the
//! same id however they are cut.

use super::chunk::Chunk;
use crate::protocol::json_object::{Editor, quote};
use crate::provider::Settings;
use crate::provider::call_id::call_id;
use serde_json::value::RawValue;

/// What the members of the first chunk said, as JSON text.
pub(super) struct Head {
    created_by_gateway: u64,
    upstream_model: String,
    known: Option<Known>,
}

struct Known {
    id: String,
    created: String,
    model: String,
}

impl Head {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            created_by_gateway: settings.created,
            upstream_model: settings.upstream_model.clone(),
            known: None,
        }
    }

    /// Remembers a chunk that tells all.
    pub(super) fn remember(&mut self, chunk: &Chunk<'_>) {
        if self.known.is_none()
            && let (Some(id), Some(created), Some(model)) = (chunk.id, chunk.created, chunk.model)
        {
            self.known = Some(Known {
                id: id.get().to_owned(),
                created: created.get().to_owned(),
                model: model.get().to_owned(),
            });
        }
    }

    /// Puts what is missing of `chunk`, whose text is `json`, into `editor`.
    pub(super) fn complete<'o>(
        &mut self,
        chunk: &Chunk<'_>,
        json: &str,
        object: &'static str,
        editor: &mut Editor<'o, '_>,
    ) {
        let text = |value: Option<&RawValue>| {
            value
                .map(RawValue::get)
                .filter(|value| value.starts_with('"') && value.len() > 2)
                .map(str::to_owned)
        };
        let known = self.known.get_or_insert_with(|| Known {
            id: text(chunk.id).unwrap_or_else(|| {
                let seed = format!("{}.{json}", self.created_by_gateway);
                quote(&format!("chatcmpl-{}", call_id(&seed)))
            }),
            created: chunk
                .created
                .map(RawValue::get)
                .filter(|created| *created != "0" && created.parse::<u64>().is_ok())
                .map_or_else(|| self.created_by_gateway.to_string(), str::to_owned),
            model: text(chunk.model).unwrap_or_else(|| quote(&self.upstream_model)),
        });
        editor.set("id", known.id.clone());
        editor.set("object", object);
        editor.set("created", known.created.clone());
        editor.set("model", known.model.clone());
    }
}
