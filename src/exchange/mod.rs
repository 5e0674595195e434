// SPDX-License-Identifier: Apache-2.0

//! The gateway half of a request: policy.
