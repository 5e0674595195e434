// SPDX-License-Identifier: Apache-2.0

//! `tollgate`: checks `gateway.yaml` and renders Envoy's configuration from it.

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    tollgate::command::main()
}

#[cfg(target_family = "wasm")]
fn main() {}
