// SPDX-License-Identifier: Apache-2.0

//! The proxy-wasm edge: the only room that calls the host, and the place where the seats are told apart.
//!
//! Nothing is decided here. Every callback gathers what the host knows, asks [`crate::exchange`] or
//! [`crate::attempt`] what to do, and carries it out. If a line of this room needs a unit test, it belongs there.
//!
//! The host is called through [`abi`] and not through the SDK, whose wrappers panic on an unexpected status: a
//! panic here takes down the VM with every request in it.

mod abi;
mod both;
mod gateway;
mod host;
mod keys;
mod provider;
mod root;
mod tokens;
mod waiting;

use root::Root;

mod entry {
    use super::Root;
    use proxy_wasm::traits::RootContext;
    use proxy_wasm::types::LogLevel;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|context| -> Box<dyn RootContext> { Box::new(Root::new(context)) });
    }}
}
