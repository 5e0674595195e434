// SPDX-License-Identifier: Apache-2.0

//! Names and records for access logs.
