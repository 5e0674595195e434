// SPDX-License-Identifier: Apache-2.0

//! The JSON Schema of `gateway.yaml`, for editors: `# yaml-language-server: $schema=gateway.schema.json`.

use crate::config::Gateway;

/// The schema as JSON text.
///
/// # Errors
///
/// That it cannot be written as JSON.
pub fn render() -> Result<String, String> {
    let schema = schemars::schema_for!(Gateway);
    let mut text = serde_json::to_string_pretty(&schema).map_err(|reason| reason.to_string())?;
    text.push('\n');
    Ok(text)
}
