// SPDX-License-Identifier: Apache-2.0

//! Which route serves a model.
