// SPDX-License-Identifier: Apache-2.0

//! The provider half of a request: translation of one attempt.
