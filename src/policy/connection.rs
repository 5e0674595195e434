// SPDX-License-Identifier: Apache-2.0

//! What the host knows of a request beside its headers.
//!
//! Asking costs a call to the host, so it is asked only where something depends on the answer. The host answers for
//! the request that it has called the filter for, so one value serves all requests.

use core::net::IpAddr;

/// The request at hand, as the host sees it.
pub trait Connection {
    /// The client's address: the peer's, or what trusted proxies have said of it.
    fn source_address(&self) -> Option<IpAddr>;

    /// One of Envoy's attributes, as bytes
    /// (<https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/attributes>).
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>>;
}

/// A host that knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoConnection;

impl Connection for NoConnection {
    fn source_address(&self) -> Option<IpAddr> {
        None
    }

    fn attribute(&self, _path: &[&str]) -> Option<Vec<u8>> {
        None
    }
}
